//! The commands of the program, a file each.

pub mod check;
pub mod demo;
pub mod explain;
pub mod health;
mod resolve;
pub mod run;
pub mod schema;
pub mod token;

use std::io::Write;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::observe::diagnostics;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "aegis",
    version,
    about = "An API gateway: JWT auth, exact rate limits, circuit breakers that recover",
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line; the process ends where it cannot be understood, with what would be right.
    pub fn read() -> Self {
        Cli::try_parse().unwrap_or_else(|error| with_tip(error).exit())
    }
}

/// Whoever names a config file without `-c` is told of it.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let is_file = |argument: &ContextValue| matches!(argument, ContextValue::String(text) if !text.starts_with('-'));
    if error.kind() == ErrorKind::UnknownArgument && error.get(ContextKind::InvalidArg).is_some_and(is_file) {
        let tip = "a config file is named by '-c FILE'".to_owned().into();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Run(run::Args),
    /// Try it out: the gateway and six fake instances in one process, limits in memory
    Demo,
    /// Check a config and list everything that is wrong with it
    Check(check::Args),
    /// Print a token, signed as the config says
    Token(token::Args),
    /// Tell how a request would go, without sending it: its route, what each plugin says, the target it would get
    Explain(explain::Args),
    /// Print the JSON Schema of the config file, for editors
    Schema,
    /// Ask a running instance whether it is well (for container health checks)
    Health(health::Args),
}

/// Which config file.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The config file
    #[arg(short, long = "config", value_name = "FILE", env = "AEGIS_CONFIG", default_value = "conf/aegis.yaml")]
    pub config: PathBuf,
}

/// How a command ends: 0 well, 1 no, 2 it could not even try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Good = 0,
    /// What it looked at is not good.
    Bad = 1,
    /// It could not look.
    Unable = 2,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

/// Reads `.env` in the working directory; what is set already wins.
///
/// # Errors
/// The file is there and cannot be read or understood.
pub fn read_dotenv() -> Result<(), String> {
    match dotenvy::from_path(".env") {
        Ok(()) => Ok(()),
        Err(e) if e.not_found() => Ok(()),
        // The error of a line quotes the line, which may hold a secret.
        Err(dotenvy::Error::LineParse(_, column)) => {
            Err(format!(".env: a line is not NAME=VALUE (at its column {column})"))
        }
        Err(e) => Err(format!(".env: {e}")),
    }
}

/// Diagnostics go to standard error, at `info` for the gateway itself and `error` for what is below it;
/// `RUST_LOG` says otherwise. What clients and targets can provoke is not logged there: the access log and the stats
/// have it.
pub fn init_logging() {
    const DEFAULT: &str = "error,aegis=info,pingora_proxy=off,pingora_core::protocols=off,pingora_core::services=off,\
                           pingora_core::connectors=off";
    let mut builder = env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(DEFAULT));
    // Without a thread there are worse troubles than waiting for a line to be written.
    if let Ok(lines) = diagnostics::start() {
        builder.target(env_logger::Target::Pipe(Box::new(lines)));
    }
    builder
        .format(|out, record| {
            let time = format!("{:.3}", jiff::Timestamp::now());
            writeln!(out, "{time} {:5} {}", record.level(), record.args())
        })
        .init();
}

/// Runs a command.
pub fn run(command: Command) -> Exit {
    let exit = carry_out(command);
    diagnostics::close();
    exit
}

fn carry_out(command: Command) -> Exit {
    match command {
        Command::Run(file) => run::run(&file),
        Command::Demo => demo::run(),
        Command::Check(args) => check::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Schema => schema::run(),
        Command::Health(args) => health::run(&args),
    }
}
