//! `aegis run`

use super::{ConfigFile, Exit};
use crate::config::{self, Config, LoadError, error::list};
use crate::downstream::entrance::Door;
use crate::reload::Origin;
use crate::server::handover::Inheritance;
use crate::server::{self, Ready, Start};

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
        Ok(inheritance) => inheritance.flatten(),
        Err(error) => {
            eprintln!("aegis: {error}");
            return Exit::Bad;
        }
    };
    serve(&config, Start { origin: Some(origin), inheritance })
}

/// The sockets of the gateway that listens where this one is to.
fn claim(config: &Config) -> Result<Option<Inheritance>, String> {
    let addresses = config.listen.iter().chain(config.tls.iter().flat_map(|tls| &tls.listen));
    let held = addresses.filter_map(|address| Some((address, server::holder(address.port())?))).next();
    let Some((address, holder)) = held else {
        log::warn!("no process listens where this one is to, so there is none to take over from");
        return Ok(None);
    };
    // SIGQUIT would end what is no gateway.
    if holder.name != server::program("self") {
        return Err(format!("cannot take over from {holder}, which listens on {address} and is no gateway"));
    }
    let pid = i32::try_from(holder.pid).map_err(|error| error.to_string())?;
    let taken = Inheritance::claim(pid).map_err(|error| format!("cannot take over from {holder}: {error}"))?;
    log::info!("the sockets of {holder} are taken over");
    Ok(Some(taken))
}

/// The config, its warnings told; or how to exit, the reason told.
pub fn load(file: &ConfigFile) -> Result<Config, Exit> {
    load_with_origin(file).map(|(config, _)| config)
}

fn load_with_origin(file: &ConfigFile) -> Result<(Config, Origin), Exit> {
    let mut files = Vec::new();
    match config::load_noting(&file.config, &mut files) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() {
                eprintln!("{}", list(&file.config.display().to_string(), &loaded.warnings));
            }
            Ok((loaded.config, Origin { file: file.config.clone(), files }))
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
        log::info!("admin on http://{address}");
    }
    match ready.run() {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("aegis: {error}");
            Exit::Bad
        }
    }
}
