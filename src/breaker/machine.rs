//! The state machine.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::policy::Policy;
use super::window::Window;
use super::{Hold, Outcome, Permit, Phase, Refused, View};
use crate::rng::Rng;

#[derive(Debug)]
enum State {
    Closed {
        /// In a row.
        failures: u32,
        bridge: Option<Bridge>,
        /// The recent past, where the policy asks for it.
        window: Option<Window>,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        probe: Option<Probe>,
    },
    /// By hand, until it is let go.
    Held(Hold),
}

/// Failures that ended with a success that may yet be taken back.
#[derive(Debug)]
struct Bridge {
    /// The permit of that success.
    serial: NonZeroU64,
    failures: u32,
    /// Whether that closed the breaker.
    probe: bool,
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
    /// Failures in a row that opened it last.
    opened_by: u32,
    /// Trips between which the peer did not get well.
    streak: u32,
    /// The last cooldown.
    cooldown: Duration,
    rng: Rng,
}

impl Breaker {
    /// A closed breaker. `rng` spreads its cooldowns, where the policy says so.
    pub fn new(policy: Policy, rng: Rng, now: Instant) -> Self {
        Breaker {
            state: closed(&policy, now),
            policy,
            since: now,
            epoch: 0,
            next_serial: NonZeroU64::MIN,
            trips: 0,
            opened_by: 0,
            streak: 0,
            cooldown: Duration::ZERO,
            rng,
        }
    }

    /// Asks leave to send one request at `now`. Asking a half-open breaker takes the probe: ask only when
    /// the answer is used.
    ///
    /// # Errors
    /// Why it refuses.
    pub fn admit(&mut self, now: Instant) -> Result<Permit, Refused> {
        match &self.state {
            State::Open { until } if now < *until => return Err(Refused::Open(*until)),
            State::Open { .. } => self.enter(State::HalfOpen { probe: None }, now),
            State::Held(Hold::Open) => return Err(Refused::Held),
            State::Closed { .. } | State::HalfOpen { .. } | State::Held(Hold::Closed) => {}
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

    /// The head of a good response has arrived, `slow` or in good time. The permit is still to be settled.
    pub fn answered(&mut self, permit: &mut Permit, slow: bool, now: Instant) {
        // A success counts where it stands in the row of outcomes: at its head, and not again at its end.
        if permit.epoch != self.epoch || std::mem::replace(&mut permit.answered, true) {
            return;
        }
        match &mut self.state {
            State::Closed { failures, bridge, window } => {
                permit.slot = window.as_mut().map(|window| window.note(false, slow, now));
                match *failures {
                    // A success of somebody else's: what came before the bridge is no row any more.
                    0 => drop(bridge.take_if(|bridge| permit.serial != Some(bridge.serial))),
                    failures => self.begin_bridge(permit, failures),
                }
                self.trip_if_due(now);
            }
            State::HalfOpen { probe } => {
                let is_present = probe.as_ref().is_some_and(|probe| permit.serial == Some(probe.serial));
                let is_bad = slow && self.policy.trip.recent.is_some_and(|recent| recent.slow.is_some());
                match permit.serial {
                    Some(_) if is_bad && is_present => self.trip(now),
                    // A probe that outlived its lease has not failed: a good answer is one whenever it comes.
                    Some(serial) if !is_bad => {
                        self.enter(closed(&self.policy, now), now);
                        self.bridge(permit, Bridge { serial, failures: 0, probe: true });
                    }
                    _ => {}
                }
            }
            State::Open { .. } | State::Held(_) => {}
        }
    }

    /// The probe has a request to wait for that comes from elsewhere: others may probe from `until` on.
    pub fn shorten(&mut self, permit: &Permit, until: Instant) {
        if let State::HalfOpen { probe: Some(probe) } = &mut self.state
            && permit.serial == Some(probe.serial)
        {
            probe.expires = probe.expires.min(until);
        }
    }

    /// That request is there: the lease begins anew, unless somebody else probes by now.
    pub fn renew(&mut self, permit: &Permit, now: Instant) {
        if let State::HalfOpen { probe: Some(probe) } = &mut self.state
            && permit.serial == Some(probe.serial)
        {
            probe.expires = now + self.policy.lease;
        }
    }

    /// The attempt is over. `Success` without a call of [`Breaker::answered`] before is that call, too.
    pub fn settle(&mut self, mut permit: Permit, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Success => {
                self.answered(&mut permit, false, now);
                self.forget_bridge(&permit);
            }
            Outcome::Failure => self.failed(&permit, now),
            Outcome::Neutral => self.withdrawn(&permit),
        }
    }

    /// A row of failures has ended with a success that may be taken back.
    fn begin_bridge(&mut self, permit: &mut Permit, before: u32) {
        let serial = self.number();
        self.bridge(permit, Bridge { serial, failures: before, probe: false });
    }

    fn bridge(&mut self, permit: &mut Permit, begun: Bridge) {
        (permit.serial, permit.epoch) = (Some(begun.serial), self.epoch);
        if let State::Closed { failures, bridge, .. } = &mut self.state {
            (*failures, *bridge) = (0, Some(begun));
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
            State::Closed { failures, bridge, window } => {
                let own = bridge.take_if(|bridge| permit.serial == Some(bridge.serial));
                if own.as_ref().is_some_and(|bridge| bridge.probe) {
                    // What closed it was no success, and nobody has had one since.
                    return self.trip(now);
                }
                let before = own.map_or(0, |bridge| bridge.failures);
                *failures = failures.saturating_add(before).saturating_add(1);
                match (window, permit.slot) {
                    (Some(window), Some(slot)) => window.take_back(slot, now),
                    (Some(window), None) => drop(window.note(true, false, now)),
                    (None, _) => {}
                }
                self.trip_if_due(now);
            }
            State::HalfOpen { probe: Some(probe) } if permit.serial == Some(probe.serial) => self.trip(now),
            State::HalfOpen { .. } | State::Open { .. } | State::Held(_) => {}
        }
    }

    fn withdrawn(&mut self, permit: &Permit) {
        self.forget_bridge(permit);
        if let State::HalfOpen { probe } = &mut self.state {
            // Only the present probe's permit returns; one that outlived its lease is nobody's.
            probe.take_if(|probe| permit.serial == Some(probe.serial));
        }
    }

    /// Keeps it in one state, whatever happens.
    pub fn hold(&mut self, hold: Hold, now: Instant) {
        self.enter(State::Held(hold), now);
    }

    /// Closes it, whatever held or opened it, and forgets what led there.
    pub fn reset(&mut self, now: Instant) {
        self.streak = 0;
        self.enter(closed(&self.policy, now), now);
    }

    /// Goes by another policy from now on. It stays in its state; what shares are counted of begins anew.
    pub fn govern(&mut self, policy: Policy, now: Instant) {
        if let State::Closed { window, .. } = &mut self.state
            && policy.trip.recent != self.policy.trip.recent
        {
            *window = policy.trip.recent.map(|recent| Window::new(recent.window, now));
            // Permits know their slots of the one before.
            self.epoch += 1;
        }
        self.policy = policy;
    }

    /// There is reason to believe that the peer is well again: an open breaker lets a probe through now.
    pub fn reconsider(&mut self, now: Instant) {
        if let State::Open { .. } = self.state {
            self.enter(State::HalfOpen { probe: None }, now);
        }
    }

    /// How often it has opened.
    pub(super) fn trips(&self) -> u64 {
        self.trips
    }

    /// Whether requests go through.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. } | State::Held(Hold::Closed))
    }

    /// What [`Breaker::admit`] would say, without asking.
    ///
    /// # Errors
    /// Why it would refuse.
    pub(super) fn outlook(&self, now: Instant) -> Result<(), Refused> {
        match &self.state {
            State::Open { until } if now < *until => Err(Refused::Open(*until)),
            State::HalfOpen { probe: Some(probe) } if now < probe.expires => Err(Refused::Probing),
            State::Held(Hold::Open) => Err(Refused::Held),
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } | State::Held(Hold::Closed) => Ok(()),
        }
    }

    /// Whether somebody keeps it open.
    pub(super) fn is_held_open(&self) -> bool {
        matches!(self.state, State::Held(Hold::Open))
    }

    fn number(&mut self) -> NonZeroU64 {
        let serial = self.next_serial;
        self.next_serial = serial.saturating_add(1);
        serial
    }

    fn trip_if_due(&mut self, now: Instant) {
        let State::Closed { failures, window, .. } = &mut self.state else { return };
        let failures = *failures;
        if self.policy.trip.is_due(failures, window.as_mut().map(|window| window.counts(now))) {
            // Those of a body that breaks off may take it past the limit all at once.
            self.opened_by = self.policy.trip.in_a_row.map_or(failures, |limit| failures.min(limit.get()));
            // Who was well for as long as it had been left alone has recovered.
            let well = now.saturating_duration_since(self.since) >= self.cooldown;
            self.streak = if well { 0 } else { self.streak };
            self.trip(now);
        }
    }

    fn trip(&mut self, now: Instant) {
        self.trips += 1;
        self.cooldown = self.policy.cooldown(self.streak, self.rng.unit());
        self.streak = self.streak.saturating_add(1);
        self.enter(State::Open { until: now + self.cooldown }, now);
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.state = state;
        self.since = now;
        self.epoch += 1;
    }

    /// The epoch, while no success could change anything: it is closed, nothing is on record, and nothing
    /// is put on record.
    pub(super) fn calm(&self) -> Option<u64> {
        let calm =
            matches!(self.state, State::Closed { failures: 0, bridge: None, window: None } | State::Held(Hold::Closed));
        calm.then_some(self.epoch)
    }

    /// The state at `now`. An open breaker whose cooldown is over shows as half-open: the next request
    /// will find it so.
    pub fn view(&mut self, now: Instant) -> View {
        let (phase, failures, since, retry_at) = match self.state {
            State::Closed { failures, .. } => (Phase::Closed, failures, self.since, None),
            State::Open { until } if now < until => (Phase::Open, self.opened_by, self.since, Some(until)),
            State::Open { until } => (Phase::HalfOpen, self.opened_by, until, None),
            State::HalfOpen { .. } => (Phase::HalfOpen, self.opened_by, self.since, None),
            State::Held(Hold::Open) => (Phase::Open, 0, self.since, None),
            State::Held(Hold::Closed) => (Phase::Closed, 0, self.since, None),
        };
        let recent = match &mut self.state {
            State::Closed { window: Some(window), .. } => Some(window.counts(now)),
            _ => None,
        };
        let held = matches!(self.state, State::Held(_));
        View { phase, failures, since, retry_at, trips: self.trips, recent, held }
    }

    /// The state that it has entered last; one that is open stays so until somebody asks after the cooldown.
    pub(super) fn entered(&self) -> Phase {
        match self.state {
            State::Closed { .. } | State::Held(Hold::Closed) => Phase::Closed,
            State::Open { .. } | State::Held(Hold::Open) => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }
}

fn closed(policy: &Policy, now: Instant) -> State {
    let window = policy.trip.recent.map(|recent| Window::new(recent.window, now));
    State::Closed { failures: 0, bridge: None, window }
}

#[cfg(test)]
mod tests;
