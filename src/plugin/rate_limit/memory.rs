//! Counters of clients in this process: exact for every one, in bounded memory.
//!
//! Not a sketch (`pingora_limits::Rate`): that one adds up the counts of clients that share its cells, and
//! with 20,000 clients refuses nearly all of them. Here every client has an entry. Entries whose window is
//! over make room first. Should all of them be alive and no room left (more than a million clients
//! within one window), newcomers share one entry per shard: a flood of addresses can neither reset the
//! count of anybody who is known, nor pass without being counted.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use smallvec::SmallVec;

use super::algorithm::{Charge, Counter, Decision, decide};
use super::fingerprint::Map;
use super::rule::{Asked, Counted};
use crate::config::LimitAlgorithm;

/// Clients at one time, over all rules.
const CAPACITY: usize = 1 << 20;
/// Parts that are locked apart from each other.
const SHARDS: usize = 64;
/// A shard looks for dead entries this often (milliseconds), and only when a newcomer arrives: a look at
/// 16,384 entries takes some 0.1 ms, so all shards together stay below a hundredth of a core.
const SWEEP_EVERY: u64 = 1_000;

/// The counters of all rules.
#[derive(Debug)]
pub struct Memory {
    shards: Vec<Mutex<Shard>>,
    /// What times are counted from.
    origin: Instant,
}

#[derive(Debug)]
struct Shard {
    counters: Map<Entry>,
    capacity: usize,
    /// When dead entries are looked for again.
    sweep_at: u64,
    /// What newcomers share while there is no room, by rule.
    overflow: HashMap<u32, Entry>,
}

/// A counter in 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    words: [u64; 2],
    /// The second from which it has nothing more to say.
    dies: u32,
    algorithm: LimitAlgorithm,
}

impl Memory {
    /// An empty store; `now` must not be later than any `now` of [`Memory::take`].
    pub fn new(now: Instant) -> Self {
        Memory::with_capacity(CAPACITY, now)
    }

    fn with_capacity(capacity: usize, now: Instant) -> Self {
        let shard = || Shard {
            counters: Map::default(),
            capacity: capacity.div_ceil(SHARDS),
            sweep_at: 0,
            overflow: HashMap::new(),
        };
        Memory { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(), origin: now }
    }

    /// Decides on one request at `now`.
    pub fn take(&self, asked: &Asked, now: Instant) -> Decision {
        let now = self.millis(now);
        let mut locked = self.lock(&asked.counters);
        let charges: SmallVec<[Charge; 1]> = asked.charges().copied().collect();
        let mut counters: SmallVec<[Counter; 1]> =
            asked.counters.iter().map(|counted| locked.shard(counted).load(asked, counted, now)).collect();
        let answer = decide(&mut counters, &charges, now, 1, 0);
        for ((counted, counter), standing) in asked.counters.iter().zip(counters).zip(&answer.standings) {
            locked.shard(counted).save(asked, counted, counter, now, now + standing.reset);
        }
        drop(locked);
        answer.decision(charges.iter(), 1)
    }

    /// What [`Memory::take`] would decide; nothing is counted.
    pub fn peek(&self, asked: &Asked, now: Instant) -> Decision {
        let now = self.millis(now);
        let mut locked = self.lock(&asked.counters);
        let charges: SmallVec<[Charge; 1]> = asked.charges().copied().collect();
        let mut counters: SmallVec<[Counter; 1]> =
            asked.counters.iter().map(|counted| locked.shard(counted).load(asked, counted, now)).collect();
        drop(locked);
        decide(&mut counters, &charges, now, 0, 0).outlook(charges.iter())
    }

    /// Counts what has been used already, room or not.
    pub fn charge(&self, asked: &Asked, now: Instant) {
        let now = self.millis(now);
        for counted in &asked.counters {
            let mut shard = self.shards[counted.fingerprint.part(SHARDS)].lock();
            let mut counter = shard.load(asked, counted, now);
            let reset = counter.charge_anyway(&counted.charge.quota, now, counted.charge.cost.get());
            shard.save(asked, counted, counter, now, now + reset);
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_millis() as u64
    }

    /// Locks what some counters are in, always in the same order.
    fn lock(&self, counters: &[Counted]) -> Locked<'_> {
        let mut shards: SmallVec<[usize; 4]> = counters.iter().map(|c| c.fingerprint.part(SHARDS)).collect();
        shards.sort_unstable();
        shards.dedup();
        Locked(shards.into_iter().map(|shard| (shard, self.shards[shard].lock())).collect())
    }
}

struct Locked<'m>(SmallVec<[(usize, MutexGuard<'m, Shard>); 2]>);

impl Locked<'_> {
    /// The one that a counter is in.
    fn shard(&mut self, counted: &Counted) -> &mut Shard {
        let shard = counted.fingerprint.part(SHARDS);
        let place = self.0.iter().position(|(number, _)| *number == shard).expect("it has been locked");
        &mut self.0[place].1
    }
}

impl Shard {
    /// The counter as it was left.
    fn load(&mut self, asked: &Asked, counted: &Counted, now: u64) -> Counter {
        let algorithm = counted.charge.quota.algorithm;
        let known = self.counters.get(&counted.fingerprint).copied().or_else(|| {
            if now >= self.sweep_at {
                self.sweep(now);
            }
            let is_full = self.counters.len() >= self.capacity;
            self.overflow.get(&asked.rule(counted).id).copied().filter(|_| is_full)
        });
        let words = known.filter(|entry| entry.algorithm == algorithm).map(|entry| entry.words);
        words.map_or_else(|| Counter::new(algorithm), |words| Counter::unpack(algorithm, words))
    }

    /// Keeps it until `dies`.
    fn save(&mut self, asked: &Asked, counted: &Counted, counter: Counter, now: u64, dies: u64) {
        if dies <= now {
            return;
        }
        let second = u32::try_from(dies.div_ceil(1_000)).unwrap_or(u32::MAX);
        let entry = Entry { words: counter.pack(), dies: second, algorithm: counted.charge.quota.algorithm };
        let is_full = self.counters.len() >= self.capacity;
        match self.counters.get_mut(&counted.fingerprint) {
            Some(known) => *known = entry,
            None if is_full => drop(self.overflow.insert(asked.rule(counted).id, entry)),
            None => drop(self.counters.insert(counted.fingerprint, entry)),
        }
    }

    fn sweep(&mut self, now: u64) {
        self.counters.retain(|_, entry| u64::from(entry.dies) * 1_000 > now);
        self.overflow.retain(|_, entry| u64::from(entry.dies) * 1_000 > now);
        self.sweep_at = now + SWEEP_EVERY;
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::plugin::rate_limit::algorithm::Quota;
    use crate::plugin::rate_limit::fingerprint::Hasher;
    use crate::plugin::rate_limit::rule::{Limits, Rule};

    fn quota(max: u32, millis: u64) -> Quota {
        Quota::fixed(NonZeroU32::new(max).expect("not 0"), Duration::from_millis(millis))
    }

    /// A memory, and one request of some client at some time under rules of its own.
    struct Bench {
        memory: Memory,
        limits: Arc<Limits>,
        hasher: Hasher,
    }

    impl Bench {
        fn new(memory: Memory, quotas: &[Quota]) -> Self {
            let rules = quotas.iter().zip(0..).map(|(quota, id)| Rule::by_address(id, *quota)).collect();
            Bench { memory, limits: Arc::new(Limits::new(rules, false)), hasher: Hasher::default() }
        }

        /// Whether client `n` passes under some of the rules.
        fn allowed(&self, rules: &[usize], n: u32, now: Instant) -> bool {
            let asked = self.limits.ask_for(rules, n, &self.hasher);
            self.memory.take(&asked, now).allowed
        }

        fn held(&self) -> usize {
            self.memory.shards.iter().map(|shard| shard.lock().counters.len()).sum()
        }
    }

    #[test]
    fn clients_and_rules_are_counted_apart() {
        let now = Instant::now();
        let bench = Bench::new(Memory::new(now), &[quota(2, 60_000), quota(2, 60_000)]);
        let allowed = |rule: usize, n: u32| bench.allowed(&[rule], n, now);
        assert_eq!([allowed(0, 1), allowed(0, 1), allowed(0, 1)], [true, true, false]);
        assert!(allowed(0, 2));
        assert!(allowed(1, 1));
        assert!(!allowed(0, 1));
    }

    #[test]
    fn rules_that_decide_together_are_charged_together() {
        let now = Instant::now();
        let bench = Bench::new(Memory::new(now), &[quota(3, 60_000), quota(1, 1_000)]);
        assert!(bench.allowed(&[0, 1], 1, now));
        assert!(!bench.allowed(&[0, 1], 1, now), "the second has no more");
        let later = now + Duration::from_secs(2);
        assert!(bench.allowed(&[0, 1], 1, later));
        assert!(bench.allowed(&[0], 1, later), "the refused request took nothing of the first");
        assert!(!bench.allowed(&[0], 1, later));
        assert!(bench.allowed(&[1], 2, later));
        let held = bench.held();
        assert!(!bench.allowed(&[0, 1], 2, later));
        assert_eq!(bench.held(), held, "a counter that has counted nothing takes no room");
    }

    /// More would be too much beside what a map keeps for a key: it doubles when it is 7/8 full.
    #[test]
    fn an_entry_is_forty_bytes() {
        assert_eq!(std::mem::size_of::<(super::super::fingerprint::Fingerprint, Entry)>(), 40);
    }

    #[test]
    fn a_flood_of_newcomers_resets_nobody_and_is_counted() {
        let now = Instant::now();
        let bench = Bench::new(Memory::with_capacity(1_000, now), &[quota(1, 60_000)]);
        assert!(bench.allowed(&[0], 7, now));
        let passed = (1_000..101_000).filter(|n| bench.allowed(&[0], *n, now)).count();
        assert!(passed <= 1_000 + 2 * SHARDS, "{passed} of the flood passed");
        assert!(!bench.allowed(&[0], 7, now), "the flood reset an honest client's count");
        assert!(bench.held() <= 1_000 + SHARDS, "{} entries", bench.held());
    }

    #[test]
    fn the_dead_make_room() {
        let start = Instant::now();
        let bench = Bench::new(Memory::with_capacity(6_400, start), &[quota(1, 1_000)]);
        for second in 0..20 {
            let now = start + Duration::from_secs(second * 2);
            let passed = (0..3_000).filter(|n| bench.allowed(&[0], second as u32 * 3_000 + n, now)).count();
            assert_eq!(passed, 3_000, "second {second}");
        }
        assert!(bench.held() <= 6_400 + SHARDS, "{} entries", bench.held());
    }

    #[test]
    fn threads_share_one_count_whatever_else_they_are_counted_by() {
        let now = Instant::now();
        let bench = Bench::new(Memory::new(now), &[quota(1_000, 60_000), quota(900_000, 60_000)]);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| {
                    let (bench, rules) = (&bench, if thread % 2 == 0 { [0, 1] } else { [1, 0] });
                    scope.spawn(move || (0..500).filter(|_| bench.allowed(&rules, 1, now)).count())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(passed, 1_000);
    }
}
