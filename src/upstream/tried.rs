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
    /// Where it went, as far as it got.
    pub address: Option<SocketAddr>,
    /// Its connection, once there was one.
    pub connected: Option<Connected>,
    /// The status of its answer, if there was one.
    pub status: Option<u16>,
    /// What it meant for the breaker.
    pub outcome: Outcome,
    /// What the target did wrong.
    pub cause: Option<Box<str>>,
    /// Whether it was the probe of a circuit that had been open.
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

/// How far an attempt has got.
#[derive(Debug, Default)]
pub struct SoFar {
    /// As [`Tried`] has it.
    pub address: Option<SocketAddr>,
    /// As [`Tried`] has it.
    pub connected: Option<Connected>,
    /// As [`Tried`] has it.
    pub status: Option<u16>,
    /// Once it is settled.
    pub outcome: Option<Outcome>,
    /// As [`Tried`] has it.
    pub cause: Option<Box<str>>,
    /// As [`Tried`] has it.
    pub is_probe: bool,
}

impl SoFar {
    /// The attempt at `target` is over, which began `at` and `took` so long. One that is not settled is neutral.
    pub fn tried(&self, target: &Arc<str>, at: Duration, took: Duration) -> Tried {
        Tried {
            target: target.clone(),
            at,
            took,
            address: self.address,
            connected: self.connected,
            status: self.status,
            outcome: self.outcome.unwrap_or(Outcome::Neutral),
            cause: self.cause.clone(),
            is_probe: self.is_probe,
        }
    }
}
