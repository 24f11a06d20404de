//! `aegis check`

use super::{ConfigFile, Exit, run::load};
use crate::config;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Print the config as it would run, defaults filled in and secrets masked
    #[arg(long)]
    print: bool,
}

/// Lists everything that is wrong with a config.
pub fn run(args: &Args) -> Exit {
    let file = args.file.config.display().to_string();
    let config = match load(&args.file) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if !args.print {
        let routes = config.routes.len();
        println!("{file}: good, {routes} {}", if routes == 1 { "route" } else { "routes" });
        return Exit::Good;
    }
    match config::print(&config) {
        Ok(text) => {
            print!("{text}");
            Exit::Good
        }
        Err(error) => {
            eprintln!("aegis: cannot print the config: {error}");
            Exit::Unable
        }
    }
}
