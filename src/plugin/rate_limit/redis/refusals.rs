//! Who has been refused, and until when Redis would say so again.
//!
//! Nothing that others do lets a refused request pass earlier: until then the answer is known without
//! asking, and a client that goes on after its 429 costs Redis nothing. What there is no room for is asked
//! again, which is as right, and dearer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::plugin::rate_limit::algorithm::{Decision, View};
use crate::plugin::rate_limit::fingerprint::{Fingerprint, Map};

/// Parts that are locked apart from each other.
const SHARDS: usize = 16;
/// Refusals that a part remembers: some 65,000 in all, in some 10 MB.
const CAPACITY: usize = 4_096;
/// A part that is full looks for what is over no more often than this.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// All refusals that are remembered.
#[derive(Debug, Default)]
pub struct Refusals {
    shards: [Mutex<Shard>; SHARDS],
    /// How many there are, so that nothing is looked up while there is none.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    refused: Map<Refused>,
    sweep_at: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Refused {
    at: Instant,
    decision: Decision,
}

impl Refused {
    /// What is left of it at `now`; `None`: it is over.
    fn at(&self, now: Instant) -> Option<Decision> {
        let gone = now.saturating_duration_since(self.at);
        let retry_after = self.decision.retry_after.checked_sub(gone).filter(|left| !left.is_zero())?;
        let view = |view: &View| View { reset: view.reset.saturating_sub(gone), ..*view };
        Some(Decision { allowed: false, retry_after, views: self.decision.views.iter().map(view).collect() })
    }
}

impl Refusals {
    /// What Redis would say at `now` to who asks the same as those in `lane`, if it is known that it would
    /// refuse.
    pub fn find(&self, lane: Fingerprint, now: Instant) -> Option<Decision> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut shard = self.shards[lane.part(SHARDS)].lock();
        let left = shard.refused.get(&lane)?.at(now);
        if left.is_none() {
            shard.refused.remove(&lane);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        left
    }

    /// Redis has decided on a request in `lane` that was made at `at`: from then on it is remembered, which
    /// was before it was refused, and never for too long.
    pub fn note(&self, lane: Fingerprint, decision: &Decision, at: Instant) {
        if decision.allowed {
            return;
        }
        let mut shard = self.shards[lane.part(SHARDS)].lock();
        if shard.refused.len() >= CAPACITY && !shard.refused.contains_key(&lane) {
            let before = shard.refused.len();
            shard.sweep(at);
            self.count.fetch_sub(before - shard.refused.len(), Ordering::Relaxed);
            if shard.refused.len() >= CAPACITY {
                return;
            }
        }
        if shard.refused.insert(lane, Refused { at, decision: decision.clone() }).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Shard {
    fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| now >= at) {
            self.refused.retain(|_, refused| refused.at(now).is_some());
            self.sweep_at = Some(now + SWEEP_EVERY);
        }
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::plugin::rate_limit::fingerprint::Hasher;
    use crate::plugin::rate_limit::key::Client;

    const RETRY: Duration = Duration::from_secs(10);

    fn lanes() -> impl Fn(u32) -> Fingerprint {
        let hasher = Hasher::default();
        move |n| hasher.counter(n, &Client::Named("x".into()))
    }

    fn decision(allowed: bool) -> Decision {
        let view = View { fits: allowed, remaining: 0, reset: 2 * RETRY };
        Decision { allowed, retry_after: RETRY, views: smallvec![view] }
    }

    #[test]
    fn a_refusal_is_known_until_a_request_can_pass() {
        let (refusals, lane, start) = (Refusals::default(), lanes(), Instant::now());
        assert_eq!(refusals.find(lane(1), start), None);
        refusals.note(lane(1), &decision(false), start);
        refusals.note(lane(2), &decision(true), start);
        let later = start + Duration::from_secs(4);
        let known = refusals.find(lane(1), later).expect("it is known");
        assert_eq!((known.allowed, known.retry_after), (false, Duration::from_secs(6)));
        assert_eq!(known.views[..], [View { fits: false, remaining: 0, reset: Duration::from_secs(16) }]);
        assert_eq!(refusals.find(lane(2), later), None);
        assert_eq!(refusals.find(lane(1), start + RETRY), None);
        assert_eq!(refusals.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_flood_of_refused_clients_is_bounded_and_what_is_over_makes_room() {
        let (refusals, lane, start) = (Refusals::default(), lanes(), Instant::now());
        let flood = |first: u32, at: Instant| {
            (first..first + 100_000).for_each(|n| refusals.note(lane(n), &decision(false), at));
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
        let known = (1_000_000..1_100_000).filter(|n| refusals.find(lane(*n), start + RETRY).is_some());
        assert_eq!(known.count(), SHARDS * CAPACITY);
    }

    #[test]
    fn a_wait_beyond_the_end_of_time_is_no_trouble() {
        let (refusals, lane, now) = (Refusals::default(), lanes(), Instant::now());
        refusals.note(lane(1), &Decision { retry_after: Duration::MAX, ..decision(false) }, now);
        assert!(refusals.find(lane(1), now + RETRY).is_some());
    }
}
