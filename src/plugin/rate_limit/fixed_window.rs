//! A counter a window. The window begins with its first request and ends `window` later.
//!
//! Pure: time comes in as milliseconds since any fixed moment. The script that runs in Redis
//! ([`SCRIPT`]) takes the same decisions, by the clock of Redis.

use std::num::NonZeroU32;
use std::time::Duration;

/// How many requests in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests in one window.
    pub max: NonZeroU32,
    /// How long a window is.
    pub window: Duration,
}

impl Quota {
    pub(super) fn window_millis(&self) -> u64 {
        u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX)
    }

    /// The decision that `used` requests (this one included if it is allowed) and `reset` make.
    pub(super) fn decision(&self, allowed: bool, used: u32, reset: Duration) -> Decision {
        Decision { allowed, limit: self.max.get(), remaining: self.max.get().saturating_sub(used), reset }
    }
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may pass; it has been counted then.
    pub allowed: bool,
    /// Requests in one window.
    pub limit: u32,
    /// Requests that are left in this one.
    pub remaining: u32,
    /// Until the window ends.
    pub reset: Duration,
}

/// One client's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When it ends, in milliseconds.
    pub ends: u64,
    /// Requests that passed in it.
    pub used: u32,
}

impl Window {
    /// A window that has ended; the next request begins a new one.
    pub const OVER: Window = Window { ends: 0, used: 0 };

    /// Decides on one request at `now`, and counts it if it passes.
    pub fn take(&mut self, quota: &Quota, now: u64) -> Decision {
        if now >= self.ends {
            *self = Window { ends: now.saturating_add(quota.window_millis()), used: 0 };
        }
        let allowed = self.used < quota.max.get();
        if allowed {
            self.used += 1;
        }
        quota.decision(allowed, self.used, Duration::from_millis(self.ends - now))
    }
}

/// [`Window::take`] as one atomic step in Redis, for several requests at a time. `KEYS[1]` is the counter;
/// `ARGV` are `max`, the window in milliseconds and how many want to pass; the answer is `{how many of them
/// may, how many have in this window, milliseconds until reset}`.
///
/// The window is the key's own expiry, so the time is Redis' and the key dies the moment it has no more
/// to say. A counter that has lost its expiry, or was begun when windows were longer, begins anew.
pub const SCRIPT: &str = "\
local max, window, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local used = tonumber(redis.call('GET', KEYS[1]) or '')
local left = used and redis.call('PTTL', KEYS[1]) or -2
if left < 0 or left > window then
  local granted = math.min(wanted, max)
  redis.call('SET', KEYS[1], granted, 'PX', window)
  return {granted, granted, window}
end
local granted = math.min(wanted, max - used)
if granted <= 0 then
  return {0, used, left}
end
return {granted, redis.call('INCRBY', KEYS[1], granted), left}
";

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(max: u32, millis: u64) -> Quota {
        Quota { max: NonZeroU32::new(max).expect("not 0"), window: Duration::from_millis(millis) }
    }

    #[test]
    fn max_requests_pass_and_the_next_is_told_when_to_return() {
        let (quota, mut window) = (quota(3, 60_000), Window::OVER);
        for left in [2, 1, 0] {
            let decision = window.take(&quota, 1_000);
            assert_eq!((decision.allowed, decision.remaining, decision.limit), (true, left, 3));
        }
        let refused = window.take(&quota, 31_000);
        assert_eq!((refused.allowed, refused.remaining, refused.reset), (false, 0, Duration::from_secs(30)));
    }

    #[test]
    fn a_window_begins_with_its_first_request_and_ends_to_the_millisecond() {
        let (quota, mut window) = (quota(1, 60_000), Window::OVER);
        assert!(window.take(&quota, 5_000).allowed);
        assert!(!window.take(&quota, 64_999).allowed);
        let next = window.take(&quota, 65_000);
        assert_eq!((next.allowed, next.reset), (true, Duration::from_secs(60)));
    }

    #[test]
    fn refused_requests_use_up_nothing() {
        let (quota, mut window) = (quota(2, 1_000), Window::OVER);
        let passed = (0..100).filter(|_| window.take(&quota, 10).allowed).count();
        assert_eq!((passed, window.used), (2, 2));
        assert!(window.take(&quota, 1_010).allowed);
    }

    #[test]
    fn a_limit_that_shrinks_while_a_window_runs_refuses_and_never_underflows() {
        let mut window = Window::OVER;
        for _ in 0..5 {
            window.take(&quota(10, 1_000), 0);
        }
        let decision = window.take(&quota(3, 1_000), 1);
        assert_eq!((decision.allowed, decision.remaining), (false, 0));
    }

    /// For any times and any quota: never more than `max` in any window, and `reset` tells the truth.
    #[test]
    fn never_more_than_max_in_a_window_and_the_reset_is_exact() {
        let mut state = 42_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let quota = quota(1 + random(20) as u32, 1 + random(5_000));
            let (mut window, mut now, mut passed) = (Window::OVER, random(10_000), Vec::new());
            for _ in 0..300 {
                now += random(quota.window_millis() / 4 + 2);
                let mut copy = window;
                let decision = window.take(&quota, now);
                if decision.allowed {
                    passed.push((now, window.ends));
                } else {
                    let back = now + decision.reset.as_millis() as u64;
                    assert!(!copy.take(&quota, back - 1).allowed, "a moment before the reset it is refused");
                    assert!(copy.take(&quota, back).allowed, "at the reset it passes");
                }
            }
            for end in passed.iter().map(|(_, end)| *end) {
                let inside = passed.iter().filter(|(_, e)| *e == end).count();
                assert!(inside <= quota.max.get() as usize);
            }
        }
    }
}
