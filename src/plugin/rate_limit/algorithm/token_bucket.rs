//! A bucket that each request fills a little, and that drains steadily: the generic cell rate algorithm in
//! its form as a leaky bucket (ITU-T I.371, appendix I).
//!
//! A unit adds `window`, and `max` drain away in each millisecond, so that `max` units pass in a
//! window. It passes if the bucket, `burst × window` deep, does not run over. All in whole numbers: `burst ×
//! window` must not be more than 2^52, which the config sees to, so that Lua, whose numbers are doubles,
//! comes to the same results.

use super::{Core, Quota, STEP_BACK};

/// The bucket of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucket {
    /// When it was looked at last.
    at: u64,
    /// How full it was then.
    level: u64,
}

impl Core for TokenBucket {
    fn at(self, quota: &Quota, now: u64) -> Self {
        // Nothing would drain until the clock is where it was.
        if self.at.saturating_sub(now) > STEP_BACK {
            return TokenBucket { at: now, level: 0 };
        }
        let drained = now.saturating_sub(self.at).saturating_mul(quota.max.get().into());
        // It may have been deeper before the config changed.
        TokenBucket { at: self.at.max(now), level: self.level.saturating_sub(drained).min(2 * depth(quota)) }
    }

    fn room(&self, quota: &Quota, _: u64) -> u32 {
        u32::try_from(depth(quota).saturating_sub(self.level) / quota.window_millis()).unwrap_or(u32::MAX)
    }

    fn charge(&mut self, quota: &Quota, units: u32) {
        self.level =
            self.level.saturating_add(u64::from(units).saturating_mul(quota.window_millis())).min(2 * depth(quota));
    }

    fn waits(&self, quota: &Quota, _: u64, units: u32) -> (u64, u64) {
        let max = u64::from(quota.max.get());
        let too_full = (self.level + u64::from(units) * quota.window_millis()).saturating_sub(depth(quota));
        (too_full.div_ceil(max), self.level.div_ceil(max))
    }

    fn pack(self) -> [u64; 2] {
        [self.at, self.level]
    }

    fn unpack([at, level]: [u64; 2]) -> Self {
        TokenBucket { at, level }
    }
}

fn depth(quota: &Quota) -> u64 {
    u64::from(quota.limit()) * quota.window_millis()
}

/// The same in Redis: `b at level`.
pub const LUA: &str = "
algorithms.tokenBucket = {
  read = function(rule, value)
    local at, level = string.match(value, '^b (%d+) (%d+)$')
    at, level = tonumber(at) or now, tonumber(level) or 0
    if at - now > STEP_BACK then
      at, level = now, 0
    end
    level = math.max(level - math.max(now - at, 0) * rule.max, 0)
    return {at = math.max(at, now), level = math.min(level, 2 * rule.burst * rule.window)}
  end,
  room = function(rule, state)
    return divide(math.max(rule.burst * rule.window - state.level, 0), rule.window)
  end,
  charge = function(rule, state, units)
    state.level = math.min(state.level + units * rule.window, 2 * rule.burst * rule.window)
    return string.format('b %.0f %.0f', state.at, state.level)
  end,
  waits = function(rule, state, units)
    local too_full = math.max(state.level + units * rule.window - rule.burst * rule.window, 0)
    return divide(too_full + rule.max - 1, rule.max), divide(state.level + rule.max - 1, rule.max)
  end,
}
";
