//! What is remembered of lanes for a while, in bounded memory: what is over makes room, and what finds none is
//! not remembered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::plugin::rate_limit::fingerprint::{Fingerprint, Map};

/// Parts that are locked apart from each other.
const SHARDS: usize = 16;
/// Lanes that a part remembers: some 65,000 in all.
const CAPACITY: usize = 4_096;
/// A part that is full looks for what is over no more often than this.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// How long something is worth being remembered.
pub trait Mortal {
    /// Whether it is over at `now`.
    fn is_over(&self, now: Instant) -> bool;
}

/// A `V` for each of some lanes.
#[derive(Debug)]
pub struct Bounded<V> {
    shards: [Mutex<Shard<V>>; SHARDS],
    /// How many there are, so that nothing is looked up while there is none.
    count: AtomicUsize,
}

#[derive(Debug)]
struct Shard<V> {
    values: Map<V>,
    sweep_at: Option<Instant>,
}

impl<V> Default for Bounded<V> {
    fn default() -> Self {
        let shard = |_| Mutex::new(Shard { values: Map::default(), sweep_at: None });
        Bounded { shards: std::array::from_fn(shard), count: AtomicUsize::new(0) }
    }
}

impl<V: Mortal> Bounded<V> {
    /// Looks at what there is for `lane`, if it is not over.
    pub fn look<R>(&self, lane: Fingerprint, now: Instant, look: impl FnOnce(&mut V) -> R) -> Option<R> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut shard = self.shards[lane.part(SHARDS)].lock();
        let value = shard.values.get_mut(&lane)?;
        if !value.is_over(now) {
            return Some(look(value));
        }
        shard.values.remove(&lane);
        self.count.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Remembers `value`, if there is room, in place of what there was.
    pub fn put(&self, lane: Fingerprint, value: V, now: Instant) {
        let mut shard = self.shards[lane.part(SHARDS)].lock();
        let before = shard.values.len();
        if before >= CAPACITY && shard.sweep_at.is_none_or(|at| now >= at) && !shard.values.contains_key(&lane) {
            shard.values.retain(|_, value| !value.is_over(now));
            shard.sweep_at = Some(now + SWEEP_EVERY);
            self.count.fetch_sub(before - shard.values.len(), Ordering::Relaxed);
        }
        if shard.values.len() < CAPACITY {
            let is_new = shard.values.insert(lane, value).is_none();
            self.count.fetch_add(usize::from(is_new), Ordering::Relaxed);
        } else if let Some(known) = shard.values.get_mut(&lane) {
            *known = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::rate_limit::fingerprint::Hasher;
    use crate::plugin::rate_limit::key::Client;

    struct Until(Instant);

    impl Mortal for Until {
        fn is_over(&self, now: Instant) -> bool {
            now >= self.0
        }
    }

    #[test]
    fn a_flood_is_bounded_and_what_is_over_makes_room() {
        let (hasher, client) = (Hasher::default(), Client::Named("x".into()));
        let lane = |n: u32| hasher.counter(n, &client);
        let (bounded, start, second) = (Bounded::default(), Instant::now(), Duration::from_secs(1));
        let held = || bounded.shards.iter().map(|shard| shard.lock().values.len()).sum::<usize>();
        let flood = |first: u32, now: Instant| {
            (first..first + 100_000).for_each(|n| bounded.put(lane(n), Until(now + second), now));
            assert_eq!((held(), bounded.count.load(Ordering::Relaxed)), (SHARDS * CAPACITY, SHARDS * CAPACITY));
        };
        let known = |first: u32, now: Instant| {
            (first..first + 100_000).filter(|n| bounded.look(lane(*n), now, |_| ()).is_some()).count()
        };
        assert_eq!(known(0, start), 0);
        flood(0, start);
        // Again: those that are known stay.
        flood(0, start);
        assert_eq!(known(0, start), SHARDS * CAPACITY);
        flood(1_000_000, start + second);
        assert_eq!(known(1_000_000, start + second), SHARDS * CAPACITY);
        assert_eq!(known(1_000_000, start + second * 2), 0);
        assert_eq!((held(), bounded.count.load(Ordering::Relaxed)), (0, 0));
    }
}
