mod bodies;
mod policies;

use std::num::NonZeroU32;

use super::*;

const COOLDOWN: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(90);
const SECOND: Duration = Duration::from_secs(1);

fn policy() -> Policy {
    Policy::in_a_row(NonZeroU32::new(3).expect("3"), COOLDOWN, LEASE)
}

/// A breaker and the time it is.
struct Bench {
    breaker: Breaker,
    now: Instant,
}

impl Bench {
    fn closed() -> Self {
        let now = Instant::now();
        Bench { breaker: Breaker::new(policy(), Rng::seeded(1), now), now }
    }

    fn open() -> Self {
        let mut bench = Bench::closed();
        for _ in 0..3 {
            bench.run(Outcome::Failure);
        }
        assert_eq!(bench.phase(), Phase::Open);
        bench
    }

    fn half_open() -> Self {
        let mut bench = Bench::open();
        bench.now += COOLDOWN;
        bench
    }

    fn admit(&mut self) -> Permit {
        self.breaker.admit(self.now).expect("admitted")
    }

    fn settle(&mut self, permit: Permit, outcome: Outcome) {
        self.breaker.settle(permit, outcome, self.now);
    }

    fn run(&mut self, outcome: Outcome) {
        let permit = self.admit();
        self.settle(permit, outcome);
    }

    fn phase(&mut self) -> Phase {
        self.breaker.view(self.now).phase
    }

    fn failures(&mut self) -> u32 {
        self.breaker.view(self.now).failures
    }
}

#[test]
fn closed_success_resets_the_failures_in_a_row() {
    let mut bench = Bench::closed();
    bench.run(Outcome::Failure);
    bench.run(Outcome::Failure);
    assert_eq!(bench.failures(), 2);
    bench.run(Outcome::Success);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 0));
}

#[test]
fn closed_third_failure_in_a_row_opens_for_the_cooldown() {
    let mut bench = Bench::closed();
    for _ in 0..3 {
        bench.run(Outcome::Failure);
    }
    let view = bench.breaker.view(bench.now);
    assert_eq!((view.phase, view.failures, view.trips), (Phase::Open, 3, 1));
    assert_eq!((view.since, view.retry_at), (bench.now, Some(bench.now + COOLDOWN)));
    let refused = bench.breaker.admit(bench.now + COOLDOWN - SECOND).expect_err("refused");
    assert_eq!(refused, Refused::Open(bench.now + COOLDOWN));
}

#[test]
fn closed_neutral_leaves_the_count_alone() {
    let mut bench = Bench::closed();
    bench.run(Outcome::Failure);
    bench.run(Outcome::Failure);
    for _ in 0..10 {
        bench.run(Outcome::Neutral);
    }
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 2));
    bench.run(Outcome::Failure);
    assert_eq!(bench.phase(), Phase::Open);
}

#[test]
fn open_turns_half_open_when_the_cooldown_is_over() {
    let mut bench = Bench::open();
    bench.now += COOLDOWN - SECOND;
    assert_eq!(bench.phase(), Phase::Open);
    bench.now += SECOND;
    let view = bench.breaker.view(bench.now);
    assert_eq!((view.phase, view.retry_at, view.since), (Phase::HalfOpen, None, bench.now));
}

#[test]
fn half_open_admits_one_probe_at_a_time() {
    let mut bench = Bench::half_open();
    let _probe = bench.admit();
    for _ in 0..1000 {
        let refused = bench.breaker.admit(bench.now).expect_err("the probe is in flight");
        assert_eq!(refused, Refused::Probing);
    }
    assert_eq!(bench.phase(), Phase::HalfOpen);
}

#[test]
fn half_open_probe_that_succeeds_closes() {
    let mut bench = Bench::half_open();
    bench.run(Outcome::Success);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 0));
    let view = bench.breaker.view(bench.now);
    assert_eq!((view.since, view.trips), (bench.now, 1));
}

#[test]
fn half_open_probe_that_fails_opens_again_for_the_whole_cooldown() {
    let mut bench = Bench::half_open();
    bench.run(Outcome::Failure);
    let view = bench.breaker.view(bench.now);
    assert_eq!((view.phase, view.retry_at, view.trips), (Phase::Open, Some(bench.now + COOLDOWN), 2));
    assert_eq!(view.failures, 3);
}

#[test]
fn half_open_probe_that_ends_neutral_returns_its_permit() {
    let mut bench = Bench::half_open();
    bench.run(Outcome::Neutral);
    assert_eq!(bench.phase(), Phase::HalfOpen);
    bench.run(Outcome::Success);
    assert_eq!(bench.phase(), Phase::Closed);
}

#[test]
fn half_open_probe_that_outlives_its_lease_makes_room_and_can_only_do_good_any_more() {
    for late in [Outcome::Success, Outcome::Failure, Outcome::Neutral] {
        let mut bench = Bench::half_open();
        let lost = bench.admit();
        bench.now += LEASE;
        let second = bench.admit();
        bench.settle(lost, late);
        if late == Outcome::Success {
            assert_eq!(bench.phase(), Phase::Closed, "it answers, late or not");
            bench.settle(second, Outcome::Failure);
            assert_eq!(bench.phase(), Phase::Closed, "of before");
            continue;
        }
        assert_eq!(bench.phase(), Phase::HalfOpen, "{late:?}");
        assert!(bench.breaker.admit(bench.now).is_err(), "the second probe is still in flight: {late:?}");
        bench.settle(second, Outcome::Success);
        assert_eq!(bench.phase(), Phase::Closed);
    }
}

#[test]
fn half_open_probe_whose_request_is_on_its_way_is_the_only_one_for_less_long() {
    let mut bench = Bench::half_open();
    let second = Duration::from_secs(1);
    let upload = bench.admit();
    bench.breaker.shorten(&upload, bench.now + second);
    bench.now += second / 2;
    assert!(bench.breaker.outlook(bench.now).is_err());
    bench.breaker.renew(&upload, bench.now);
    bench.now += LEASE - second;
    assert!(bench.breaker.outlook(bench.now).is_err(), "it is there, and the lease began anew");
    bench.breaker.shorten(&upload, bench.now);
    let other = bench.admit();
    bench.breaker.renew(&upload, bench.now);
    bench.breaker.shorten(&upload, bench.now);
    assert!(bench.breaker.outlook(bench.now).is_err(), "of another probe it has no say");
    bench.settle(other, Outcome::Success);
    assert_eq!(bench.phase(), Phase::Closed);
}

#[test]
fn an_attempt_admitted_before_the_last_transition_has_no_effect() {
    for late in [Outcome::Success, Outcome::Failure, Outcome::Neutral] {
        let mut bench = Bench::closed();
        let early: Vec<Permit> = (0..4).map(|_| bench.admit()).collect();
        for _ in 0..3 {
            bench.run(Outcome::Failure);
        }
        let mut early = early.into_iter();
        let mut settle_one = |bench: &mut Bench| bench.settle(early.next().expect("four"), late);
        settle_one(&mut bench);
        assert_eq!((bench.phase(), bench.failures()), (Phase::Open, 3), "{late:?} while open");
        bench.now += COOLDOWN;
        settle_one(&mut bench);
        let probe = bench.admit();
        settle_one(&mut bench);
        assert!(bench.breaker.admit(bench.now).is_err(), "{late:?} while the probe is in flight");
        bench.settle(probe, Outcome::Success);
        settle_one(&mut bench);
        assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 0), "{late:?} after it closed");
    }
}

/// Random schedules of everything that can happen, checked after every step. A failure prints its seed.
#[test]
fn no_schedule_breaks_the_invariants() {
    for seed in 1..=400_u64 {
        let mut rng = Rng::seeded(seed);
        let mut bench = Bench::closed();
        // In flight: the permit, whether its head came, and (for a probe) when its lease ends.
        let mut flying: Vec<(Permit, bool, Option<Instant>)> = Vec::new();
        let mut settled_since_change = 0_u32;
        for step in 0..500 {
            let before = bench.breaker.view(bench.now);
            let where_ = || format!("seed {seed}, step {step}");
            match rng.below(10) {
                0..=3 => {
                    if let Ok(permit) = bench.breaker.admit(bench.now) {
                        assert_ne!(before.phase, Phase::Open, "admitted while open: {}", where_());
                        let lease = (before.phase == Phase::HalfOpen).then(|| bench.now + LEASE);
                        let probing = flying.iter().filter(|f| f.2.is_some_and(|end| bench.now < end)).count();
                        assert!(lease.is_none() || probing == 0, "two probes in flight: {}", where_());
                        flying.push((permit, false, lease));
                    } else {
                        assert_ne!(before.phase, Phase::Closed, "refused while closed: {}", where_());
                    }
                }
                4 if !flying.is_empty() => {
                    let at = rng.below(flying.len() as u64) as usize;
                    bench.breaker.answered(&mut flying[at].0, false, bench.now);
                    flying[at].1 = true;
                }
                5..=7 if !flying.is_empty() => {
                    let at = rng.below(flying.len() as u64) as usize;
                    let (permit, _, _) = flying.swap_remove(at);
                    let outcome =
                        [Outcome::Success, Outcome::Failure, Outcome::Failure, Outcome::Neutral][rng.below(4) as usize];
                    bench.settle(permit, outcome);
                    settled_since_change += u32::from(outcome == Outcome::Failure);
                }
                // Lost without a word: only the lease gives a probe back.
                8 if !flying.is_empty() && rng.below(4) == 0 => {
                    let at = rng.below(flying.len() as u64) as usize;
                    flying.remove(at);
                }
                _ => bench.now += Duration::from_millis(rng.below(40_000)),
            }
            let view = bench.breaker.view(bench.now);
            assert!(view.failures <= 3, "failures above the threshold: {}", where_());
            assert!(view.trips <= before.trips + 1, "one step, two trips: {}", where_());
            if view.phase == Phase::Closed {
                assert!(view.failures <= settled_since_change, "an outcome counted twice: {}", where_());
            }
            if view.since != before.since {
                settled_since_change = 0;
                // A probe's permit is spent by the transition that it caused.
                flying.iter_mut().for_each(|f| f.2 = None);
            }
        }
        // From wherever it is: a peer that is healthy from now on is back after one cooldown and one lease.
        bench.now += COOLDOWN + LEASE;
        for _ in 0..2 {
            bench.run(Outcome::Success);
        }
        assert_eq!(bench.phase(), Phase::Closed, "wedged: seed {seed}");
    }
}

#[test]
fn what_is_held_by_hand_stays_so_until_it_is_reset() {
    let mut bench = Bench::closed();
    bench.breaker.hold(Hold::Open, bench.now);
    assert_eq!(bench.breaker.admit(bench.now + 1_000 * COOLDOWN).expect_err("drained"), Refused::Held);
    let view = bench.breaker.view(bench.now);
    assert_eq!((view.phase, view.retry_at, view.held, view.trips), (Phase::Open, None, true, 0));
    bench.breaker.reconsider(bench.now);
    assert!(bench.breaker.admit(bench.now).is_err(), "no health check overrules who holds it");
    let mut early = Bench::closed();
    let permit = early.admit();
    early.breaker.hold(Hold::Closed, early.now);
    early.settle(permit, Outcome::Failure);
    (0..10).for_each(|_| early.run(Outcome::Failure));
    let view = early.breaker.view(early.now);
    assert_eq!((view.phase, view.failures, view.held), (Phase::Closed, 0, true));
    early.breaker.reset(early.now);
    (0..3).for_each(|_| early.run(Outcome::Failure));
    assert_eq!((early.phase(), early.breaker.view(early.now).held), (Phase::Open, false));
    early.breaker.reset(early.now);
    assert_eq!(early.phase(), Phase::Closed);
}

#[test]
fn an_open_one_that_is_reconsidered_probes_early_and_no_other_is_changed() {
    let mut bench = Bench::open();
    bench.breaker.reconsider(bench.now);
    assert_eq!(bench.phase(), Phase::HalfOpen);
    let probe = bench.admit();
    bench.breaker.reconsider(bench.now);
    assert!(bench.breaker.admit(bench.now).is_err(), "the probe is still the only one");
    bench.settle(probe, Outcome::Success);
    bench.run(Outcome::Failure);
    bench.breaker.reconsider(bench.now);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 1));
}
