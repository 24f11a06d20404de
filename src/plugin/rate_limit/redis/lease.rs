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

use super::bounded::{Bounded, Mortal};
use crate::config::LimitAlgorithm;
use crate::plugin::rate_limit::algorithm::{Answer, Charge, Decision, Quota};
use crate::plugin::rate_limit::rule::Asked;

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

impl Mortal for Lease {
    fn is_over(&self, now: Instant) -> bool {
        now >= self.ends
    }
}

/// The leases of a process.
#[derive(Debug, Default)]
pub struct Leases(Bounded<Lease>);

impl Leases {
    /// Lets a request pass, if there is a lease for it.
    pub fn spend(&self, asked: &Asked, now: Instant) -> Option<Decision> {
        self.0.look(asked.lane, now, |lease| lease.spend(asked.charges(), now)).flatten()
    }

    /// How many more to ask for than want to pass.
    pub fn wish(&self, asked: &Asked, now: Instant) -> u32 {
        self.0.look(asked.lane, now, |lease| lease.wish(now)).unwrap_or(0)
    }

    /// Holds what was granted beyond the `spent` first ones, in place of a lease that is used up.
    pub fn hold(&self, asked: &Asked, answer: &Answer, at: Instant, spent: u32) {
        self.0.put(asked.lane, Lease::new(answer.clone(), asked.charges(), at, spent), at);
    }
}

#[cfg(test)]
mod tests;
