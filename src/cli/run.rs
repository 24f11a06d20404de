//! `aegis run`

use super::{ConfigFile, Exit};
use crate::config::files::Files;
use crate::config::names::Named;
use crate::config::{self, Config, LoadError, Loaded};
use crate::downstream::entrance::Door;
use crate::reload::{Origin, told};
use crate::server::handover::{HandoverError, Inheritance};
use crate::server::{Ready, Start};

/// The command's arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Take the place of the gateway that runs: its sockets are handed over, it ends what is under way, and nobody is turned
    /// away
    #[arg(long)]
    upgrade: bool,
}

/// Runs the gateway until a signal ends it.
pub fn run(args: &Args) -> Exit {
    let (config, origin) = match load_with_origin(&args.file) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let inheritance = match args.upgrade.then(|| claim(&config)).transpose() {
        Ok(inheritance) => inheritance,
        Err(error) => {
            eprintln!("aegis: {error}");
            return Exit::Bad;
        }
    };
    serve(&config, Start { origin: Some(origin), inheritance })
}

/// The sockets of the gateway that listens where this one is to.
fn claim(config: &Config) -> Result<Inheritance, HandoverError> {
    let addresses = config.listen.iter().chain(config.tls.iter().flat_map(|tls| &tls.listen));
    let inheritance = Inheritance::claim(&addresses.copied().collect::<Vec<_>>())?;
    if !inheritance.is_from_somebody() {
        log::warn!("no gateway of this user listens where this one is to, so there is none to take over from");
    }
    Ok(inheritance)
}

/// The config, its warnings told; or how to exit, the reason told.
pub fn load(file: &ConfigFile) -> Result<Config, Exit> {
    load_all(file).map(|(config, ..)| config)
}

fn load_with_origin(file: &ConfigFile) -> Result<(Config, Origin), Exit> {
    load_all(file).map(|(config, origin, _)| (config, origin))
}

/// The same, and the names that it leads to.
pub fn load_all(file: &ConfigFile) -> Result<(Config, Origin, Vec<Named>), Exit> {
    let mut files = Files::default();
    match config::load_noting(&file.config, &mut files, None) {
        Ok(Loaded { config, warnings, names }) => {
            let warnings = told(&file.config, &warnings);
            warnings.iter().for_each(|warning| eprintln!("{warning}"));
            Ok((config, Origin { file: file.config.clone(), files, warnings }, names))
        }
        Err(error @ LoadError::Unreadable { .. }) => {
            eprintln!("aegis: {error}");
            Err(Exit::Unable)
        }
        Err(error @ LoadError::Invalid { .. }) => {
            eprintln!("{error}");
            Err(Exit::Bad)
        }
    }
}

/// Serves what `config` describes, and what its origin says later.
pub fn serve(config: &Config, start: Start) -> Exit {
    let ready = match Ready::new(config, start) {
        Ok(ready) => ready,
        Err(error) => {
            eprintln!("aegis: {error}");
            return Exit::Bad;
        }
    };
    for (address, door) in ready.addresses() {
        match door {
            Door::Plain => log::info!("listening on http://{address}"),
            Door::Tls => log::info!("listening on https://{address}"),
            Door::ToHttps(port) => log::info!("listening on http://{address}, which leads to https on port {port}"),
        }
    }
    if let Some(address) = ready.admin_address() {
        let is_secure = config.admin.as_ref().is_some_and(|admin| admin.tls.is_some());
        log::info!("admin on {}://{address}", if is_secure { "https" } else { "http" });
    }
    match ready.run() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("aegis: {error}");
            Exit::Bad
        }
    }
}
