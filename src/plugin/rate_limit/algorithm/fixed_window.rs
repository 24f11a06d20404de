//! A counter a window. The window begins with its first request and ends `window` later.

use super::{Core, Quota};

/// A window of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedWindow {
    /// When it ends.
    ends: u64,
    /// Requests that passed in it; 0: it has not begun.
    used: u32,
}

impl Core for FixedWindow {
    fn at(self, quota: &Quota, now: u64) -> Self {
        // One that ends later than it could have was begun when windows were longer.
        let is_over = now >= self.ends || self.ends - now > quota.window_millis();
        if is_over { FixedWindow { ends: now.saturating_add(quota.window_millis()), used: 0 } } else { self }
    }

    fn room(&self, quota: &Quota, _: u64) -> u32 {
        quota.max.get().saturating_sub(self.used)
    }

    fn charge(&mut self, _: &Quota, count: u32) {
        self.used += count;
    }

    fn waits(&self, _: &Quota, now: u64) -> (u64, u64) {
        let left = if self.used == 0 { 0 } else { self.ends - now };
        (left, left)
    }
}

/// The same in Redis: `f ends used`.
pub const LUA: &str = "
algorithms.fixedWindow = {
  read = function(rule, value)
    local ends, used = string.match(value, '^f (%d+) (%d+)$')
    ends, used = tonumber(ends) or 0, tonumber(used) or 0
    if now >= ends or ends - now > rule.window then
      ends, used = now + rule.window, 0
    end
    return {ends = ends, used = used}
  end,
  room = function(rule, state)
    return rule.max - state.used
  end,
  charge = function(rule, state, count)
    state.used = state.used + count
    return string.format('f %.0f %.0f', state.ends, state.used)
  end,
  waits = function(rule, state)
    local left = state.used == 0 and 0 or state.ends - now
    return left, left
  end,
}
";
