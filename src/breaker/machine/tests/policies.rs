//! What opens a breaker, and for how long, beside failures in a row and the same cooldown each time.

use std::num::NonZeroU32;

use super::*;
use crate::breaker::policy::{Backoff, Recent, Trip};
use crate::breaker::window::Counts;
use crate::ratio::Ratio;

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

/// Only the present probe's slowness decides anything.
#[test]
fn a_slow_answer_of_a_probe_that_outlived_its_lease_changes_nothing() {
    let mut bench = bench(shares(None, Some(50)), None);
    bench.breaker.reconsider(bench.now);
    (0..10).for_each(|_| {
        let mut permit = bench.admit();
        bench.breaker.answered(&mut permit, true, bench.now);
    });
    assert_eq!(bench.phase(), Phase::Open);
    bench.now += COOLDOWN;
    let mut lost = bench.admit();
    bench.now += LEASE;
    let mut present = bench.admit();
    bench.breaker.answered(&mut lost, true, bench.now);
    assert_eq!(bench.phase(), Phase::HalfOpen);
    bench.breaker.answered(&mut present, true, bench.now);
    assert_eq!(bench.phase(), Phase::Open);
}

#[test]
fn what_is_held_closed_hears_nothing() {
    let mut bench = bench(policy().trip, None);
    bench.breaker.hold(Hold::Closed, bench.now);
    let mut permit = bench.admit();
    bench.breaker.answered(&mut permit, false, bench.now);
    bench.settle(permit, Outcome::Failure);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 0));
}
