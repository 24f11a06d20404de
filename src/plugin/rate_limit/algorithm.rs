//! How requests are counted: three algorithms, each a pure core and the same thing in Lua for Redis.
//!
//! | | lets through |
//! |---|---|
//! | [`fixed_window`] | `max` in a window that begins with its first request; around its end, up to twice that |
//! | [`sliding_window`] | `max` in the last window; in a part `t` of one, up to `max` × (1 + `t` / `window`) |
//! | [`token_bucket`] | `burst` at once, and then one each `window / max` |
//!
//! Time is in milliseconds since any fixed moment. A core is asked how many units there is room for
//! (`room`), told how many are used (`charge`), and asked how long it takes until there is room (`waits`).
//! [`decide`] asks all counters of a request at once; [`script`] is the same for Redis.

mod decide;
pub mod fixed_window;
mod script;
pub mod sliding_window;
pub mod token_bucket;

use std::num::NonZeroU32;
use std::time::Duration;

pub use self::decide::{Answer, Charge, Decision, Standing, View, decide};
use self::fixed_window::FixedWindow;
pub use self::script::{Algorithms, script};
use self::sliding_window::SlidingWindow;
use self::token_bucket::TokenBucket;
use crate::config::LimitAlgorithm as Algorithm;

/// So many milliseconds clocks may step back, and requests come to a counter in another order than their times: what has been counted
/// stays. A window that ends later than that was begun when windows were longer, and is none any more.
const STEP_BACK: u64 = 1_000;

/// How many units in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How they are counted.
    pub algorithm: Algorithm,
    /// Units in one window; a request takes one unless it costs more.
    pub max: NonZeroU32,
    /// How long a window is.
    pub window: Duration,
    /// Units that may be taken at once; of the token bucket only, `max` for the others.
    pub burst: NonZeroU32,
    /// Units of the burst that are kept back, fewer than all: leases may be spent late by as much.
    pub reserve: u32,
}

impl Quota {
    /// `max` in fixed windows.
    pub fn fixed(max: NonZeroU32, window: Duration) -> Self {
        Quota { algorithm: Algorithm::FixedWindow, max, window, burst: max, reserve: 0 }
    }

    /// The window in milliseconds, at least 1.
    pub fn window_millis(&self) -> u64 {
        u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// The most that can be left.
    pub fn limit(&self) -> u32 {
        self.burst.get().saturating_sub(self.reserve)
    }
}

/// One client's counter under one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// [`fixed_window`]
    FixedWindow(FixedWindow),
    /// [`sliding_window`]
    SlidingWindow(SlidingWindow),
    /// [`token_bucket`]
    TokenBucket(TokenBucket),
}

/// A core.
trait Core: Copy + Default {
    /// What it is at `now`, whatever it was.
    fn at(self, quota: &Quota, now: u64) -> Self;
    /// How many units there is room for.
    fn room(&self, quota: &Quota, now: u64) -> u32;
    /// So many units are used. Where that is more than there is room for, the debt is one quota at most.
    fn charge(&mut self, quota: &Quota, units: u32);
    /// Milliseconds until there is room for `units`, and until the whole quota is there.
    fn waits(&self, quota: &Quota, now: u64, units: u32) -> (u64, u64);
    /// As two numbers, and back.
    fn pack(self) -> [u64; 2];
    fn unpack(words: [u64; 2]) -> Self;
}

macro_rules! each {
    ($counter:expr, $core:ident => $what:expr) => {
        match $counter {
            Counter::FixedWindow($core) => $what,
            Counter::SlidingWindow($core) => $what,
            Counter::TokenBucket($core) => $what,
        }
    };
}

impl Counter {
    /// A counter that has counted nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        Counter::unpack(algorithm, [0, 0])
    }

    /// What [`Counter::pack`] made of it.
    pub fn unpack(algorithm: Algorithm, words: [u64; 2]) -> Self {
        match algorithm {
            Algorithm::FixedWindow => Counter::FixedWindow(FixedWindow::unpack(words)),
            Algorithm::SlidingWindow => Counter::SlidingWindow(SlidingWindow::unpack(words)),
            Algorithm::TokenBucket => Counter::TokenBucket(TokenBucket::unpack(words)),
        }
    }

    /// All there is to it, beside its algorithm.
    pub fn pack(self) -> [u64; 2] {
        each!(self, core => core.pack())
    }

    /// Brings it to `now`. The other methods want that first.
    fn advance(&mut self, quota: &Quota, now: u64) {
        each!(self, core => *core = core.at(quota, now));
    }

    fn room(&self, quota: &Quota, now: u64) -> u32 {
        each!(self, core => core.room(quota, now))
    }

    fn charge(&mut self, quota: &Quota, units: u32) {
        each!(self, core => core.charge(quota, units));
    }

    fn waits(&self, quota: &Quota, now: u64, units: u32) -> (u64, u64) {
        each!(self, core => core.waits(quota, now, units))
    }

    /// Uses `units` at `now`, room or not: their price was not known before. Says in how many milliseconds
    /// the whole quota is there again.
    pub fn charge_anyway(&mut self, quota: &Quota, now: u64, units: u32) -> u64 {
        self.advance(quota, now);
        self.charge(quota, units);
        self.waits(quota, now, 1).1
    }
}

#[cfg(test)]
mod tests;
