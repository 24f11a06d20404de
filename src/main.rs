//! `aegis`: see `aegis --help`.

use std::process::ExitCode;

use aegis::cli::{self, Cli, Exit};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before the command line is read: `AEGIS_CONFIG` may be in it.
    if let Err(reason) = cli::read_dotenv() {
        eprintln!("aegis: {reason}");
        return Exit::Unable.into();
    }
    let cli = Cli::parse();
    cli::init_logging();
    cli::run(cli.command).into()
}
