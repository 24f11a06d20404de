//! What is told of an attempt afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::breaker::Outcome;

/// An attempt that is over.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The URL of its target.
    pub target: Arc<str>,
    /// When it began, from the request's beginning on.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// How far it got.
    pub course: Course,
}

/// How far an attempt has got.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// Where it goes, once that is known.
    pub address: Option<SocketAddr>,
    /// Its connection, once there is one.
    pub connected: Option<Connected>,
    /// The status of its answer, once there is one.
    pub status: Option<u16>,
    /// What it meant for the breaker, once it is settled. Unsettled, it is neutral.
    pub outcome: Option<Outcome>,
    /// What the target did wrong.
    pub cause: Option<Box<str>>,
    /// Whether it is the probe of a circuit that had been open.
    pub is_probe: bool,
}

/// The connection of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected {
    /// How long it took to get it.
    pub after: Duration,
    /// Whether it had been used before.
    pub reused: bool,
}
