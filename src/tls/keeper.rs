//! Keeps what clients are shown true to the files, while the gateway runs: what is no good any more is said once, and
//! the last that was good is kept.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::certificate::{self, Certificate};
use super::terminator::{ClientAuth, MinVersion, Terminator};
use crate::stamp::Stamp;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Files {
    /// Chains and their keys.
    pub pairs: Vec<(String, String)>,
    /// The authorities of clients.
    pub client_ca: Option<String>,
}

/// What was good last.
pub struct Keeper {
    files: Files,
    stamps: Vec<Option<Stamp>>,
    certificates: Vec<Certificate>,
    clients: Option<ClientAuth>,
    least: MinVersion,
    terminator: Arc<Terminator>,
}

impl Keeper {
    /// Begins with what has been read already.
    pub fn new(
        files: Files,
        certificates: Vec<Certificate>,
        clients: Option<ClientAuth>,
        least: MinVersion,
        terminator: Arc<Terminator>,
    ) -> Self {
        // Files may have changed since they were read: the first look reads them again.
        Keeper { stamps: Vec::new(), files, certificates, clients, least, terminator }
    }

    /// Looks at the files for ever.
    pub async fn keep(mut self) {
        loop {
            sleep(LOOK).await;
            // Disks may take their time.
            let looked = tokio::task::spawn_blocking(move || {
                self.look(SystemTime::now());
                self
            });
            match looked.await {
                Ok(keeper) => self = keeper,
                Err(error) => return log::error!("certificates are not looked at any more: {error}"),
            }
        }
    }

    /// Reads what has changed. Says what is no good.
    fn look(&mut self, now: SystemTime) {
        let stamps = self.files.stamps();
        if stamps == self.stamps {
            return;
        }
        let is_first = std::mem::replace(&mut self.stamps, stamps).is_empty();
        for ((cert, key), last) in self.files.pairs.iter().zip(&mut self.certificates) {
            match Certificate::load(cert, key, now) {
                Ok(certificate) => *last = certificate,
                Err(error) => log::error!("{error}; the certificate of before is kept"),
            }
        }
        if let (Some(file), Some(clients)) = (&self.files.client_ca, &mut self.clients) {
            let read = std::fs::read(file).map_err(|error| format!("cannot read {file}: {error}"));
            match read.and_then(|pem| certificate::chain(file, &pem)) {
                Ok(roots) => clients.roots = roots,
                Err(error) => log::error!("{error}; the authorities of before are kept"),
            }
        }
        match self.terminator.replace(&self.certificates, self.clients.as_ref(), self.least) {
            Ok(()) if is_first => {}
            Ok(()) => log::info!("certificates have been read anew"),
            Err(error) => log::error!("TLS goes on as before: {error}"),
        }
    }
}

impl Files {
    fn stamps(&self) -> Vec<Option<Stamp>> {
        let pairs = self.pairs.iter().flat_map(|(cert, key)| [cert, key]);
        pairs.chain(&self.client_ca).map(|file| Stamp::of(file).ok()).collect()
    }
}
