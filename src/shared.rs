//! What all requests of a process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use crate::observe::access_log::AccessLog;
use crate::reload::Reloads;
use crate::snapshot::Snapshot;

/// One process's.
pub struct Shared {
    /// The config that new requests run under.
    pub snapshot: ArcSwap<Snapshot>,
    /// Where their log lines go.
    pub access_log: AccessLog,
    /// Requests that are under way.
    pub in_flight: Arc<AtomicUsize>,
    /// Whether the process is about to end.
    pub draining: AtomicBool,
    /// Through which the config is read again.
    pub reloads: Reloads,
}

impl Shared {
    /// A gateway that is not draining.
    pub fn new(snapshot: Snapshot, access_log: AccessLog) -> Self {
        Shared {
            snapshot: ArcSwap::from_pointee(snapshot),
            access_log,
            in_flight: Arc::default(),
            draining: AtomicBool::new(false),
            reloads: Reloads::default(),
        }
    }

    /// Whether the process is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
