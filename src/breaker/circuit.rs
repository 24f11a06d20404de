//! A [`Breaker`] for many threads, whose lock is not taken while all is well.
//!
//! While the breaker is closed and has no failures on record, neither an admission nor a success can
//! change it. An atomic says so, and both pass it by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::{Breaker, Change, Hold, Outcome, Permit, Phase, Policy, Refused, View};
use crate::moment::Moment;
use crate::rng::{self, Rng};

/// One peer's breaker.
#[derive(Debug)]
pub struct Circuit {
    breaker: Mutex<Breaker>,
    /// The breaker's epoch plus one while it is calm, else 0. Written under the lock only.
    calm: AtomicU64,
    /// When it closed the last time.
    closed: Moment,
    /// How often it has entered each state.
    entered: [AtomicU64; Phase::ALL.len()],
}

impl Circuit {
    /// A closed circuit.
    pub fn new(policy: Policy, now: Instant) -> Self {
        let breaker = Breaker::new(policy, rng::with_local(Rng::fork), now);
        let calm = AtomicU64::new(breaker.calm().map_or(0, |epoch| epoch + 1));
        Circuit { breaker: Mutex::new(breaker), calm, closed: Moment::none(now), entered: Default::default() }
    }

    /// [`Breaker::admit`].
    ///
    /// # Errors
    /// Until when the breaker refuses.
    pub fn admit(&self, now: Instant) -> Result<Permit, Refused> {
        match self.calm.load(Ordering::Acquire) {
            0 => self.with(now, |breaker| breaker.admit(now)),
            calm => Ok(Permit::of(calm - 1)),
        }
    }

    /// [`Breaker::answered`]. Says so if that changes the state.
    pub fn answered(&self, permit: &mut Permit, slow: bool, now: Instant) -> Option<Change> {
        // A success during the calm changes nothing; one that comes after a failure goes the long way.
        if self.calm.load(Ordering::Acquire) == 0 {
            return self.with(now, |breaker| changed(breaker, now, |breaker| breaker.answered(permit, slow, now)));
        }
        permit.note_answer();
        None
    }

    /// [`Breaker::settle`]. Says so if that changes the state.
    pub fn settle(&self, permit: Permit, outcome: Outcome, now: Instant) -> Option<Change> {
        if outcome == Outcome::Failure || self.calm.load(Ordering::Acquire) == 0 {
            return self.with(now, |breaker| changed(breaker, now, |breaker| breaker.settle(permit, outcome, now)));
        }
        None
    }

    /// [`Breaker::hold`].
    pub fn hold(&self, hold: Hold, now: Instant) {
        self.with(now, |breaker| breaker.hold(hold, now));
    }

    /// Whether somebody keeps it open.
    pub fn is_held_open(&self) -> bool {
        // While it is calm, nobody does.
        self.calm.load(Ordering::Acquire) == 0 && self.breaker.lock().is_held_open()
    }

    /// What [`Circuit::admit`] would say, without asking.
    ///
    /// # Errors
    /// Why it would refuse.
    pub fn outlook(&self, now: Instant) -> Result<(), Refused> {
        match self.calm.load(Ordering::Acquire) {
            0 => self.breaker.lock().outlook(now),
            _ => Ok(()),
        }
    }

    /// [`Breaker::shorten`].
    pub fn shorten(&self, permit: &Permit, until: Instant) {
        if permit.serial.is_some() {
            self.breaker.lock().shorten(permit, until);
        }
    }

    /// [`Breaker::renew`].
    pub fn renew(&self, permit: &Permit, now: Instant) {
        if permit.serial.is_some() {
            self.breaker.lock().renew(permit, now);
        }
    }

    /// [`Breaker::reset`].
    pub fn reset(&self, now: Instant) {
        self.with(now, |breaker| breaker.reset(now));
    }

    /// [`Breaker::govern`].
    pub fn govern(&self, policy: Policy, now: Instant) {
        self.with(now, |breaker| breaker.govern(policy, now));
    }

    /// [`Breaker::reconsider`].
    pub fn reconsider(&self, now: Instant) {
        self.with(now, |breaker| breaker.reconsider(now));
    }

    /// [`Breaker::view`].
    pub fn view(&self, now: Instant) -> View {
        self.breaker.lock().view(now)
    }

    /// Failures in a row, while it is closed.
    pub fn failures(&self, now: Instant) -> u32 {
        if self.calm.load(Ordering::Acquire) != 0 {
            return 0;
        }
        let view = self.view(now);
        if view.phase == Phase::Closed { view.failures } else { 0 }
    }

    /// When it closed the last time, if it ever was anything else.
    pub fn recovered(&self) -> Option<Instant> {
        self.closed.get()
    }

    /// How often it has entered each state, which is never counted twice for one change.
    pub fn transitions(&self) -> [(Phase, u64); Phase::ALL.len()] {
        Phase::ALL.map(|phase| (phase, self.entered[phase as usize].load(Ordering::Relaxed)))
    }

    fn with<R>(&self, now: Instant, act: impl FnOnce(&mut Breaker) -> R) -> R {
        let mut breaker = self.breaker.lock();
        let (was_closed, before) = (breaker.is_closed(), breaker.entered());
        let result = act(&mut breaker);
        if breaker.is_closed() && !was_closed {
            self.closed.set(now);
        }
        let entered = breaker.entered();
        if entered != before {
            self.entered[entered as usize].fetch_add(1, Ordering::Relaxed);
        }
        self.calm.store(breaker.calm().map_or(0, |epoch| epoch + 1), Ordering::Release);
        result
    }
}

/// What `act` changes.
fn changed(breaker: &mut Breaker, now: Instant, act: impl FnOnce(&mut Breaker)) -> Option<Change> {
    let was_closed = breaker.is_closed();
    let trips = breaker.trips();
    act(breaker);
    match (breaker.trips() > trips, breaker.is_closed() && !was_closed) {
        (true, _) => breaker.view(now).retry_at.map(Change::Opened),
        (false, true) => Some(Change::Closed),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::time::Duration;

    use super::*;

    fn circuit(cooldown: Duration) -> Circuit {
        let failures = NonZeroU32::new(3).expect("3");
        Circuit::new(Policy::in_a_row(failures, cooldown, Duration::from_secs(3600)), Instant::now())
    }

    #[test]
    fn a_probe_whose_request_is_on_its_way_is_the_only_one_for_less_long() {
        let (circuit, now) = (circuit(Duration::ZERO), Instant::now());
        let plain = circuit.admit(now).expect("closed");
        circuit.shorten(&plain, now);
        circuit.renew(&plain, now);
        (0..3).for_each(|_| {
            let permit = circuit.admit(now).expect("closed");
            circuit.settle(permit, Outcome::Failure, now);
        });
        let probe = circuit.admit(now).expect("half-open");
        assert!(circuit.outlook(now).is_err());
        circuit.shorten(&probe, now);
        assert!(circuit.outlook(now).is_ok());
        circuit.renew(&probe, now);
        assert!(circuit.outlook(now).is_err());
        assert_eq!(circuit.settle(probe, Outcome::Success, now), Some(Change::Closed));
    }

    #[test]
    fn the_calm_ends_with_the_first_failure_and_returns_with_the_next_success() {
        let circuit = circuit(Duration::from_secs(60));
        let now = Instant::now();
        let calm = || circuit.calm.load(Ordering::Acquire) != 0;
        assert!(calm());
        let permits: Vec<Permit> = (0..3).map(|_| circuit.admit(now).expect("closed")).collect();
        let mut permits = permits.into_iter();
        circuit.settle(permits.next().expect("1"), Outcome::Failure, now);
        assert!(!calm());
        circuit.settle(permits.next().expect("2"), Outcome::Success, now);
        assert!(calm());
        circuit.settle(permits.next().expect("3"), Outcome::Failure, now);
        assert_eq!(circuit.view(now).failures, 1);
    }

    #[test]
    fn it_has_recovered_when_it_closes_and_not_before() {
        let circuit = circuit(Duration::from_secs(60));
        let now = Instant::now();
        for _ in 0..3 {
            let permit = circuit.admit(now).expect("closed");
            circuit.settle(permit, Outcome::Failure, now);
        }
        assert_eq!(circuit.recovered(), None);
        let later = now + Duration::from_secs(60);
        let mut probe = circuit.admit(later).expect("the probe");
        assert_eq!(circuit.recovered(), None);
        circuit.answered(&mut probe, false, later);
        assert_eq!(circuit.recovered(), Some(later));
        let held = later + Duration::from_secs(1);
        circuit.hold(Hold::Open, held);
        circuit.reset(held);
        assert_eq!(circuit.recovered(), Some(held), "what was drained is cold as well");
    }

    #[test]
    fn each_change_of_state_is_counted_once() {
        let (circuit, now) = (circuit(Duration::ZERO), Instant::now());
        let counts = || circuit.transitions().map(|(_, count)| count);
        for _ in 0..3 {
            circuit.settle(circuit.admit(now).expect("closed"), Outcome::Failure, now);
        }
        assert_eq!(counts(), [0, 1, 0]);
        let probe = circuit.admit(now).expect("the probe");
        assert_eq!(counts(), [0, 1, 1]);
        circuit.settle(probe, Outcome::Success, now);
        assert_eq!(counts(), [1, 1, 1]);
        circuit.hold(Hold::Open, now);
        circuit.hold(Hold::Open, now);
        circuit.hold(Hold::Closed, now);
        assert_eq!(counts(), [2, 2, 1]);
    }

    /// Eight threads admit, succeed, fail, withdraw and forget; a probe is never joined by a second one.
    #[test]
    fn under_threads_there_is_never_a_second_probe_and_never_a_wedge() {
        let circuit = Arc::new(circuit(Duration::ZERO));
        let probing = Arc::new(AtomicUsize::new(0));
        let doubled = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..8_u64)
            .map(|seed| {
                let (circuit, probing, doubled) = (circuit.clone(), probing.clone(), doubled.clone());
                std::thread::spawn(move || {
                    let mut state = seed * 7 + 1;
                    for _ in 0..20_000 {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let now = Instant::now();
                        let Ok(mut permit) = circuit.admit(now) else { continue };
                        let probe = permit.is_probe();
                        if probe && probing.fetch_add(1, Ordering::SeqCst) != 0 {
                            doubled.store(true, Ordering::SeqCst);
                        }
                        if state >> 60 & 1 == 1 {
                            std::thread::yield_now();
                        }
                        if probe {
                            probing.fetch_sub(1, Ordering::SeqCst);
                        }
                        match state >> 61 {
                            0..=2 => _ = circuit.settle(permit, Outcome::Failure, now),
                            3 => _ = circuit.settle(permit, Outcome::Neutral, now),
                            4 => {
                                circuit.answered(&mut permit, false, now);
                                circuit.settle(permit, Outcome::Failure, now);
                            }
                            _ => _ = circuit.settle(permit, Outcome::Success, now),
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert!(!doubled.load(Ordering::SeqCst), "two probes in flight");
        let now = Instant::now();
        for _ in 0..2 {
            let permit = circuit.admit(now).expect("nothing is in flight: a probe or a request is let through");
            circuit.settle(permit, Outcome::Success, now);
        }
        assert_eq!((circuit.view(now).phase, circuit.view(now).failures), (Phase::Closed, 0));
        assert!(circuit.view(now).trips > 10, "the schedule never opened it: {:?}", circuit.view(now));
    }
}
