//! A counter a window. The window begins with its first request and ends `window` later.

use super::{Core, Quota, STEP_BACK};

/// A window of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedWindow {
    /// When it ends.
    ends: u64,
    /// Units used in it; 0: it has not begun.
    used: u32,
}

impl Core for FixedWindow {
    fn at(self, quota: &Quota, now: u64) -> Self {
        let longest = quota.window_millis().saturating_add(STEP_BACK);
        let is_running = self.used > 0 && now < self.ends && self.ends - now <= longest;
        if !is_running { FixedWindow { ends: now.saturating_add(quota.window_millis()), used: 0 } } else { self }
    }

    fn room(&self, quota: &Quota, _: u64) -> u32 {
        quota.max.get().saturating_sub(self.used)
    }

    fn charge(&mut self, quota: &Quota, units: u32) {
        self.used = self.used.saturating_add(units).min(quota.max.get().saturating_mul(2));
    }

    fn waits(&self, quota: &Quota, now: u64, units: u32) -> (u64, u64) {
        let left = if self.used == 0 { 0 } else { self.ends - now };
        (if self.room(quota, now) < units { left } else { 0 }, left)
    }

    fn pack(self) -> [u64; 2] {
        [self.ends, self.used.into()]
    }

    fn unpack([ends, used]: [u64; 2]) -> Self {
        FixedWindow { ends, used: used as u32 }
    }
}

/// The same in Redis: `f ends used`.
pub const LUA: &str = "
algorithms.fixedWindow = {
  read = function(rule, value)
    local ends, used = string.match(value, '^f (%d+) (%d+)$')
    ends, used = tonumber(ends) or 0, tonumber(used) or 0
    if now >= ends or ends - now > rule.window + STEP_BACK then
      ends, used = now + rule.window, 0
    end
    return {ends = ends, used = used}
  end,
  room = function(rule, state)
    return rule.max - state.used
  end,
  charge = function(rule, state, units)
    state.used = math.min(state.used + units, 2 * rule.max, 4294967295)
    return string.format('f %.0f %.0f', state.ends, state.used)
  end,
  waits = function(rule, state, units)
    local left = state.used == 0 and 0 or state.ends - now
    return state.used + units > rule.max and left or 0, left
  end,
}
";
