//! `aegis run`

use super::{ConfigFile, Exit};
use crate::config::{self, Config, LoadError, error::list};
use crate::downstream::entrance::Door;
use crate::reload::Origin;
use crate::server::Ready;

/// Runs the gateway until a signal ends it.
pub fn run(file: &ConfigFile) -> Exit {
    match load_with_origin(file) {
        Ok((config, origin)) => serve(&config, Some(origin)),
        Err(exit) => exit,
    }
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
pub fn serve(config: &Config, origin: Option<Origin>) -> Exit {
    let ready = match Ready::new(config, origin) {
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
