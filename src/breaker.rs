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

pub mod circuit;

use std::num::{NonZeroU32, NonZeroU64};
use std::time::{Duration, Instant};

/// What opens a breaker and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures in a row that open it.
    pub failures: NonZeroU32,
    /// How long it stays open before a probe is let through.
    pub cooldown: Duration,
    /// How long a probe may take to be settled before another may take its place.
    pub lease: Duration,
}

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

/// Leave to send one request, to be settled with [`Breaker::settle`].
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    /// The state it was given in.
    epoch: u64,
    /// Its number, once it has one: a probe's, or that of a success that may have to be taken back.
    serial: Option<NonZeroU64>,
    /// Whether the head of a good response has been counted.
    answered: bool,
}

impl Permit {
    /// A permit of a closed breaker. See [`Breaker::calm`].
    fn of(epoch: u64) -> Self {
        Permit { epoch, serial: None, answered: false }
    }

    /// The head of a good response has come at a moment at which it changed nothing.
    fn note_answer(&mut self) {
        self.answered = true;
    }

    #[cfg(test)]
    fn is_probe(&self) -> bool {
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
}

#[derive(Debug)]
enum State {
    Closed {
        /// In a row.
        failures: u32,
        bridge: Option<Bridge>,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        probe: Option<Probe>,
    },
}

/// Failures that ended with a success that may yet be taken back.
#[derive(Debug)]
struct Bridge {
    /// The permit of that success.
    serial: NonZeroU64,
    failures: u32,
}

#[derive(Debug)]
struct Probe {
    serial: NonZeroU64,
    expires: Instant,
}

/// The state machine of one peer.
#[derive(Debug)]
pub struct Breaker {
    policy: Policy,
    state: State,
    since: Instant,
    /// Counts changes of state.
    epoch: u64,
    /// The number that the next permit to need one gets.
    next_serial: NonZeroU64,
    trips: u64,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: Policy, now: Instant) -> Self {
        let state = State::Closed { failures: 0, bridge: None };
        Breaker { policy, state, since: now, epoch: 0, next_serial: NonZeroU64::MIN, trips: 0 }
    }

    /// Asks leave to send one request at `now`. Asking a half-open breaker takes the probe: ask only when
    /// the answer is used.
    ///
    /// # Errors
    /// Why it refuses.
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Refused> {
        match &self.state {
            State::Closed { .. } => {}
            State::Open { until } if now < *until => return Err(Refused::Open(*until)),
            State::Open { .. } => self.enter(State::HalfOpen { probe: None }, now),
            State::HalfOpen { .. } => {}
        }
        let State::HalfOpen { probe } = &self.state else {
            return Ok(Permit::of(self.epoch));
        };
        if probe.as_ref().is_some_and(|probe| now < probe.expires) {
            return Err(Refused::Probing);
        }
        let serial = self.number();
        self.state = State::HalfOpen { probe: Some(Probe { serial, expires: now + self.policy.lease }) };
        Ok(Permit { serial: Some(serial), ..Permit::of(self.epoch) })
    }

    /// The head of a good response has arrived. The permit is still to be settled.
    pub fn answered(&mut self, permit: &mut Permit, now: Instant) {
        // A success counts where it stands in the row of outcomes: at its head, and not again at its end.
        if permit.epoch != self.epoch || std::mem::replace(&mut permit.answered, true) {
            return;
        }
        match &mut self.state {
            State::Closed { failures: 0, bridge } => {
                // A success of somebody else's: what came before the bridge is no row any more.
                bridge.take_if(|bridge| permit.serial != Some(bridge.serial));
            }
            State::Closed { failures, .. } => {
                let failures = *failures;
                let serial = self.number();
                permit.serial = Some(serial);
                self.state = State::Closed { failures: 0, bridge: Some(Bridge { serial, failures }) };
            }
            State::HalfOpen { probe: Some(probe) } if permit.serial == Some(probe.serial) => {
                self.enter(State::Closed { failures: 0, bridge: None }, now);
            }
            State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    /// The attempt is over. `Success` without a call of [`Breaker::answered`] before is that call, too.
    pub fn settle(&mut self, mut permit: Permit, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Success => {
                self.answered(&mut permit, now);
                self.forget_bridge(&permit);
            }
            Outcome::Failure => self.failed(&permit, now),
            Outcome::Neutral => self.withdrawn(&permit),
        }
    }

    /// The permit's success can no longer be taken back.
    fn forget_bridge(&mut self, permit: &Permit) {
        if let State::Closed { bridge, .. } = &mut self.state {
            bridge.take_if(|bridge| permit.serial == Some(bridge.serial));
        }
    }

    fn failed(&mut self, permit: &Permit, now: Instant) {
        if permit.epoch != self.epoch {
            return;
        }
        match &mut self.state {
            State::Closed { failures, bridge } => {
                let own = bridge.take_if(|bridge| permit.serial == Some(bridge.serial));
                let before = own.map_or(0, |bridge| bridge.failures);
                *failures = failures.saturating_add(before).saturating_add(1);
                if *failures >= self.policy.failures.get() {
                    self.trip(now);
                }
            }
            State::HalfOpen { probe: Some(probe) } if permit.serial == Some(probe.serial) => self.trip(now),
            State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    fn withdrawn(&mut self, permit: &Permit) {
        if let State::HalfOpen { probe } = &mut self.state {
            // Only the present probe's permit returns; one that outlived its lease is nobody's.
            probe.take_if(|probe| permit.serial == Some(probe.serial));
        }
    }

    fn number(&mut self) -> NonZeroU64 {
        let serial = self.next_serial;
        self.next_serial = serial.saturating_add(1);
        serial
    }

    fn trip(&mut self, now: Instant) {
        self.trips += 1;
        self.enter(State::Open { until: now + self.policy.cooldown }, now);
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
        self.epoch += 1;
    }

    /// The epoch, while the breaker is closed and no success could change it.
    fn calm(&self) -> Option<u64> {
        matches!(self.state, State::Closed { failures: 0, bridge: None }).then_some(self.epoch)
    }

    /// The state at `now`. An open breaker whose cooldown is over shows as half-open: the next request
    /// will find it so.
    pub fn view(&self, now: Instant) -> View {
        let (phase, failures, since, retry_at) = match self.state {
            State::Closed { failures, .. } => (Phase::Closed, failures, self.since, None),
            State::Open { until } if now < until => (Phase::Open, self.policy.failures.get(), self.since, Some(until)),
            State::Open { until } => (Phase::HalfOpen, self.policy.failures.get(), until, None),
            State::HalfOpen { .. } => (Phase::HalfOpen, self.policy.failures.get(), self.since, None),
        };
        View { phase, failures, since, retry_at, trips: self.trips }
    }
}

#[cfg(test)]
mod tests;
