//! `aegis check`

use super::{ConfigFile, Exit, resolve, run::load_all};
use crate::config;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Print the config as it would run, defaults filled in and secrets masked
    #[arg(long)]
    print: bool,
    /// Look up all names that the config leads to, too: targets, issuers, Redis and so on
    #[arg(long)]
    resolve: bool,
}

/// Lists everything that is wrong with a config.
pub fn run(args: &Args) -> Exit {
    let file = args.file.config.display().to_string();
    let (config, names) = match load_all(&args.file) {
        Ok((config, _, names)) => (config, names),
        Err(exit) => return exit,
    };
    if args.resolve
        && let Err(why) = resolve::resolve(&file, &config, names)
    {
        eprintln!("aegis: cannot look up names: {why}");
        return Exit::Unable;
    }
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
