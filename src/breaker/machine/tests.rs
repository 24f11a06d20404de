use std::num::NonZeroU32;

use super::*;
use crate::breaker::policy::{Backoff, Recent, Trip};
use crate::breaker::window::Counts;
use crate::ratio::Ratio;

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
fn half_open_probe_that_outlives_its_lease_makes_room_and_has_no_say_any_more() {
    for late in [Outcome::Success, Outcome::Failure, Outcome::Neutral] {
        let mut bench = Bench::half_open();
        let lost = bench.admit();
        bench.now += LEASE;
        let second = bench.admit();
        bench.settle(lost, late);
        assert_eq!(bench.phase(), Phase::HalfOpen, "{late:?}");
        assert!(bench.breaker.admit(bench.now).is_err(), "the second probe is still in flight: {late:?}");
        bench.settle(second, Outcome::Success);
        assert_eq!(bench.phase(), Phase::Closed);
    }
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

#[test]
fn the_head_of_a_good_answer_closes_although_the_body_goes_on() {
    let mut bench = Bench::half_open();
    let mut probe = bench.admit();
    bench.breaker.answered(&mut probe, false, bench.now);
    assert_eq!(bench.phase(), Phase::Closed);
    bench.now += COOLDOWN;
    bench.run(Outcome::Failure);
    bench.settle(probe, Outcome::Success);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 1), "it counts where its head came");
}

/// A peer that answers 200 and breaks off every body would else have three more to break off after each cooldown.
#[test]
fn a_probe_whose_body_breaks_off_opens_it_again() {
    let mut bench = Bench::half_open();
    let mut probe = bench.admit();
    bench.breaker.answered(&mut probe, false, bench.now);
    assert_eq!((bench.phase(), bench.breaker.calm()), (Phase::Closed, None));
    bench.now += SECOND;
    bench.settle(probe, Outcome::Failure);
    assert_eq!(bench.phase(), Phase::Open);
    let view = bench.breaker.view(bench.now);
    assert_eq!((view.retry_at, view.failures, view.trips), (Some(bench.now + COOLDOWN), 3, 2));
}

#[test]
fn a_probe_whose_body_breaks_off_after_others_went_well_is_one_failure() {
    let mut bench = Bench::half_open();
    let mut probe = bench.admit();
    bench.breaker.answered(&mut probe, false, bench.now);
    bench.run(Outcome::Success);
    bench.settle(probe, Outcome::Failure);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 1));
}

#[test]
fn a_probe_that_ends_well_leaves_the_calm() {
    for outcome in [Outcome::Success, Outcome::Neutral] {
        let mut bench = Bench::half_open();
        let mut probe = bench.admit();
        bench.breaker.answered(&mut probe, false, bench.now);
        bench.settle(probe, outcome);
        assert!(bench.breaker.calm().is_some(), "{outcome:?}");
    }
}

/// A peer that answers 200 and breaks off every body used to count 0, 1, 0, 1 … and never opened.
#[test]
fn bodies_that_break_off_open_the_circuit_although_their_heads_were_good() {
    let mut bench = Bench::closed();
    for failures in [1, 2] {
        let mut permit = bench.admit();
        bench.breaker.answered(&mut permit, false, bench.now);
        assert_eq!(bench.failures(), 0);
        bench.settle(permit, Outcome::Failure);
        assert_eq!(bench.failures(), failures);
    }
    let mut permit = bench.admit();
    bench.breaker.answered(&mut permit, false, bench.now);
    bench.settle(permit, Outcome::Failure);
    assert_eq!(bench.phase(), Phase::Open);
}

#[test]
fn a_success_in_between_ends_the_row_of_a_body_that_breaks_off_later() {
    let mut bench = Bench::closed();
    bench.run(Outcome::Failure);
    bench.run(Outcome::Failure);
    let mut stream = bench.admit();
    bench.breaker.answered(&mut stream, false, bench.now);
    bench.run(Outcome::Success);
    bench.settle(stream, Outcome::Failure);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 1));
}

#[test]
fn failures_after_the_head_join_the_row_when_the_body_breaks_off() {
    let mut bench = Bench::closed();
    bench.run(Outcome::Failure);
    let mut stream = bench.admit();
    bench.breaker.answered(&mut stream, false, bench.now);
    bench.run(Outcome::Failure);
    assert_eq!(bench.failures(), 1);
    bench.settle(stream, Outcome::Failure);
    assert_eq!(bench.phase(), Phase::Open);
}

#[test]
fn a_long_body_that_ends_well_says_nothing_of_the_failures_since_its_head() {
    let mut bench = Bench::closed();
    let mut download = bench.admit();
    bench.breaker.answered(&mut download, false, bench.now);
    bench.run(Outcome::Failure);
    bench.run(Outcome::Failure);
    bench.settle(download, Outcome::Success);
    assert_eq!(bench.failures(), 2);
}

#[test]
fn a_body_that_ends_well_cannot_be_taken_back() {
    let mut bench = Bench::closed();
    bench.run(Outcome::Failure);
    let mut permit = bench.admit();
    bench.breaker.answered(&mut permit, false, bench.now);
    assert_eq!(bench.breaker.calm(), None, "the success may still be taken back");
    bench.settle(permit, Outcome::Success);
    assert!(bench.breaker.calm().is_some());
    // A neutral end (the client left) says nothing about the peer; the head's success stays.
    bench.run(Outcome::Failure);
    let mut permit = bench.admit();
    bench.breaker.answered(&mut permit, false, bench.now);
    bench.settle(permit, Outcome::Neutral);
    assert_eq!(bench.failures(), 0);
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

fn bench(trip: Trip, backoff: Option<Backoff>) -> Bench {
    let now = Instant::now();
    Bench { breaker: Breaker::new(Policy { trip, backoff, ..policy() }, Rng::seeded(1), now), now }
}

fn shares(failed: Option<u32>, slow: Option<u32>) -> Trip {
    let share = |percent: Option<u32>| percent.map(Ratio::percent);
    let min_requests = NonZeroU32::new(10).expect("10");
    let recent = Recent { window: 10 * SECOND, min_requests, failed: share(failed), slow: share(slow) };
    Trip { in_a_row: None, recent: Some(recent), both: false }
}

#[test]
fn a_share_of_failures_opens_it_once_there_are_enough_to_tell() {
    let mut bench = bench(shares(Some(50), None), None);
    for _ in 0..4 {
        bench.run(Outcome::Failure);
        bench.run(Outcome::Success);
    }
    bench.run(Outcome::Failure);
    assert_eq!((bench.phase(), bench.breaker.calm()), (Phase::Closed, None), "nine say nothing");
    let recent = bench.breaker.view(bench.now).recent;
    assert_eq!(recent, Some(Counts { total: 9, failed: 5, slow: 0 }));
    bench.run(Outcome::Neutral);
    assert_eq!(bench.phase(), Phase::Closed, "who went away says nothing");
    bench.run(Outcome::Success);
    assert_eq!(bench.phase(), Phase::Open, "a success makes it ten");
    bench.now += COOLDOWN;
    bench.run(Outcome::Success);
    assert_eq!(bench.breaker.view(bench.now).recent, Some(Counts::default()), "what was is forgotten");
}

#[test]
fn failures_that_are_over_open_nothing() {
    let mut bench = bench(shares(Some(50), None), None);
    for _ in 0..9 {
        bench.run(Outcome::Failure);
    }
    bench.now += 11 * SECOND;
    for _ in 0..9 {
        bench.run(Outcome::Failure);
    }
    assert_eq!(bench.phase(), Phase::Closed);
    bench.run(Outcome::Failure);
    assert_eq!(bench.phase(), Phase::Open);
}

#[test]
fn a_body_that_breaks_off_is_one_failure_of_the_window() {
    let mut bench = bench(shares(Some(50), None), None);
    for _ in 0..9 {
        let mut permit = bench.admit();
        bench.breaker.answered(&mut permit, false, bench.now);
        bench.settle(permit, Outcome::Failure);
    }
    assert_eq!(bench.breaker.view(bench.now).recent, Some(Counts { total: 9, failed: 9, slow: 0 }));
}

#[test]
fn slow_answers_open_it_and_a_slow_probe_opens_it_again() {
    let mut bench = bench(shares(None, Some(80)), None);
    for slow in [true, true, true, true, false, true, true, true, true, false] {
        assert_eq!(bench.phase(), Phase::Closed);
        let mut permit = bench.admit();
        bench.breaker.answered(&mut permit, slow, bench.now);
        bench.settle(permit, Outcome::Success);
    }
    assert_eq!(bench.phase(), Phase::Open);
    bench.now += COOLDOWN;
    let mut probe = bench.admit();
    bench.breaker.answered(&mut probe, true, bench.now);
    assert_eq!((bench.phase(), bench.breaker.view(bench.now).trips), (Phase::Open, 2));
    bench.now += COOLDOWN;
    bench.run(Outcome::Success);
    assert_eq!(bench.phase(), Phase::Closed);
}

#[test]
fn cooldowns_grow_while_probes_fail_and_begin_anew_once_it_has_been_well() {
    let backoff = Backoff { factor: 200, max: 4 * COOLDOWN, jitter: Ratio::percent(0) };
    let mut bench = bench(policy().trip, Some(backoff));
    let waits = |bench: &mut Bench| bench.breaker.view(bench.now).retry_at.expect("it is open") - bench.now;
    (0..3).for_each(|_| bench.run(Outcome::Failure));
    for times in [1, 2, 4, 4] {
        assert_eq!(waits(&mut bench), times * COOLDOWN);
        bench.now += times * COOLDOWN;
        bench.run(Outcome::Failure);
    }
    bench.now += 4 * COOLDOWN;
    bench.run(Outcome::Success);
    bench.now += 4 * COOLDOWN - SECOND;
    (0..3).for_each(|_| bench.run(Outcome::Failure));
    assert_eq!(waits(&mut bench), 4 * COOLDOWN, "it has not been well for as long as it was left alone");
    bench.now += 4 * COOLDOWN;
    bench.run(Outcome::Success);
    bench.now += 4 * COOLDOWN;
    (0..3).for_each(|_| bench.run(Outcome::Failure));
    assert_eq!(waits(&mut bench), COOLDOWN);
}

#[test]
fn a_jitter_spreads_cooldowns_of_breakers_that_open_together() {
    let backoff = Backoff { factor: 100, max: COOLDOWN, jitter: Ratio::percent(20) };
    let wait = |seed: u64| {
        let now = Instant::now();
        let mut breaker = Breaker::new(Policy { backoff: Some(backoff), ..policy() }, Rng::seeded(seed), now);
        for _ in 0..3 {
            let permit = breaker.admit(now).expect("closed");
            breaker.settle(permit, Outcome::Failure, now);
        }
        breaker.view(now).retry_at.expect("it is open") - now
    };
    let waits: std::collections::BTreeSet<Duration> = (1..=100).map(wait).collect();
    assert!(waits.len() > 90, "{waits:?}");
    assert!(waits.iter().all(|wait| (48 * SECOND..=72 * SECOND).contains(wait)), "{waits:?}");
    assert!(waits.last().zip(waits.first()).is_some_and(|(last, first)| *last - *first > 15 * SECOND));
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

/// What is known of a peer outlives what was thought of it.
#[test]
fn another_policy_leaves_the_state_as_it_is() {
    let one = Policy::in_a_row(NonZeroU32::MIN, SECOND, LEASE);
    let mut open = Bench::open();
    open.breaker.govern(one, open.now);
    assert_eq!(open.breaker.view(open.now).retry_at, Some(open.now + COOLDOWN));
    open.now += COOLDOWN;
    open.run(Outcome::Failure);
    assert_eq!(open.breaker.view(open.now).retry_at, Some(open.now + SECOND), "the next cooldown is by the new one");
    let mut held = Bench::closed();
    held.breaker.hold(Hold::Open, held.now);
    held.breaker.govern(one, held.now);
    assert!(held.breaker.is_held_open());
    let recent =
        Recent { window: COOLDOWN, min_requests: NonZeroU32::MIN, failed: Some(Ratio::percent(50)), slow: None };
    let shares = Policy { trip: Trip { in_a_row: None, recent: Some(recent), both: false }, ..policy() };
    let mut closed = Bench::closed();
    closed.run(Outcome::Failure);
    let before = closed.admit();
    closed.breaker.govern(shares, closed.now);
    assert_eq!((closed.failures(), closed.breaker.view(closed.now).recent), (1, Some(Counts::default())));
    closed.settle(before, Outcome::Failure);
    assert_eq!(closed.phase(), Phase::Closed, "it was admitted under another policy");
    closed.run(Outcome::Failure);
    assert_eq!(closed.phase(), Phase::Open);
}
