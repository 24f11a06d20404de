//! Outcomes of the recent past, counted in slots of a tenth of the window each.

use std::time::{Duration, Instant};

const SLOTS: u64 = 10;

/// How many attempts ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that say something about the peer.
    pub total: u32,
    /// Failures.
    pub failed: u32,
    /// Answers that took too long.
    pub slow: u32,
}

/// The outcomes of one window of time, up to a tenth more or less of it.
#[derive(Clone, Debug)]
pub struct Window {
    origin: Instant,
    /// How long a slot is, in nanoseconds; not 0.
    slot: u64,
    /// The number of the slot that is being filled.
    newest: u64,
    slots: [Counts; SLOTS as usize],
    sum: Counts,
}

impl Window {
    /// An empty one that reaches `length` back.
    pub fn new(length: Duration, now: Instant) -> Self {
        let slot = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX) / SLOTS;
        Window { origin: now, slot: slot.max(1), newest: 0, slots: Default::default(), sum: Counts::default() }
    }

    /// Notes one outcome. Says in which slot: see [`Window::take_back`].
    pub fn note(&mut self, failed: bool, slow: bool, now: Instant) -> u64 {
        self.advance(now);
        self.add(Counts { total: 1, failed: failed.into(), slow: slow.into() });
        self.newest
    }

    /// What was noted in `slot` as no failure has become one, which happens now and not then.
    pub fn take_back(&mut self, slot: u64, now: Instant) {
        self.advance(now);
        if self.newest.saturating_sub(slot) < SLOTS {
            let counts = &mut self.slots[(slot % SLOTS) as usize];
            counts.total = counts.total.saturating_sub(1);
            self.sum.total = self.sum.total.saturating_sub(1);
        }
        self.add(Counts { total: 1, failed: 1, slow: 0 });
    }

    /// What is in the window.
    pub fn counts(&mut self, now: Instant) -> Counts {
        self.advance(now);
        self.sum
    }

    fn add(&mut self, more: Counts) {
        for counts in [&mut self.slots[(self.newest % SLOTS) as usize], &mut self.sum] {
            counts.total = counts.total.saturating_add(more.total);
            counts.failed = counts.failed.saturating_add(more.failed);
            counts.slow = counts.slow.saturating_add(more.slow);
        }
    }

    /// Empties the slots that are over.
    fn advance(&mut self, now: Instant) {
        let age = u64::try_from(now.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX);
        // Threads may bring their times in another order than they took them.
        let newest = (age / self.slot).max(self.newest);
        for slot in (self.newest + 1..=newest).take(SLOTS as usize) {
            let gone = std::mem::take(&mut self.slots[(slot % SLOTS) as usize]);
            self.sum.total = self.sum.total.saturating_sub(gone.total);
            self.sum.failed = self.sum.failed.saturating_sub(gone.failed);
            self.sum.slow = self.sum.slow.saturating_sub(gone.slow);
        }
        self.newest = newest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Duration = Duration::from_secs(1);

    fn window() -> (Window, Instant) {
        let now = Instant::now();
        (Window::new(10 * TENTH, now), now)
    }

    #[test]
    fn what_is_over_leaves_slot_by_slot() {
        let (mut window, start) = window();
        for second in 0..10 {
            window.note(second % 2 == 0, second == 9, start + second * TENTH);
        }
        assert_eq!(window.counts(start + 9 * TENTH), Counts { total: 10, failed: 5, slow: 1 });
        assert_eq!(window.counts(start + 10 * TENTH), Counts { total: 9, failed: 4, slow: 1 });
        assert_eq!(window.counts(start + 14 * TENTH), Counts { total: 5, failed: 2, slow: 1 });
        assert_eq!(window.counts(start), Counts { total: 5, failed: 2, slow: 1 }, "time does not run back");
        assert_eq!(window.counts(start + 1_000_000 * TENTH), Counts::default());
    }

    #[test]
    fn a_success_that_is_taken_back_is_one_failure() {
        let (mut window, start) = window();
        let early = window.note(false, false, start);
        let late = window.note(false, false, start + 8 * TENTH);
        window.take_back(early, start + 9 * TENTH);
        assert_eq!(window.counts(start + 9 * TENTH), Counts { total: 2, failed: 1, slow: 0 });
        assert_eq!(window.counts(start + 12 * TENTH), Counts { total: 2, failed: 1, slow: 0 }, "it has failed late");
        window.take_back(late, start + 30 * TENTH);
        assert_eq!(window.counts(start + 30 * TENTH), Counts { total: 1, failed: 1, slow: 0 }, "the rest is over");
    }
}
