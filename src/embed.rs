//! The gateway as a part of a program of one's own, with plugins that are not built in.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use aegis::async_trait;
//! use aegis::embed::Program;
//! use aegis::plugin::{Plugin, Request};
//! use aegis::refusal::Refusal;
//!
//! struct Nobody;
//!
//! #[async_trait]
//! impl Plugin for Nobody {
//!     fn name(&self) -> &'static str {
//!         "nobody"
//!     }
//!
//!     async fn on_request(&self, _: &mut Request<'_>) -> Result<(), Refusal> {
//!         Err(Refusal::custom(503, "closed", "Come again tomorrow."))
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Program::default().plugin("nobody", |_| Ok(Arc::new(Nobody))).main()
//! }
//! ```

use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::{self, Cli, Exit};
use crate::plugin::Plugin;
use crate::plugin::custom::{self, Kind, Settings};

/// The program `aegis`, with what is added to it.
#[derive(Default)]
pub struct Program {
    plugins: Vec<Kind>,
}

impl Program {
    /// Routes may have `plugins: { custom: { NAME: … } }`, of which `make` makes a plugin whenever a config is read. What it
    /// says where that cannot be is a finding of `aegis check`, at the place in the file.
    #[must_use]
    pub fn plugin(
        mut self,
        name: &'static str,
        make: impl Fn(&Settings) -> Result<Arc<dyn Plugin>, String> + Send + Sync + 'static,
    ) -> Self {
        self.plugins.push(Kind { name, make: Box::new(make) });
        self
    }

    /// Reads the command line, and does what it says: all that `aegis` does. To be called first of all.
    pub fn main(self) -> ExitCode {
        custom::make_known(self.plugins);
        // Before the command line is read: `AEGIS_CONFIG` may be in it.
        if let Err(reason) = cli::read_dotenv() {
            eprintln!("aegis: {reason}");
            return Exit::Unable.into();
        }
        let cli = Cli::read();
        cli::init_logging();
        cli::run(cli.command).into()
    }
}
