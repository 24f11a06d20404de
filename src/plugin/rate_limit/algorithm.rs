//! How requests are counted: three algorithms, each a pure core and the same thing in Lua for Redis.
//!
//! | | lets through |
//! |---|---|
//! | [`fixed_window`] | `max` in a window that begins with its first request; around its end, up to twice that |
//! | [`sliding_window`] | `max` in the last window; in a part `t` of one, up to `max` × (1 + `t` / `window`) |
//! | [`token_bucket`] | `burst` at once, and then one each `window / max` |
//!
//! Time is in milliseconds since any fixed moment. A core is asked how many can pass (`room`), told how many
//! do (`charge`), and asked how long the others have to wait (`waits`).

pub mod fixed_window;
pub mod sliding_window;
pub mod token_bucket;

use std::num::NonZeroU32;
use std::time::Duration;

use self::fixed_window::FixedWindow;
use self::sliding_window::SlidingWindow;
use self::token_bucket::TokenBucket;
use crate::config::LimitAlgorithm as Algorithm;

/// How many requests in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How they are counted.
    pub algorithm: Algorithm,
    /// Requests in one window.
    pub max: NonZeroU32,
    /// How long a window is.
    pub window: Duration,
    /// Requests that may come at once; of the token bucket only, `max` for the others.
    pub burst: NonZeroU32,
}

impl Quota {
    /// `max` in fixed windows.
    pub fn fixed(max: NonZeroU32, window: Duration) -> Self {
        Quota { algorithm: Algorithm::FixedWindow, max, window, burst: max }
    }

    /// The window in milliseconds, at least 1.
    pub fn window_millis(&self) -> u64 {
        u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// The most that can be left.
    pub fn limit(&self) -> u32 {
        self.burst.get()
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may pass; it has been counted then.
    pub allowed: bool,
    /// The most that can be left.
    pub limit: u32,
    /// Requests that could pass after it, at once.
    pub remaining: u32,
    /// Until one can pass, where none is left.
    pub retry_after: Duration,
    /// Until all of the quota is there again, if nothing more passes.
    pub reset: Duration,
}

/// What becomes of requests that come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How many of them may pass: the first ones.
    pub granted: u32,
    /// How many more could pass now.
    pub remaining: u32,
    /// Milliseconds until one can pass, where none is left.
    pub retry_after: u64,
    /// Milliseconds until all of the quota is there again, if nothing more passes.
    pub reset: u64,
}

impl Answer {
    /// What it means to the request that came as number `place`, counted from 1.
    pub fn decision(&self, quota: &Quota, place: u32) -> Decision {
        let allowed = place <= self.granted;
        let later = if allowed { self.granted - place } else { 0 };
        Decision {
            allowed,
            limit: quota.limit(),
            remaining: self.remaining + later,
            retry_after: Duration::from_millis(self.retry_after),
            reset: Duration::from_millis(self.reset),
        }
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
    /// How many can pass.
    fn room(&self, quota: &Quota, now: u64) -> u32;
    /// So many do, no more than there is room for.
    fn charge(&mut self, quota: &Quota, count: u32);
    /// Milliseconds until one can pass where there is no room, and until the whole quota is there.
    fn waits(&self, quota: &Quota, now: u64) -> (u64, u64);
}

fn take<C: Core>(core: &mut C, quota: &Quota, now: u64, wanted: u32) -> Answer {
    *core = core.at(quota, now);
    let room = core.room(quota, now);
    let granted = wanted.min(room);
    core.charge(quota, granted);
    let (retry_after, reset) = core.waits(quota, now);
    let remaining = room - granted;
    Answer { granted, remaining, retry_after: if remaining == 0 { retry_after } else { 0 }, reset }
}

impl Counter {
    /// A counter that has counted nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::FixedWindow => Counter::FixedWindow(FixedWindow::default()),
            Algorithm::SlidingWindow => Counter::SlidingWindow(SlidingWindow::default()),
            Algorithm::TokenBucket => Counter::TokenBucket(TokenBucket::default()),
        }
    }

    /// Decides on `wanted` requests that come together at `now`, and counts those that pass.
    pub fn take(&mut self, quota: &Quota, now: u64, wanted: u32) -> Answer {
        match self {
            Counter::FixedWindow(core) => take(core, quota, now, wanted),
            Counter::SlidingWindow(core) => take(core, quota, now, wanted),
            Counter::TokenBucket(core) => take(core, quota, now, wanted),
        }
    }

    /// Whether it has nothing more to say at `now`: a new one would do.
    pub fn is_dead(&self, quota: &Quota, now: u64) -> bool {
        let (_, reset) = match self {
            Counter::FixedWindow(core) => core.at(quota, now).waits(quota, now),
            Counter::SlidingWindow(core) => core.at(quota, now).waits(quota, now),
            Counter::TokenBucket(core) => core.at(quota, now).waits(quota, now),
        };
        reset == 0
    }
}

/// What runs in Redis: the algorithm, and how it is asked.
///
/// `KEYS` are counters; `ARGV` are how many want to pass, the time (empty: that of Redis; only tests know
/// better), and for each counter `max`, the window in milliseconds and `burst`. So many pass as every counter
/// has room for, and all counters are charged with as many, or none is. The answer is how many, and for each
/// counter: how many more could, milliseconds until one can, and until the whole quota is there, which is
/// when its key dies.
pub fn script(algorithm: Algorithm) -> String {
    let (name, core) = match algorithm {
        Algorithm::FixedWindow => ("fixedWindow", fixed_window::LUA),
        Algorithm::SlidingWindow => ("slidingWindow", sliding_window::LUA),
        Algorithm::TokenBucket => ("tokenBucket", token_bucket::LUA),
    };
    format!("{HEAD}{core}local core = algorithms.{name}\n{TAIL}")
}

const HEAD: &str = "\
local wanted, now = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function divide(a, b)
  return (a - a % b) / b
end
local algorithms = {}
";

const TAIL: &str = "\
local rules, granted = {}, wanted
for i, key in ipairs(KEYS) do
  local rule = {max = tonumber(ARGV[3 * i]), window = tonumber(ARGV[3 * i + 1]), burst = tonumber(ARGV[3 * i + 2])}
  rule.state = core.read(rule, redis.call('GET', key) or '')
  rule.room = math.max(core.room(rule, rule.state), 0)
  granted = math.min(granted, rule.room)
  rules[i] = rule
end
local answer = {granted}
for i, rule in ipairs(rules) do
  local value = granted > 0 and core.charge(rule, rule.state, granted)
  local retry_after, reset = core.waits(rule, rule.state)
  if value then
    redis.call('SET', KEYS[i], value, 'PX', reset)
  end
  local remaining = rule.room - granted
  answer[#answer + 1] = remaining
  answer[#answer + 1] = remaining == 0 and retry_after or 0
  answer[#answer + 1] = reset
end
return answer
";

#[cfg(test)]
mod tests;
