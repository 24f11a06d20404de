//! Two counters, of this window and the one before, which counts by as much as is still in view.
//!
//! Windows are aligned to multiples of their length. At `elapsed` into a window, `current + previous ×
//! (window - elapsed) / window` requests are taken to be in view, as if those of the window before had come
//! evenly. So the burst of twice `max` that a fixed window lets through at its edge does not pass. The
//! method is known from Cloudflare ("How we built rate limiting capable of scaling to millions of domains",
//! 2017).
//!
//! All in whole numbers: `max × window` must not be more than 2^52, which the config sees to, so that Lua,
//! whose numbers are doubles, comes to the same results.

use super::{Core, Quota, STEP_BACK};

/// Two windows of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlidingWindow {
    /// When the current one began.
    start: u64,
    previous: u32,
    current: u32,
}

impl SlidingWindow {
    /// Units of the window before that are in view, times the window.
    fn in_view(&self, window: u64, now: u64) -> u64 {
        u64::from(self.previous) * (self.start + window - now).min(window)
    }
}

impl Core for SlidingWindow {
    fn at(self, quota: &Quota, now: u64) -> Self {
        let window = quota.window_millis();
        if (1..=STEP_BACK).contains(&self.start.saturating_sub(now)) {
            return self;
        }
        let start = now - now % window;
        match start.checked_sub(self.start) {
            Some(0) => self,
            Some(gone) if gone == window => SlidingWindow { start, previous: self.current, current: 0 },
            _ => SlidingWindow { start, previous: 0, current: 0 },
        }
    }

    fn room(&self, quota: &Quota, now: u64) -> u32 {
        let window = quota.window_millis();
        let spent = self.in_view(window, now) + u64::from(self.current) * window;
        let left = (u64::from(quota.max.get()) * window).saturating_sub(spent);
        u32::try_from(left / window).unwrap_or(u32::MAX)
    }

    fn charge(&mut self, quota: &Quota, units: u32) {
        self.current = self.current.saturating_add(units).min(quota.max.get().saturating_mul(2));
    }

    fn waits(&self, quota: &Quota, now: u64, units: u32) -> (u64, u64) {
        let window = quota.window_millis();
        let (previous, current) = (u64::from(self.previous), u64::from(self.current));
        let most = u64::from(quota.max.get().saturating_sub(units));
        let end = self.start + window;
        // The moment from which `of` units of a window that ended at `ended` leave enough room beside
        // `beside` others: `of × (ended + window - t) <= (most - beside) × window`.
        let room_at = |of: u64, ended: u64, beside: u64| {
            ended + window - ((most - beside) * window).checked_div(of).map_or(window, |view| view.min(window))
        };
        let retry_at = if current <= most { room_at(previous, self.start, current) } else { room_at(current, end, 0) };
        let reset_at = match (previous, current) {
            (0, 0) => now,
            (_, 0) => end,
            _ => end + window,
        };
        (retry_at.saturating_sub(now), reset_at - now)
    }

    fn pack(self) -> [u64; 2] {
        [self.start, u64::from(self.previous) << 32 | u64::from(self.current)]
    }

    fn unpack([start, counts]: [u64; 2]) -> Self {
        SlidingWindow { start, previous: (counts >> 32) as u32, current: counts as u32 }
    }
}

/// The same in Redis: `s start previous current`.
pub const LUA: &str = "
algorithms.slidingWindow = {
  read = function(rule, value)
    local began, previous, current = string.match(value, '^s (%d+) (%d+) (%d+)$')
    began, previous, current = tonumber(began) or -1, tonumber(previous) or 0, tonumber(current) or 0
    local start = now - now % rule.window
    if began > now and began - now <= STEP_BACK then
      start = began
    end
    if start - began == rule.window then
      previous, current = current, 0
    elseif start ~= began then
      previous, current = 0, 0
    end
    return {start = start, previous = previous, current = current}
  end,
  room = function(rule, state)
    local view = math.min(state.start + rule.window - now, rule.window)
    local spent = state.previous * view + state.current * rule.window
    return divide(math.max(rule.max * rule.window - spent, 0), rule.window)
  end,
  charge = function(rule, state, units)
    state.current = math.min(state.current + units, 2 * rule.max, 4294967295)
    return string.format('s %.0f %.0f %.0f', state.start, state.previous, state.current)
  end,
  waits = function(rule, state, units)
    local ends, most = state.start + rule.window, rule.max - units
    local function room_at(of, ended, beside)
      local view = of == 0 and rule.window or divide((most - beside) * rule.window, of)
      return ended + rule.window - math.min(view, rule.window)
    end
    local retry_at
    if state.current <= most then
      retry_at = room_at(state.previous, state.start, state.current)
    else
      retry_at = room_at(state.current, ends, 0)
    end
    local reset_at = now
    if state.current > 0 then
      reset_at = ends + rule.window
    elseif state.previous > 0 then
      reset_at = ends
    end
    return math.max(retry_at - now, 0), reset_at - now
  end,
}
";
