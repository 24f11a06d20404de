use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;

use http::HeaderValue;

use super::*;
use crate::breaker::{Hold, Phase, Policy};
use crate::upstream::concurrency::Concurrency;
use crate::upstream::criteria::Criteria;
use crate::upstream::hash;
use crate::upstream::record::Cause;
use crate::upstream::registry::Blueprint;
use crate::upstream::target::{Share, Target};

const COOLDOWN: Duration = Duration::from_secs(60);
const ALL: [Algorithm; 5] = [
    Algorithm::RoundRobin,
    Algorithm::LeastRequest,
    Algorithm::PeakEwma,
    Algorithm::ConsistentHash { load_factor: 125 },
    Algorithm::Random,
];

fn members(count: usize, change: impl Fn(usize, &mut Member)) -> Vec<Arc<Member>> {
    let all = Arc::new(AtomicU32::new(0));
    let member = |number: usize| {
        let policy = Policy::in_a_row(NonZeroU32::new(3).expect("3"), COOLDOWN, COOLDOWN);
        let blueprint =
            Blueprint { generation: 1, criteria: Criteria::none_but_5xx(), policy: Some(policy), check: None };
        let url = format!("http://t{number}:1").parse().expect("a URL");
        let mut member = Member::of(Target::at(url, blueprint));
        member.share = Some(Share { mine: AtomicU32::new(0), all: all.clone() });
        change(number, &mut member);
        Arc::new(member)
    };
    (0..count).map(member).collect()
}

/// A pool and whose turn it is.
struct Bench {
    pool: Pool,
    turn: AtomicUsize,
    members: Vec<Arc<Member>>,
}

impl Bench {
    fn pick(&self, hash: u64, tried: &[u32], now: Instant) -> Result<Attempt, Unavailable> {
        self.pool.pick(&self.turn, Wish { hash, tried, now }, &mut |_, _| {})
    }
}

fn of(members: Vec<(u16, Arc<Member>)>, algorithm: Algorithm) -> Bench {
    let pool = Pool::new(members, algorithm);
    Bench { members: pool.members().cloned().collect(), pool, turn: AtomicUsize::new(0) }
}

fn pool(count: usize, algorithm: Algorithm, change: impl Fn(usize, &mut Member)) -> Bench {
    of(members(count, change).into_iter().map(|member| (0, member)).collect(), algorithm)
}

fn id() -> HeaderValue {
    HeaderValue::from_static("id")
}

/// Opens the circuits of these members.
fn open(pool: &Bench, which: impl IntoIterator<Item = usize>, now: Instant) {
    for number in which {
        for _ in 0..3 {
            let mut attempt = Attempt::admit(&pool.members[number], now).expect("closed");
            attempt.fail(Cause::Broken("reset".into()), &id(), now);
        }
    }
}

/// How many of so many requests, each over at once, go to each.
fn shares(pool: &Bench, requests: u64, now: Instant) -> Vec<u64> {
    let before: Vec<u64> = pool.members.iter().map(|member| member.target.record.totals().requests).collect();
    for request in 0..requests {
        let hash = hash::of(&request.to_be_bytes());
        let mut attempt = pool.pick(hash, &[], now).expect("one admits it");
        attempt.answered(200, None, &id(), now);
        attempt.finish(now);
    }
    let after = pool.members.iter().map(|member| member.target.record.totals().requests);
    after.zip(before).map(|(after, before)| after - before).collect()
}

#[test]
fn every_algorithm_looks_past_open_circuits() {
    let now = Instant::now();
    for algorithm in ALL {
        let pool = pool(5, algorithm, |_, _| {});
        open(&pool, [1, 3], now);
        let shares = shares(&pool, 900, now);
        assert!(
            shares[1] == 0 && shares[3] == 0 && [0, 2, 4].iter().all(|at| shares[*at] > 150),
            "{algorithm:?}: {shares:?}"
        );
        open(&pool, [0, 2, 4], now);
        let refused = pool.pick(7, &[], now + Duration::from_secs(20)).expect_err("all are open");
        assert_eq!(
            refused,
            Unavailable { retry_after: Some(Duration::from_secs(40)), open: true, ..Unavailable::default() }
        );
    }
}

#[test]
fn half_open_admits_one_probe_whoever_asks() {
    let now = Instant::now();
    for algorithm in ALL {
        let pool = pool(1, algorithm, |_, _| {});
        open(&pool, [0], now);
        let later = now + COOLDOWN;
        let probe = pool.pick(1, &[], later).expect("the probe");
        for hash in 0..1_000 {
            let refused = pool.pick(hash, &[], later).expect_err("the probe is under way");
            assert_eq!(refused.retry_after, Some(SOON));
        }
        drop(probe);
        let mut probe = pool.pick(1, &[], later).expect("the next probe");
        probe.answered(200, None, &id(), later);
        assert_eq!(pool.members[0].target.view(later).phase, Phase::Closed);
    }
}

#[test]
fn what_was_tried_is_not_tried_again() {
    let now = Instant::now();
    for algorithm in ALL {
        let pool = pool(4, algorithm, |_, _| {});
        for hash in 0..50 {
            let mut tried = Vec::new();
            while let Ok(attempt) = pool.pick(hash, &tried, now) {
                tried.push(attempt.member().target.id);
            }
            assert_eq!(tried.len(), 4, "{algorithm:?}");
        }
    }
}

/// Of two targets, the one that failed got every first attempt, since the other's turn went to retries.
#[test]
fn retries_take_nobodys_turn() {
    let now = Instant::now();
    let pool = pool(2, Algorithm::RoundRobin, |_, _| {});
    for turn in 0..20 {
        let first = pool.pick(0, &[], now).expect("room").member().target.id;
        assert_eq!(first, pool.members[turn % 2].target.id);
        assert!(pool.pick(0, &[first], now).is_ok());
    }
}

#[test]
fn one_is_tried_anyway_when_all_are_open_but_not_one_that_is_drained() {
    let now = Instant::now();
    let pool = pool(3, Algorithm::RoundRobin, |_, _| {});
    open(&pool, [0, 1, 2], now);
    let shares = |pool: &Bench| {
        let mut shares = [0_u32; 3];
        for _ in 0..3_000 {
            let attempt = pool.pool.pick_anyway(&[], now).expect("any of them");
            let is_it = |member: &Arc<Member>| member.target.id == attempt.member().target.id;
            shares[pool.members.iter().position(is_it).expect("one of them")] += 1;
        }
        shares
    };
    assert!(shares(&pool).iter().all(|share| share.abs_diff(1_000) < 150));
    assert!(pool.members.iter().all(|member| member.target.view(now).phase == Phase::Open), "nobody is told");
    pool.members[1].target.circuit.hold(Hold::Open, now);
    let [first, drained, last] = shares(&pool);
    assert!(first.abs_diff(1_500) < 150 && drained == 0 && last.abs_diff(1_500) < 150);
}

#[test]
fn a_higher_tier_gets_something_only_when_no_lower_one_takes_it() {
    let now = Instant::now();
    let members = members(4, |_, _| {}).into_iter().enumerate();
    let pool = of(members.map(|(at, member)| (if at < 2 { 20 } else { 10 }, member)).collect(), Algorithm::RoundRobin);
    assert_eq!(shares(&pool, 100, now), [50, 50, 0, 0]);
    open(&pool, [0], now);
    assert_eq!(shares(&pool, 100, now), [0, 100, 0, 0]);
    open(&pool, [1], now);
    let shared = shares(&pool, 1_000, now);
    assert!(shared[..2] == [0, 0] && shared[2].abs_diff(500) < 100, "{shared:?}");
    open(&pool, [2, 3], now);
    assert!(pool.pick(0, &[], now).is_err());
    let empty = of(Vec::new(), Algorithm::RoundRobin);
    assert!(empty.pick(0, &[], now).is_err_and(|why| why.is_empty));
}

#[test]
fn who_is_full_is_passed_over_and_when_all_are_that_is_said() {
    let now = Instant::now();
    for algorithm in ALL {
        let two = Some(Arc::new(Concurrency::Fixed(2)));
        let pool = pool(3, algorithm, |_, member| member.concurrency = two.clone());
        let taken: Vec<Attempt> = (0..6).map(|hash| pool.pick(hash, &[], now).expect("room")).collect();
        assert!(pool.members.iter().all(|member| member.target.in_flight() == 2), "{algorithm:?}");
        assert_eq!(
            pool.pick(0, &[], now).expect_err("no room"),
            Unavailable { retry_after: Some(SOON), full: true, ..Unavailable::default() }
        );
        drop(taken);
        assert!(pool.pick(0, &[], now).is_ok());
    }
}

/// One of three stops answering without a word, while the others answer at once.
#[test]
fn who_stops_answering_gets_no_more_than_opens_its_circuit() {
    let now = Instant::now();
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastRequest, Algorithm::PeakEwma, Algorithm::Random] {
        let pool = pool(3, algorithm, |_, _| {});
        let mut stuck = Vec::new();
        for _ in 0..1_000 {
            let mut attempt = pool.pick(0, &[], now).expect("two are well");
            if attempt.member().target.id == pool.members[0].target.id {
                stuck.push(attempt);
                continue;
            }
            attempt.answered(200, None, &id(), now);
        }
        assert!(stuck.len() <= 3, "{algorithm:?}: {}", stuck.len());
    }
}

/// The first of three time-outs must not let a fourth request in.
#[test]
fn failures_count_with_those_who_wait_for_the_same() {
    let now = Instant::now();
    let pool = pool(3, Algorithm::RoundRobin, |_, _| {});
    let mut stuck: Vec<Attempt> = Vec::new();
    let rounds = |stuck: &mut Vec<Attempt>| {
        for _ in 0..100 {
            let mut attempt = pool.pick(0, &[], now).expect("two are well");
            match attempt.member().target.id == pool.members[0].target.id {
                true => stuck.push(attempt),
                false => attempt.answered(200, None, &id(), now),
            }
        }
    };
    rounds(&mut stuck);
    assert_eq!(stuck.len(), 3);
    for left in [2, 1] {
        stuck.remove(0).fail(Cause::Timeout("no answer".into()), &id(), now);
        rounds(&mut stuck);
        assert_eq!(stuck.len(), left);
    }
}

#[test]
fn a_busy_target_among_busy_ones_is_not_crowded() {
    let now = Instant::now();
    let pool = pool(3, Algorithm::RoundRobin, |_, _| {});
    let under_way: Vec<Attempt> = (0..90).map(|_| pool.pick(0, &[], now).expect("room")).collect();
    assert!(pool.members.iter().all(|member| member.target.in_flight() == 30));
    drop(under_way);
    let pool = self::pool(1, Algorithm::RoundRobin, |_, _| {});
    let alone: Vec<Attempt> = (0..90).map(|_| pool.pick(0, &[], now).expect("nobody else is there")).collect();
    assert_eq!(alone.len(), 90);
}

#[test]
fn who_comes_back_is_given_time_to_warm_up() {
    let now = Instant::now();
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastRequest, Algorithm::Random] {
        let pool = pool(2, algorithm, |_, member| member.slow_start = Some(Duration::from_secs(40)));
        assert!(shares(&pool, 2_000, now)[0].abs_diff(1_000) < 150, "who was never away is warm: {algorithm:?}");
        open(&pool, [0], now);
        let back = now + COOLDOWN;
        let probe = std::iter::from_fn(|| pool.pick(0, &[], back).ok());
        let mut probe = probe.take(100).find(|attempt| attempt.member().target.id == pool.members[0].target.id);
        probe.as_mut().expect("the probe").answered(200, None, &id(), back);
        drop(probe);
        let share = |after: u64| shares(&pool, 4_000, back + Duration::from_secs(after))[0] as f64 / 4_000.0;
        let (cold, half, warm) = (share(0), share(20), share(40));
        assert!((0.01..0.15).contains(&cold) && (0.2..0.45).contains(&half), "{algorithm:?}: {cold} {half}");
        assert!((0.4..0.6).contains(&warm), "{algorithm:?}: {warm}");
        open(&pool, [1], now);
        assert!(pool.pick(0, &[], back).is_ok(), "when nobody else is there, the cold one has to do");
    }
}

#[test]
fn the_quick_one_gets_more_and_the_slow_one_is_not_forgotten() {
    let start = Instant::now();
    let pool = pool(2, Algorithm::PeakEwma, |_, _| {});
    let mut now = start;
    let mut count = [0_u32; 2];
    for _ in 0..5_000 {
        let mut attempt = pool.pick(0, &[], now).expect("both are well");
        let slow = attempt.member().target.id == pool.members[1].target.id;
        count[usize::from(slow)] += 1;
        let took = Duration::from_millis(if slow { 50 } else { 5 });
        attempt.answered(200, None, &id(), now + took);
        now += Duration::from_millis(10);
    }
    assert!(count[0] > 10 * count[1] && count[1] > 0, "{count:?}");
}

#[test]
fn a_popular_key_does_not_drown_its_target() {
    let now = Instant::now();
    let pool = pool(4, Algorithm::ConsistentHash { load_factor: 125 }, |_, _| {});
    let under_way: Vec<Attempt> = (0..100).map(|_| pool.pick(42, &[], now).expect("room")).collect();
    let most = pool.members.iter().map(|member| member.target.in_flight()).max().expect("four");
    assert!((25..=32).contains(&most), "{most}");
    drop(under_way);
    let first = pool.pick(42, &[], now).expect("room").member().target.id;
    assert!((0..50).all(|_| pool.pick(42, &[], now).expect("room").member().target.id == first));
}

#[test]
fn who_has_little_weight_is_not_left_out_when_nobody_has_much_to_do() {
    for algorithm in [Algorithm::LeastRequest, Algorithm::PeakEwma] {
        let bench = pool(3, algorithm, |number, member| member.weight = [1, 4, 5][number]);
        let now = Instant::now();
        let mut counts = [0; 3];
        for _ in 0..2_000 {
            let mut attempt = bench.pick(0, &[], now).expect("all are closed");
            let at =
                bench.members.iter().position(|member| Arc::ptr_eq(member, attempt.member())).expect("one of them");
            attempt.answered(200, None, &id(), now + Duration::from_millis(10));
            attempt.finish(now + Duration::from_millis(10));
            counts[at] += 1;
        }
        assert!((120..=280).contains(&counts[0]) && (650..=950).contains(&counts[1]), "{algorithm:?}: {counts:?}");
    }
}
