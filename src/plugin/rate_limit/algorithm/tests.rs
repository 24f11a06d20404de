//! What holds for any algorithm, quota and schedule, and then each one's own bound.

use super::*;
use crate::rng::Rng;

fn quota(algorithm: Algorithm, max: u32, millis: u64, burst: u32) -> Quota {
    let count = |n| NonZeroU32::new(n).expect("not 0");
    Quota { algorithm, max: count(max), window: Duration::from_millis(millis), burst: count(burst), reserve: 0 }
}

fn random_quota(algorithm: Algorithm, rng: &mut Rng) -> Quota {
    let max = 1 + rng.below(20) as u32;
    let burst = if algorithm == Algorithm::TokenBucket { 1 + rng.below(20) as u32 } else { max };
    quota(algorithm, max, 1 + rng.below(5_000), burst)
}

/// What one counter answers to requests of one unit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    granted: u32,
    remaining: u32,
    retry_after: u64,
    reset: u64,
}

impl Counter {
    fn take(&mut self, quota: &Quota, now: u64, wanted: u32) -> Told {
        let answer = decide(std::slice::from_mut(self), &[Charge::one(*quota)], now, wanted, 0);
        let Standing { remaining, retry_after, reset, .. } = answer.standings[0];
        Told { granted: answer.granted, remaining, retry_after, reset }
    }

    fn is_dead(&self, quota: &Quota, now: u64) -> bool {
        { *self }.charge_anyway(quota, now, 0) == 0
    }
}

/// Runs random schedules of each algorithm; `check` sees the counter before, the moment, what was wanted and
/// the counter after with its answer.
fn schedules(mut check: impl FnMut(&Quota, Counter, u64, u32, Counter, Told)) {
    for algorithm in Algorithm::ALL {
        let mut rng = Rng::seeded(42);
        for _ in 0..200 {
            let quota = random_quota(algorithm, &mut rng);
            let (mut counter, mut now) = (Counter::new(algorithm), 1_000_000 + rng.below(100_000));
            for _ in 0..200 {
                now += rng.below(quota.window_millis() / 3 + 2);
                let (before, wanted) = (counter, 1 + rng.below(4) as u32);
                let answer = counter.take(&quota, now, wanted);
                check(&quota, before, now, wanted, counter, answer);
            }
        }
    }
}

#[test]
fn together_as_many_pass_as_one_after_the_other() {
    schedules(|quota, before, now, wanted, after, together| {
        let mut counter = before;
        let each: Vec<Told> = (0..wanted).map(|_| counter.take(quota, now, 1)).collect();
        assert_eq!(each.iter().map(|answer| answer.granted).sum::<u32>(), together.granted, "{quota:?} at {now}");
        assert_eq!(counter, after);
        let charge = Charge::one(*quota);
        let answer = decide(&mut [before], &[charge], now, wanted, 0);
        for (place, one) in (1..).zip(&each) {
            let decision = answer.decision([charge].iter(), place);
            assert_eq!((decision.allowed, decision.views[0].fits), (one.granted == 1, one.granted == 1));
            assert_eq!(decision.views[0].remaining, one.remaining, "{quota:?} at {now}");
        }
    });
}

#[test]
fn retry_after_and_reset_are_exact_to_the_millisecond() {
    schedules(|quota, _, now, _, after, answer| {
        let passes = |at| { after }.take(quota, at, 1).granted == 1;
        if answer.remaining == 0 {
            assert!(answer.retry_after > 0 && !passes(now + answer.retry_after - 1), "{quota:?} {after:?} {answer:?}");
            assert!(passes(now + answer.retry_after), "{quota:?} {after:?} at {now}: {answer:?}");
        } else {
            assert_eq!(answer.retry_after, 0);
            assert!(passes(now));
        }
        // With the whole quota there, all but one are left when one has passed.
        let left = |at| { after }.take(quota, at, 1).remaining;
        assert_eq!(left(now + answer.reset), quota.limit() - 1, "{quota:?} {after:?} at {now}: {answer:?}");
        assert!(after.is_dead(quota, now + answer.reset));
        if answer.reset > 0 {
            assert!(!after.is_dead(quota, now + answer.reset - 1), "{quota:?} {after:?} at {now}: {answer:?}");
        }
    });
}

#[test]
fn refused_requests_use_up_nothing() {
    schedules(|quota, before, now, _, after, answer| {
        if answer.granted == 0 {
            let (mut a, mut b) = (before, after);
            let later = now + answer.retry_after;
            assert_eq!(a.take(quota, later, 1), b.take(quota, later, 1));
        }
    });
}

/// How many passed in any stretch of time, against `bound(milliseconds of it)`.
fn never_more(algorithm: Algorithm, bound: impl Fn(&Quota, u64) -> u64) {
    let mut rng = Rng::seeded(7);
    for _ in 0..60 {
        let quota = random_quota(algorithm, &mut rng);
        let (mut counter, mut now, mut passed) = (Counter::new(algorithm), 1_000_000, Vec::new());
        for _ in 0..150 {
            now += rng.below(quota.window_millis() / 2 + 2);
            let answer = counter.take(&quota, now, 1 + rng.below(30) as u32);
            passed.push((now, u64::from(answer.granted)));
            for first in 0..passed.len() {
                let count: u64 = passed[first..].iter().map(|(_, count)| count).sum();
                let time = now - passed[first].0;
                assert!(count <= bound(&quota, time), "{quota:?}: {count} in {time} ms");
            }
        }
    }
}

#[test]
fn a_fixed_window_lets_no_more_than_twice_its_quota_through_in_any_window() {
    never_more(Algorithm::FixedWindow, |quota, time| u64::from(quota.max.get()) * (2 + time / quota.window_millis()));
}

#[test]
fn a_sliding_window_has_no_burst_at_its_edge() {
    never_more(Algorithm::SlidingWindow, |quota, time| {
        let (max, window) = (u64::from(quota.max.get()), quota.window_millis());
        if time <= window { max + max * time / window } else { max * (2 + time / window) }
    });
}

#[test]
fn a_token_bucket_lets_its_burst_through_and_then_its_rate() {
    never_more(Algorithm::TokenBucket, |quota, time| {
        u64::from(quota.burst.get()) + u64::from(quota.max.get()) * time / quota.window_millis()
    });
}

#[test]
fn a_quota_that_changes_while_a_counter_runs_never_underflows() {
    let mut rng = Rng::seeded(11);
    for algorithm in Algorithm::ALL {
        for _ in 0..500 {
            let mut counter = Counter::new(algorithm);
            let mut now = 1_000_000;
            for _ in 0..20 {
                let quota = random_quota(algorithm, &mut rng);
                // Clocks step back, too.
                now = (now + rng.below(6_000)).saturating_sub(rng.below(1_500));
                let answer = counter.take(&quota, now, 3);
                assert!(answer.granted + answer.remaining <= quota.limit(), "{quota:?}: {answer:?}");
            }
        }
    }
}

/// Requests come to a counter in another order than their times, and clocks step back: what has been counted stays.
#[test]
fn a_step_back_of_the_clock_forgets_nothing() {
    let mut rng = Rng::seeded(31);
    for algorithm in Algorithm::ALL {
        for window in [2_500, 60_000, 86_400_000] {
            let quota = quota(algorithm, 10, window, 10);
            // Around the end of an aligned window, and in the middle of one.
            for middle in [1_000 * window, 1_000 * window + window / 2] {
                let mut counter = Counter::new(algorithm);
                let granted: u32 = (0..200)
                    .map(|_| counter.take(&quota, middle - 400 + rng.below(800), 1 + rng.below(2) as u32).granted)
                    .sum();
                // A window before fades by as much as time goes by.
                let faded = u64::from(algorithm != Algorithm::FixedWindow) * 10 * 800 / window;
                assert!(u64::from(granted) <= 10 + faded, "{quota:?} around {middle}: {granted}");
                assert!(granted >= 10, "{quota:?} around {middle}: {granted}");
            }
        }
    }
}

/// A bucket drained only once the clock was where it had been, which may be hours later.
#[test]
fn a_clock_that_is_set_back_further_begins_anew() {
    for algorithm in Algorithm::ALL {
        let (quota, now) = (quota(algorithm, 10, 60_000, 10), 1_000 * 60_000);
        let mut counter = Counter::new(algorithm);
        assert_eq!(counter.take(&quota, now, 10).granted, 10);
        let before = now - 3_600_000;
        assert_eq!(counter.take(&quota, before, 10).granted, 10, "{algorithm:?}");
        assert_eq!(counter.take(&quota, before, 1).granted, 0, "{algorithm:?}");
    }
}

#[test]
fn a_window_that_was_shortened_ends_when_a_new_one_would_or_soon_after() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let (long, short) = (quota(algorithm, 1, 86_400_000, 1), quota(algorithm, 1, 60_000, 1));
        let mut counter = Counter::new(algorithm);
        let now = 1_000 * 86_400_000 + 5_000;
        assert_eq!((counter.take(&long, now, 1).granted, counter.take(&long, now, 1).granted), (1, 0));
        assert_eq!(counter.take(&short, now + 130_000, 1).granted, 1, "{algorithm:?}");
    }
}

#[test]
fn the_largest_quotas_do_not_overflow() {
    let longest = 1 << 52;
    for algorithm in Algorithm::ALL {
        let quota = quota(algorithm, 1, longest, 1);
        let mut counter = Counter::new(algorithm);
        assert_eq!(counter.take(&quota, longest * 3 + 5, 2).granted, 1);
        let many = Quota::fixed(NonZeroU32::MAX, Duration::from_secs(366 * 86_400));
        assert_eq!(Counter::new(Algorithm::FixedWindow).take(&many, longest, u32::MAX).granted, u32::MAX);
    }
}

/// Random counters of random quotas and costs, at one moment, as schedules leave them.
fn together(mut check: impl FnMut(&[Counter], &[Charge], u64, u32, u32)) {
    let mut rng = Rng::seeded(23);
    for _ in 0..400 {
        let charges: Vec<Charge> = (0..1 + rng.below(4))
            .map(|_| {
                let quota = random_quota(Algorithm::ALL[rng.below(3) as usize], &mut rng);
                let cost = NonZeroU32::new(1 + rng.below(quota.limit().min(4).into()) as u32).expect("not 0");
                Charge { quota, cost, dry_run: rng.below(4) == 0 }
            })
            .collect();
        let mut counters: Vec<Counter> = charges.iter().map(|charge| Counter::new(charge.quota.algorithm)).collect();
        let mut now = 1_000_000;
        for _ in 0..40 {
            now += rng.below(800);
            let (wanted, spare) = (1 + rng.below(5) as u32, rng.below(3) as u32 * 10);
            check(&counters, &charges, now, wanted, spare);
            decide(&mut counters, &charges, now, wanted, spare);
        }
    }
}

#[test]
fn all_counters_are_charged_alike_or_none() {
    together(|before, charges, now, wanted, spare| {
        let mut after = before.to_vec();
        let answer = decide(&mut after, charges, now, wanted, spare);
        for (((counter, charge), mut lone), standing) in
            after.iter().zip(charges).zip(before.iter().copied()).zip(&answer.standings)
        {
            lone.advance(&charge.quota, now);
            let fits = lone.room(&charge.quota, now) / charge.cost;
            assert_eq!(standing.fits, fits);
            assert!(charge.dry_run || answer.granted <= fits, "{charge:?}: more was granted than fits");
            lone.charge(&charge.quota, answer.granted.min(fits) * charge.cost.get());
            assert_eq!(*counter, lone, "{charge:?}");
        }
        let tightest = charges.iter().zip(&answer.standings).filter(|(charge, _)| !charge.dry_run);
        let tightest = tightest.map(|(_, standing)| standing.fits).min();
        assert_eq!(answer.granted.min(wanted), tightest.unwrap_or(wanted).min(wanted), "{charges:?}");
    });
}

#[test]
fn what_is_granted_for_later_is_an_eighth_of_what_is_left_at_most() {
    let mut leases = 0;
    together(|before, charges, now, wanted, spare| {
        let answer = decide(&mut before.to_vec(), charges, now, wanted, spare);
        let fit = charges.iter().zip(&answer.standings).filter(|(charge, _)| !charge.dry_run);
        let extra = answer.granted.saturating_sub(wanted);
        let left = fit.map(|(_, standing)| standing.fits.saturating_sub(wanted)).min().unwrap_or(0);
        assert_eq!(extra, if answer.granted < wanted { 0 } else { spare.min(left / 8) }, "{charges:?}");
        leases += extra;
    });
    assert!(leases > 100, "the schedules never leased: {leases}");
}

#[test]
fn a_request_passes_at_the_moment_that_retry_after_says_and_not_before() {
    let mut refused = 0;
    together(|before, charges, now, wanted, _| {
        let mut after = before.to_vec();
        let answer = decide(&mut after, charges, now, wanted, 0);
        let decision = answer.decision(charges.iter(), answer.granted + 1);
        assert!(!decision.allowed);
        if answer.granted == wanted {
            return;
        }
        refused += 1;
        let wait = decision.retry_after.as_millis() as u64;
        let passes = |at: u64| decide(&mut after.clone(), charges, at, 1, 0).granted == 1;
        assert!(wait > 0 && !passes(now + wait - 1), "{charges:?} {after:?} at {now}: {wait}");
        assert!(passes(now + wait), "{charges:?} {after:?} at {now}: {wait}");
    });
    assert!(refused > 100, "the schedules never refused: {refused}");
}

#[test]
fn a_debt_is_one_quota_at_most_and_is_paid() {
    let mut rng = Rng::seeded(31);
    for algorithm in Algorithm::ALL {
        for _ in 0..200 {
            let quota = random_quota(algorithm, &mut rng);
            let (mut counter, now) = (Counter::new(algorithm), 1_000_000 + rng.below(100_000));
            counter.take(&quota, now, quota.limit());
            let reset = counter.charge_anyway(&quota, now, u32::MAX);
            let told = counter.take(&quota, now, 1);
            assert_eq!((told.granted, told.remaining), (0, 0), "{quota:?}");
            assert!(told.retry_after > 0 && told.reset == reset);
            assert_eq!(counter.take(&quota, now + told.retry_after - 1, 1).granted, 0, "{quota:?}");
            assert_eq!(counter.take(&quota, now + told.retry_after, 1).granted, 1, "{quota:?}");
            let drained = (2 * u64::from(quota.limit()) * quota.window_millis()).div_ceil(quota.max.get().into());
            assert!(reset <= drained.max(2 * quota.window_millis()), "{quota:?}: {reset}");
        }
    }
}

#[test]
fn a_counter_is_two_numbers() {
    schedules(|quota, _, _, _, after, _| {
        assert_eq!(Counter::unpack(quota.algorithm, after.pack()), after);
    });
}
