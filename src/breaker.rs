//! When to stop sending to a failing peer, and when to try it again.
//!
//! ```text
//! Closed --failures in a row--> Open --cooldown over--> HalfOpen: one probe decides
//!    ^                           ^                         |
//!    |                           +------ probe fails ------+
//!    +------------------- probe succeeds ------------------+
//! ```
//! Pure: no clock, no lock, no I/O. The caller brings `now`.
//!
//! An attempt is admitted with a [`Permit`] and settled with it, once. A permit that is older than the
//! last change of state has no say any more. The probe's permit has a lease: should the probe be lost
//! without a word, the next request after the lease may probe, so no state is ever for good.
//!
//! What a response is worth is known when its head arrives, though its body may break much later. The
//! head of a good response therefore counts as success at once ([`Breaker::answered`]); if the body breaks
//! off, that success is taken back and the attempt counts as a failure that came in a row with those before.
//!
//! What opens it and for how long says a [`policy`]: failures in a row, shares of the recent past ([`window`]),
//! or both. By hand it can be held open or closed, and reset.

pub mod circuit;
mod machine;
pub mod policy;
pub mod window;

use std::num::NonZeroU64;
use std::time::Instant;

pub use self::machine::Breaker;
pub use self::policy::Policy;
use self::window::Counts;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer answered as it should.
    Success,
    /// The peer did not: no connection, time-out, broken response, a failing status.
    Failure,
    /// Says nothing about the peer: the client went away, or the fault was ours.
    Neutral,
}

/// A change of state that people want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has opened, until then.
    Opened(Instant),
    /// It has closed.
    Closed,
}

/// Leave to send one request, to be settled with [`Breaker::settle`].
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    /// The state it was given in.
    epoch: u64,
    /// Its number, once it has one: a probe's, or that of a success that may have to be taken back.
    serial: Option<NonZeroU64>,
    /// Whether the head of a good response has been counted.
    answered: bool,
    /// Where in the recent past, if that is kept.
    slot: Option<u64>,
}

impl Permit {
    /// A permit of a closed breaker. See [`Breaker::calm`].
    fn of(epoch: u64) -> Self {
        Permit { epoch, serial: None, answered: false, slot: None }
    }

    /// The head of a good response has come at a moment at which it changed nothing.
    fn note_answer(&mut self) {
        self.answered = true;
    }

    /// Whether it is a probe's, as long as nothing has come back.
    pub fn is_probe(&self) -> bool {
        self.serial.is_some()
    }
}

/// Why the breaker refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is open; until this moment nothing is admitted.
    Open(Instant),
    /// A probe is under way; when it ends is anybody's guess.
    Probing,
    /// Somebody holds it open.
    Held,
}

/// In what state a breaker is kept by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Nothing is sent: the peer is drained.
    Open,
    /// Everything is sent, whatever comes of it.
    Closed,
}

/// The state as stats show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Requests go through.
    Closed,
    /// None goes through.
    Open,
    /// One probe decides.
    HalfOpen,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 3] = [Phase::Closed, Phase::Open, Phase::HalfOpen];

    /// As stats write it.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Closed => "CLOSED",
            Phase::Open => "OPEN",
            Phase::HalfOpen => "HALF_OPEN",
        }
    }
}

/// A breaker at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The state.
    pub phase: Phase,
    /// Failures in a row; while open or half-open, those that opened it.
    pub failures: u32,
    /// Since when it is in this state.
    pub since: Instant,
    /// While open: when a probe may go.
    pub retry_at: Option<Instant>,
    /// How often it opened.
    pub trips: u64,
    /// What came in the recent past, while it is closed and its policy goes by that.
    pub recent: Option<Counts>,
    /// Whether it is kept in its state by hand.
    pub held: bool,
}
