//! The real breakers, selection and retries in virtual time, among targets that fail in every way there is: one seed
//! is one history of some simulated minutes to hours, and after each step of it the rules of `rules` are looked at.
//!
//! `AEGIS_SEED=17 cargo test --lib simulation` replays history 17.

mod fleet;
mod flight;
mod history;
mod rules;
mod scenario;
mod traffic;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::history::History;
use self::world::World;

const SEEDS: u64 = 256;

/// Histories of all seeds, on all cores.
fn histories(seeds: std::ops::Range<u64>) -> Vec<History> {
    let next = AtomicU64::new(seeds.start);
    let some = || {
        let seeds = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds.end));
        seeds.map(|seed| World::new(seed).run().unwrap_or_else(|broken| panic!("{broken}"))).collect::<Vec<_>>()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.flat_map(|histories| histories.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

#[test]
fn the_rules_hold_whatever_becomes_of_targets_and_clients() {
    let seed: Option<u64> = std::env::var("AEGIS_SEED").ok().map(|seed| seed.parse().expect("AEGIS_SEED: a number"));
    let histories = histories(seed.map_or(0..SEEDS, |seed| seed..seed + 1));
    let sum = |of: fn(&History) -> u64| histories.iter().map(of).sum::<u64>();
    let simulated = histories.iter().map(|history| history.length).sum::<Duration>();
    println!(
        "{} histories, {} h: {} requests, {} answered, {} refused, {} retries, {} trips, {} probes",
        histories.len(),
        simulated.as_secs() / 3_600,
        sum(|history| history.requests),
        sum(|history| history.answered),
        sum(|history| history.refused),
        sum(|history| history.retries),
        sum(|history| history.trips),
        sum(|history| history.probes),
    );
    // A world in which nothing happens would prove nothing.
    if seed.is_none() {
        assert!(sum(|history| history.trips) > 2_000 && sum(|history| history.probes) > 2_000);
        assert!(sum(|history| history.retries) > 5_000 && sum(|history| history.refused) > 5_000);
        assert!(sum(|history| history.answered) * 2 > sum(|history| history.requests));
    }
}

#[test]
fn a_seed_is_a_history() {
    let digests = |seed| World::new(seed).run().map(|history| history.digest).map_err(|broken| broken.to_string());
    for seed in 0..8 {
        assert_eq!(digests(seed), digests(seed));
    }
    assert_ne!(digests(1), digests(2));
}
