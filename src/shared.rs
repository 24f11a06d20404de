//! What all requests of a process share.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwap;

use crate::crowd::Crowd;
use crate::drain::Drain;
use crate::observe::access_log::AccessLog;
use crate::observe::tally::Tally;
use crate::reload::Reloads;
use crate::snapshot::Snapshot;

/// One process's.
pub struct Shared {
    /// The config that new requests run under.
    pub snapshot: ArcSwap<Snapshot>,
    /// Where their log lines go.
    pub access_log: AccessLog,
    /// Connections of clients.
    pub crowd: Arc<Crowd>,
    /// How requests ended that no route took.
    pub unrouted: Tally,
    /// Requests that are under way.
    pub in_flight: Arc<AtomicUsize>,
    /// How near the end of the process is.
    pub drain: Drain,
    /// Through which the config is read again.
    pub reloads: Reloads,
}

impl Shared {
    /// A gateway that is not draining.
    pub fn new(snapshot: Snapshot, access_log: AccessLog) -> Self {
        Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            access_log,
            crowd: Arc::default(),
            unrouted: Tally::default(),
            in_flight: Arc::default(),
            drain: Drain::default(),
            reloads: Reloads::default(),
        }
    }

    /// Where it is written down how requests end: their lines, and the counts of those that no route took.
    pub fn records(&self) -> (&AccessLog, &Tally) {
        (&self.access_log, &self.unrouted)
    }
}

/// What tests of others need.
#[cfg(test)]
pub mod tests {
    use std::time::Instant;

    use super::*;
    use crate::config;
    use crate::plugin::rate_limit::Store;

    /// A gateway with one route, to where nobody is. `name` is for the file of its config.
    pub fn shared(name: &str) -> Arc<Shared> {
        let path = std::env::temp_dir().join(format!("aegis-{name}-{}.yaml", std::process::id()));
        std::fs::write(&path, "routes: [{ path: /, target: http://127.0.0.1:1 }]\n").expect("written");
        let config = config::load_noting(&path, &mut Default::default(), None).expect("a valid config").config;
        std::fs::remove_file(path).expect("removed");
        let snapshot = Snapshot::new(&config, Arc::new(Store::new(None, Instant::now())), Instant::now());
        Arc::new(Shared::new(snapshot, AccessLog::open(&config.access_log).expect("a log")))
    }
}
