//! Counters of clients in this process: exact for every one, in bounded memory.
//!
//! Not a sketch (`pingora_limits::Rate`): that one adds up the counts of clients that share its cells, and
//! with 20,000 clients refuses nearly all of them. Here every client has an entry. Entries whose window is
//! over make room first. Should all of them be alive and no room left (more than a million clients
//! within one window), newcomers share one entry per shard: a flood of addresses can neither reset the
//! count of anybody who is known, nor pass without being counted.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::time::Instant;

use parking_lot::Mutex;

use super::algorithm::{Answer, Counter, Quota};
use super::{Client, Rule};

/// Clients at one time, over all rules.
const CAPACITY: usize = 1 << 20;
/// Parts that are locked apart from each other.
const SHARDS: usize = 64;
/// A shard looks for dead entries this often (milliseconds), and only when a newcomer arrives: a look at
/// 16,384 entries takes some 0.1 ms, so all shards together stay below a hundredth of a core.
const SWEEP_EVERY: u64 = 1_000;

type Key = (u32, Client);

/// The counters of all rules.
#[derive(Debug)]
pub struct Memory {
    hasher: std::hash::RandomState,
    shards: Vec<Mutex<Shard>>,
    /// What times are counted from.
    origin: Instant,
}

#[derive(Debug)]
struct Shard {
    counters: HashMap<Key, Counter>,
    /// What the counters of each rule enforce.
    quotas: HashMap<u32, Quota>,
    capacity: usize,
    /// When dead entries are looked for again.
    sweep_at: u64,
    /// What newcomers share while there is no room, by rule.
    overflow: HashMap<u32, Counter>,
}

impl Memory {
    /// An empty store; `now` must not be later than any `now` of [`Memory::take`].
    pub fn new(now: Instant) -> Self {
        Memory::with_capacity(CAPACITY, now)
    }

    fn with_capacity(capacity: usize, now: Instant) -> Self {
        let shard = || Shard {
            counters: HashMap::new(),
            quotas: HashMap::new(),
            capacity: capacity.div_ceil(SHARDS),
            sweep_at: 0,
            overflow: HashMap::new(),
        };
        Memory {
            hasher: std::hash::RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            origin: now,
        }
    }

    /// Decides on one request of `client` at `now`.
    pub fn take(&self, rule: &Rule, client: Client, now: Instant) -> Answer {
        let key = (rule.id, client);
        let millis = now.saturating_duration_since(self.origin).as_millis() as u64;
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[shard].lock().take(key, &rule.quota, millis)
    }
}

impl Shard {
    fn take(&mut self, key: Key, quota: &Quota, now: u64) -> Answer {
        if let Some(counter) = self.counters.get_mut(&key) {
            return counter.take(quota, now, 1);
        }
        self.quotas.insert(key.0, *quota);
        if now >= self.sweep_at {
            let quotas = &self.quotas;
            let lives = |rule: &u32, counter: &Counter| quotas.get(rule).is_some_and(|q| !counter.is_dead(q, now));
            self.counters.retain(|(rule, _), counter| lives(rule, counter));
            self.overflow.retain(|rule, counter| lives(rule, counter));
            self.sweep_at = now + SWEEP_EVERY;
        }
        let new = || Counter::new(quota.algorithm);
        let counter = if self.counters.len() < self.capacity {
            self.counters.entry(key).or_insert_with(new)
        } else {
            self.overflow.entry(key.0).or_insert_with(new)
        };
        counter.take(quota, now, 1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::config::OnRedisDown;

    fn rule(id: u32, max: u32, millis: u64) -> Rule {
        let quota = Quota::fixed(NonZeroU32::new(max).expect("not 0"), Duration::from_millis(millis));
        Rule { name: "/users".into(), id, quota, on_redis_down: OnRedisDown::Local }
    }

    fn client(n: u32) -> Client {
        Client::of(IpAddr::V4(Ipv4Addr::from(n)))
    }

    #[test]
    fn clients_and_rules_are_counted_apart() {
        let now = Instant::now();
        let memory = Memory::new(now);
        let (users, products) = (rule(1, 2, 60_000), rule(2, 2, 60_000));
        let allowed = |rule: &Rule, n: u32| memory.take(rule, client(n), now).granted == 1;
        assert_eq!([allowed(&users, 1), allowed(&users, 1), allowed(&users, 1)], [true, true, false]);
        assert!(allowed(&users, 2));
        assert!(allowed(&products, 1));
        assert!(!allowed(&users, 1));
    }

    #[test]
    fn a_million_clients_are_each_counted_exactly() {
        let now = Instant::now();
        let memory = Memory::new(now);
        let rule = rule(1, 2, 60_000);
        for round in [true, true, false] {
            for n in 0..1_000_000 {
                assert_eq!(memory.take(&rule, client(n), now).granted == 1, round, "client {n}");
            }
        }
    }

    #[test]
    fn a_flood_of_newcomers_resets_nobody_and_is_counted() {
        let now = Instant::now();
        let memory = Memory::with_capacity(1_000, now);
        let rule = rule(1, 1, 60_000);
        assert!(memory.take(&rule, client(7), now).granted == 1);
        let passed = (1_000..101_000).filter(|n| memory.take(&rule, client(*n), now).granted == 1).count();
        assert!(passed <= 1_000 + 2 * SHARDS, "{passed} of the flood passed");
        assert!(memory.take(&rule, client(7), now).granted == 0, "the flood reset an honest client's count");
        let held: usize = memory.shards.iter().map(|shard| shard.lock().counters.len()).sum();
        assert!(held <= 1_000 + SHARDS, "{held} entries");
    }

    #[test]
    fn the_dead_make_room() {
        let start = Instant::now();
        let memory = Memory::with_capacity(6_400, start);
        let rule = rule(1, 1, 1_000);
        for second in 0..20 {
            let now = start + Duration::from_secs(second);
            let passed =
                (0..3_000).filter(|n| memory.take(&rule, client(second as u32 * 3_000 + n), now).granted == 1).count();
            assert_eq!(passed, 3_000, "second {second}");
        }
        let held: usize = memory.shards.iter().map(|shard| shard.lock().counters.len()).sum();
        assert!(held <= 6_400 + SHARDS, "{held} entries");
    }

    #[test]
    fn threads_share_one_count() {
        let now = Instant::now();
        let memory = std::sync::Arc::new(Memory::new(now));
        let rule = rule(1, 1_000, 60_000);
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (memory, rule) = (memory.clone(), rule.clone());
                std::thread::spawn(move || (0..500).filter(|_| memory.take(&rule, client(1), now).granted == 1).count())
            })
            .collect();
        let passed: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
        assert_eq!(passed, 1_000);
    }
}
