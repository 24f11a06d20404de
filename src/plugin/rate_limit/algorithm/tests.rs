//! What holds for any algorithm, quota and schedule, and then each one's own bound.

use super::*;

/// xorshift64*: small, seeded, good enough to shuffle a schedule.
struct Rng(u64);

impl Rng {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

fn quota(algorithm: Algorithm, max: u32, millis: u64, burst: u32) -> Quota {
    let count = |n| NonZeroU32::new(n).expect("not 0");
    Quota { algorithm, max: count(max), window: Duration::from_millis(millis), burst: count(burst) }
}

fn random_quota(algorithm: Algorithm, rng: &mut Rng) -> Quota {
    let max = 1 + rng.below(20) as u32;
    let burst = if algorithm == Algorithm::TokenBucket { 1 + rng.below(20) as u32 } else { max };
    quota(algorithm, max, 1 + rng.below(5_000), burst)
}

/// Runs random schedules of each algorithm; `check` sees the counter before, the moment, what was wanted and
/// the counter after with its answer.
fn schedules(mut check: impl FnMut(&Quota, Counter, u64, u32, Counter, Answer)) {
    for algorithm in Algorithm::ALL {
        let mut rng = Rng(42);
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
        let each: Vec<Answer> = (0..wanted).map(|_| counter.take(quota, now, 1)).collect();
        assert_eq!(each.iter().map(|answer| answer.granted).sum::<u32>(), together.granted, "{quota:?} at {now}");
        assert_eq!(counter, after);
        for (place, one) in (1..).zip(&each) {
            let (alone, of_many) = (one.decision(quota, 1), together.decision(quota, place));
            assert_eq!((alone.allowed, alone.remaining), (of_many.allowed, of_many.remaining), "{quota:?} at {now}");
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
    let mut rng = Rng(7);
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
    let mut rng = Rng(11);
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

#[test]
fn the_largest_quotas_do_not_overflow() {
    let longest = 1 << 53;
    for algorithm in Algorithm::ALL {
        let quota = quota(algorithm, 1, longest, 1);
        let mut counter = Counter::new(algorithm);
        assert_eq!(counter.take(&quota, longest * 3 + 5, 2).granted, 1);
        let many = Quota::fixed(NonZeroU32::MAX, Duration::from_secs(366 * 86_400));
        assert_eq!(Counter::new(Algorithm::FixedWindow).take(&many, longest, u32::MAX).granted, u32::MAX);
    }
}
