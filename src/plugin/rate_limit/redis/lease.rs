//! `sync: leased`: several requests are granted at once, and spent without asking again.
//!
//! What is granted has been counted in Redis like any other request, so all replicas together never let more
//! pass than the limit says. A replica that holds a lease keeps others from what it has not spent; to keep that
//! small, Redis grants an eighth of what is left at most, a replica asks for twice as much as it has used up
//! before and no more, and a lease ends with the window it was counted in. With `n` replicas, others hold at
//! most `max × (1 - (7/8)^(n-1))` when one has to refuse.
//!
//! A token bucket has no window to end a lease with. It keeps an eighth of its burst in reserve, and a lease
//! lasts for as long as that takes to drain: what is spent late by that much overfills nothing.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::LimitAlgorithm;
use crate::plugin::rate_limit::algorithm::{Answer, Charge, Decision, Quota};
use crate::plugin::rate_limit::fingerprint::{Fingerprint, Map};
use crate::plugin::rate_limit::rule::Asked;

/// Parts that are locked apart from each other.
const SHARDS: usize = 16;
/// Leases that a part holds. Who finds no room asks for every request.
const CAPACITY: usize = 4_096;

/// What was granted to the requests of one lane.
#[derive(Clone, Debug)]
pub struct Lease {
    answer: Answer,
    /// When it was asked for: the moments in the answer count from a little later.
    at: Instant,
    ends: Instant,
    /// How many of those it grants have been let pass.
    spent: u32,
    /// How many it granted for later.
    size: u32,
}

impl Lease {
    /// `answer` was given to a question asked at `at`, and `spent` requests have passed by it.
    pub fn new<'c>(answer: Answer, charges: impl Iterator<Item = &'c Charge>, at: Instant, spent: u32) -> Self {
        let lives = charges.zip(&answer.standings).map(|(charge, standing)| life(&charge.quota, standing.reset));
        let life = Duration::from_millis(lives.min().unwrap_or(0));
        let size = answer.granted.saturating_sub(spent);
        Lease { ends: at + life, answer, at, spent, size }
    }

    /// Lets one request pass at `now`, if there is one left.
    pub fn spend<'c>(&mut self, charges: impl Iterator<Item = &'c Charge>, now: Instant) -> Option<Decision> {
        if now >= self.ends || self.left() == 0 {
            return None;
        }
        self.spent += 1;
        let mut decision = self.answer.decision(charges, self.spent);
        let gone = now.saturating_duration_since(self.at);
        decision.views.iter_mut().for_each(|view| view.reset = view.reset.saturating_sub(gone));
        Some(decision)
    }

    /// How many to ask for beside those that want to pass at `now`, when this one is used up.
    pub fn wish(&self, now: Instant) -> u32 {
        if now >= self.ends { 0 } else { self.size.saturating_mul(2).max(1) }
    }

    /// How many may pass yet.
    pub fn left(&self) -> u32 {
        self.answer.granted.saturating_sub(self.spent)
    }
}

/// For how many milliseconds what was counted may be spent, if the quota is whole again in `reset`.
fn life(quota: &Quota, reset: u64) -> u64 {
    match quota.algorithm {
        LimitAlgorithm::FixedWindow => reset,
        // What is counted in this window has left its view at the end of the next one.
        LimitAlgorithm::SlidingWindow => reset.saturating_sub(quota.window_millis()),
        LimitAlgorithm::TokenBucket => u64::from(quota.reserve) * quota.window_millis() / u64::from(quota.max.get()),
    }
}

/// The leases of a process.
#[derive(Debug, Default)]
pub struct Leases([Mutex<Map<Lease>>; SHARDS]);

impl Leases {
    /// Lets a request pass, if there is a lease for it.
    pub fn spend(&self, asked: &Asked, now: Instant) -> Option<Decision> {
        self.shard(asked.lane).lock().get_mut(&asked.lane)?.spend(asked.charges(), now)
    }

    /// How many more to ask for than want to pass.
    pub fn wish(&self, asked: &Asked, now: Instant) -> u32 {
        if asked.charges().any(|charge| life(&charge.quota, u64::MAX) == 0) {
            return 0;
        }
        self.shard(asked.lane).lock().get(&asked.lane).map_or(0, |lease| lease.wish(now))
    }

    /// Holds what was granted beyond the `spent` first ones, in place of a lease that is used up.
    pub fn hold(&self, asked: &Asked, answer: &Answer, at: Instant, spent: u32) {
        let mut shard = self.shard(asked.lane).lock();
        if shard.len() >= CAPACITY && !shard.contains_key(&asked.lane) {
            shard.retain(|_, lease| at < lease.ends);
        }
        if shard.len() < CAPACITY || shard.contains_key(&asked.lane) {
            shard.insert(asked.lane, Lease::new(answer.clone(), asked.charges(), at, spent));
        }
    }

    fn shard(&self, lane: Fingerprint) -> &Mutex<Map<Lease>> {
        &self.0[lane.part(SHARDS)]
    }
}

#[cfg(test)]
mod tests;
