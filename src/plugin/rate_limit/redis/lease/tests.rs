//! Leases over several replicas, simulated: no clock but the schedule's, no Redis but its core.

use std::num::NonZeroU32;

use super::*;
use crate::plugin::rate_limit::algorithm::{Counter, decide};
use crate::rng::Rng;

fn quota(algorithm: LimitAlgorithm, max: u32, millis: u64, burst: u32) -> Quota {
    let count = |n| NonZeroU32::new(n).expect("not 0");
    let (burst, reserve) = if algorithm == LimitAlgorithm::TokenBucket { (burst, burst / 8) } else { (max, 0) };
    Quota { algorithm, max: count(max), window: Duration::from_millis(millis), burst: count(burst), reserve }
}

/// Replicas that share one counter, and one that counts every request at the moment that it passes, by the whole
/// quota: what it has no room for should not have passed.
struct Fleet {
    charge: Charge,
    shared: Counter,
    truth: Counter,
    leases: Vec<Option<Lease>>,
    start: Instant,
    calls: u32,
    admitted: u32,
    /// What leases had left that ended before they were spent, and when it was given up.
    lost: Vec<(u64, u32)>,
}

impl Fleet {
    fn new(quota: Quota, replicas: usize) -> Self {
        let counter = || Counter::new(quota.algorithm);
        Fleet {
            charge: Charge::one(quota),
            shared: counter(),
            truth: counter(),
            leases: vec![None; replicas],
            start: Instant::now(),
            calls: 0,
            admitted: 0,
            lost: Vec::new(),
        }
    }

    /// One request at a replica: it passes by its lease, or by Redis, which was asked `late` milliseconds ago.
    fn request(&mut self, replica: usize, now: u64, late: u64) -> bool {
        let charges = [self.charge];
        let asked_at = self.start + Duration::from_millis(now - late);
        let lease = &mut self.leases[replica];
        let by_lease =
            lease.as_mut().and_then(|lease| lease.spend(charges.iter(), self.start + Duration::from_millis(now)));
        let mut allowed = by_lease.is_some();
        if !allowed {
            let wish = lease.as_ref().map_or(0, |lease| lease.wish(asked_at));
            self.lost.extend(lease.as_ref().map(|lease| (now, lease.left())));
            self.calls += 1;
            let answer = decide(std::slice::from_mut(&mut self.shared), &charges, now, 1, wish);
            allowed = answer.granted > 0;
            self.leases[replica] = Some(Lease::new(answer, charges.iter(), asked_at, 1));
        }
        if allowed {
            let whole = Charge::one(Quota { reserve: 0, ..self.charge.quota });
            let answer = decide(std::slice::from_mut(&mut self.truth), &[whole], now, 1, 0);
            assert_eq!(answer.granted, 1, "more than the limit passed at {now}: {:?}", self.charge.quota);
        }
        self.admitted += u32::from(allowed);
        allowed
    }

    /// What the replicas but one hold.
    fn held_beside(&self, replica: usize, now: u64) -> u32 {
        let now = self.start + Duration::from_millis(now);
        let others = self.leases.iter().enumerate().filter(|(other, _)| *other != replica);
        others.filter_map(|(_, lease)| lease.as_ref().filter(|lease| now < lease.ends)).map(Lease::left).sum()
    }

    /// What has been lost since `when`, or will be since its lease has ended.
    fn lost(&self, when: u64, now: u64) -> u32 {
        let given_up = self.lost.iter().filter(|(at, _)| *at >= when).map(|(_, left)| left).sum::<u32>();
        let [when, now] = [when, now].map(|millis| self.start + Duration::from_millis(millis));
        let ended = self.leases.iter().flatten().filter(|lease| (when..=now).contains(&lease.ends));
        given_up + ended.map(Lease::left).sum::<u32>()
    }

    /// The most that they can hold, by what the docs say.
    fn bound(&self) -> f64 {
        let others = self.leases.len() as i32 - 1;
        f64::from(self.charge.quota.limit()) * (1.0 - 0.875_f64.powi(others))
    }
}

/// Thousands of schedules: few and many replicas, all load at one of them or spread, slow and fast.
#[test]
fn never_more_than_the_limit_passes_and_never_less_than_it_but_for_what_others_hold() {
    let (mut refusals, mut leased, mut most_held) = (0, 0, 0.0_f64);
    for seed in 1..=3_000 {
        let mut rng = Rng::seeded(seed);
        let algorithm = LimitAlgorithm::ALL[rng.below(3) as usize];
        let quota = quota(algorithm, 1 + rng.below(300) as u32, 200 + rng.below(3_000), 1 + rng.below(300) as u32);
        let mut fleet = Fleet::new(quota, 1 + rng.below(6) as usize);
        // The skew: of two replicas drawn, the lower one, again and again.
        let (skew, pace, delay) = (rng.below(3), 1 + rng.below(30), 1 + rng.below(5));
        let mut now = 1_000_000;
        for _ in 0..400 {
            now += rng.below(pace);
            let replica = (0..=skew).map(|_| rng.below(fleet.leases.len() as u64)).min().unwrap_or(0) as usize;
            if fleet.request(replica, now, rng.below(delay)) {
                continue;
            }
            refusals += 1;
            let held = fleet.held_beside(replica, now);
            assert!(f64::from(held) <= fleet.bound(), "seed {seed}: {held} held, {} at most", fleet.bound());
            most_held = most_held.max(f64::from(held) / f64::from(quota.limit()));
            if algorithm == LimitAlgorithm::FixedWindow {
                // Whatever was counted has passed, but for what others hold, and what leases had left that ended
                // before their window did, by as long as Redis took to be asked.
                let lost = fleet.lost(now - delay, now);
                let passed =
                    quota.max.get() - decide(&mut [fleet.truth], &[fleet.charge], now, 0, 0).standings[0].remaining;
                assert!(
                    passed + held + lost >= quota.max.get(),
                    "seed {seed}: refused after {passed}, with {held} held"
                );
            }
        }
        leased += fleet.admitted.saturating_sub(fleet.calls);
    }
    assert!(refusals > 10_000 && leased > 100_000, "the schedules prove nothing: {refusals}, {leased}");
    assert!(most_held > 0.05, "nobody ever held much: {most_held}");
}

#[test]
fn a_busy_replica_asks_seldom_and_an_idle_one_holds_nothing() {
    let mut fleet = Fleet::new(quota(LimitAlgorithm::FixedWindow, 1_000_000, 60_000, 0), 2);
    assert!(fleet.request(1, 1_000, 0));
    assert_eq!(fleet.held_beside(0, 1_000), 0, "one request takes one");
    for _ in 0..100_000 {
        assert!(fleet.request(0, 1_000, 0));
    }
    assert!(fleet.calls < 30, "{} calls", fleet.calls);
}

#[test]
fn the_end_of_a_window_ends_a_lease() {
    let mut fleet = Fleet::new(quota(LimitAlgorithm::FixedWindow, 100, 1_000, 0), 1);
    assert!((0..4).all(|_| fleet.request(0, 5_000, 0)));
    assert!(fleet.leases[0].as_ref().is_some_and(|lease| lease.left() > 0));
    let calls = fleet.calls;
    assert!(fleet.request(0, 5_999, 0));
    assert_eq!(fleet.calls, calls, "the lease is good to the last millisecond");
    assert!(fleet.request(0, 6_000, 0));
    assert_eq!(fleet.calls, calls + 1, "and not for one more");
}

#[test]
fn what_clients_are_told_counts_on_while_a_lease_is_spent() {
    let mut fleet = Fleet::new(quota(LimitAlgorithm::FixedWindow, 100, 1_000, 0), 1);
    assert!((0..4).all(|_| fleet.request(0, 5_000, 0)));
    let lease = fleet.leases[0].as_mut().expect("one");
    let view = |decision: Decision| (decision.views[0].remaining, decision.views[0].reset.as_millis());
    let at = |millis| fleet.start + Duration::from_millis(millis);
    let charge = [fleet.charge];
    let spent = [5_000, 5_400].map(|now| lease.spend(charge.iter(), at(now)).map(view));
    assert_eq!(spent, [Some((95, 1_000)), Some((94, 600))]);
}

mod held {
    use std::sync::Arc;

    use super::*;
    use crate::plugin::rate_limit::fingerprint::Hasher;
    use crate::plugin::rate_limit::rule::{Limits, Rule};

    fn limits(quota: Quota) -> Arc<Limits> {
        Arc::new(Limits::new(vec![Rule::by_address(1, quota)], true))
    }

    fn answer(granted: u32) -> Answer {
        let quota = quota(LimitAlgorithm::FixedWindow, 1_000, 1_000, 0);
        decide(&mut [Counter::new(quota.algorithm)], &[Charge::one(quota)], 0, granted, 0)
    }

    #[test]
    fn a_bucket_without_a_reserve_is_never_leased() {
        let (leases, hasher, now) = (Leases::default(), Hasher::default(), Instant::now());
        for (burst, wish) in [(7, 0), (80, 1)] {
            let asked = limits(quota(LimitAlgorithm::TokenBucket, 1, 1_000, burst)).ask_for(&[0], 1, &hasher);
            leases.hold(&asked, &answer(1), now, 1);
            assert_eq!(leases.wish(&asked, now), wish, "burst {burst}");
        }
    }
}
