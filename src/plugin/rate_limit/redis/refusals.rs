//! Who has been refused, and until when Redis would say so again.
//!
//! Nothing that others do lets a refused request pass earlier: until then the answer is known without
//! asking, and a client that goes on after its 429 costs Redis nothing. What there is no room for is asked
//! again, which is as right, and dearer.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::plugin::rate_limit::algorithm::Decision;
use crate::plugin::rate_limit::{Client, Rule};

/// Parts that are locked apart from each other.
const SHARDS: usize = 16;
/// Refused clients that a part remembers: some 65,000 in all, in some 5 MB.
const CAPACITY: usize = 4_096;
/// A part that is full looks for what is over no more often than this.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

type Key = (u32, Client);

/// All refusals that are remembered.
#[derive(Debug)]
pub struct Refusals {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// How many there are, so that nothing is looked up while there is none.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    refused: HashMap<Key, Refused>,
    sweep_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    retry_at: Instant,
    reset_at: Instant,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals { hasher: RandomState::new(), shards: Default::default(), count: AtomicUsize::new(0) }
    }
}

impl Refusals {
    /// What Redis would say to `client` at `now`, if it is known that it would refuse.
    pub fn find(&self, rule: &Rule, client: Client, now: Instant) -> Option<Decision> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let key = (rule.id, client);
        let mut shard = self.shard(&key).lock();
        let Refused { retry_at, reset_at } = *shard.refused.get(&key)?;
        if now >= retry_at {
            shard.refused.remove(&key);
            self.count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Decision {
            allowed: false,
            limit: rule.quota.limit(),
            remaining: 0,
            retry_after: retry_at - now,
            reset: reset_at.saturating_duration_since(now),
        })
    }

    /// Redis has decided on a request of `client` that was made at `at`.
    pub fn note(&self, rule: &Rule, client: Client, decision: &Decision, at: Instant) {
        // From when the request was made, which was before it was refused: never remembered for too long.
        let (Some(retry_at), Some(reset_at)) = (at.checked_add(decision.retry_after), at.checked_add(decision.reset))
        else {
            return;
        };
        if decision.allowed {
            return;
        }
        let key = (rule.id, client);
        let mut shard = self.shard(&key).lock();
        if shard.refused.len() >= CAPACITY && !shard.refused.contains_key(&key) {
            let before = shard.refused.len();
            shard.sweep(at);
            self.count.fetch_sub(before - shard.refused.len(), Ordering::Relaxed);
            if shard.refused.len() >= CAPACITY {
                return;
            }
        }
        if shard.refused.insert(key, Refused { retry_at, reset_at }).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl Shard {
    fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| now >= at) {
            self.refused.retain(|_, refused| now < refused.retry_at);
            self.sweep_at = Some(now + SWEEP_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;

    use super::*;
    use crate::config::OnRedisDown;
    use crate::plugin::rate_limit::algorithm::Quota;

    const RETRY: Duration = Duration::from_secs(10);

    fn rule() -> Rule {
        let quota = Quota::fixed(NonZeroU32::MIN, Duration::from_secs(60));
        Rule { name: "/users".into(), id: 1, quota, on_redis_down: OnRedisDown::Local }
    }

    fn client(n: u32) -> Client {
        Client::of(IpAddr::V4(Ipv4Addr::from(n)))
    }

    fn decision(allowed: bool) -> Decision {
        Decision { allowed, limit: 1, remaining: 0, retry_after: RETRY, reset: 2 * RETRY }
    }

    #[test]
    fn a_refusal_is_known_until_a_request_can_pass() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.find(&rule(), client(1), start), None);
        refusals.note(&rule(), client(1), &decision(false), start);
        refusals.note(&rule(), client(2), &decision(true), start);
        let later = start + Duration::from_secs(4);
        let known = refusals.find(&rule(), client(1), later).expect("it is known");
        assert_eq!((known.allowed, known.remaining, known.limit), (false, 0, 1));
        assert_eq!((known.retry_after, known.reset), (Duration::from_secs(6), Duration::from_secs(16)));
        assert_eq!(refusals.find(&rule(), client(2), later), None);
        assert_eq!(refusals.find(&Rule { id: 2, ..rule() }, client(1), later), None, "another rule");
        assert_eq!(refusals.find(&rule(), client(1), start + RETRY), None);
        assert_eq!(refusals.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_flood_of_refused_clients_is_bounded_and_what_is_over_makes_room() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let flood = |first: u32, at: Instant| {
            (first..first + 100_000).for_each(|n| refusals.note(&rule(), client(n), &decision(false), at));
        };
        let held = || refusals.shards.iter().map(|shard| shard.lock().refused.len()).sum::<usize>();
        flood(0, start);
        assert_eq!(held(), SHARDS * CAPACITY);
        assert_eq!(refusals.count.load(Ordering::Relaxed), held());
        flood(0, start);
        assert_eq!(held(), SHARDS * CAPACITY);
        // The first flood is over.
        flood(1_000_000, start + RETRY);
        assert_eq!(held(), SHARDS * CAPACITY);
        assert_eq!(refusals.count.load(Ordering::Relaxed), held());
        let known = (1_000_000..1_100_000).filter(|n| refusals.find(&rule(), client(*n), start + RETRY).is_some());
        assert_eq!(known.count(), SHARDS * CAPACITY);
    }

    #[test]
    fn a_wait_beyond_the_end_of_time_is_not_remembered() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        refusals.note(&rule(), client(1), &Decision { retry_after: Duration::MAX, ..decision(false) }, now);
        assert_eq!(refusals.find(&rule(), client(1), now), None);
    }
}
