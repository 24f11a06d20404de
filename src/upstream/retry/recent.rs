//! How often something happened in the last while: counts in slots of time, for many threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Ten seconds are cut into so many slots of half a second.
const SLOTS: u64 = 20;

/// Counts of the last ten seconds, give or take half of one.
#[derive(Debug)]
pub struct Recent {
    origin: Instant,
    /// One more than are looked at, since one is being begun. In each the number of the slot, counted from
    /// `origin`, and the count.
    slots: [AtomicU64; SLOTS as usize + 1],
}

impl Recent {
    /// Nothing yet.
    pub fn new(now: Instant) -> Self {
        Recent { origin: now, slots: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Counts one more at `now`.
    pub fn add(&self, now: Instant) {
        let number = self.number(now);
        let slot = &self.slots[(number % (SLOTS + 1)) as usize];
        let counted = |entry: u64| match entry >> 32 {
            current if current == number => Some(entry + u64::from(entry as u32 != u32::MAX)),
            // Late by a whole round: it is not worth to be counted.
            later if later > number => None,
            _ => Some(number << 32 | 1),
        };
        // What was not counted is a count that nobody looks at any more.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// How often, at `now`.
    pub fn count(&self, now: Instant) -> u64 {
        let number = self.number(now);
        let entries = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed));
        let alive = entries.filter(|entry| (number + 1).saturating_sub(SLOTS) <= entry >> 32 && entry >> 32 <= number);
        alive.map(|entry| entry & u64::from(u32::MAX)).sum()
    }

    fn number(&self, now: Instant) -> u64 {
        // 32 bits of half seconds are 68 years.
        let since = now.saturating_duration_since(self.origin);
        since.as_secs() * 2 + u64::from(since.subsec_millis() >= 500)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SLOT: Duration = Duration::from_millis(500);

    #[test]
    fn what_is_older_than_the_window_is_not_counted() {
        let start = Instant::now();
        let at = |half_seconds: u32| start + SLOT * half_seconds;
        let recent = Recent::new(start);
        for half_second in 0..20 {
            (0..=half_second).for_each(|_| recent.add(at(half_second)));
        }
        assert_eq!(recent.count(at(19)), 210);
        assert_eq!(recent.count(at(20)), 209, "the first slot is over");
        assert_eq!(recent.count(at(38)), 20);
        assert_eq!(recent.count(at(39)), 0);
        assert_eq!(recent.count(at(1_000_000)), 0);
        recent.add(at(25));
        recent.add(at(4));
        assert_eq!(recent.count(at(25)), 210 - 21 + 1, "who is late by a round is not counted");
    }

    #[test]
    fn threads_lose_nothing() {
        let (recent, now) = (std::sync::Arc::new(Recent::new(Instant::now())), Instant::now());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let recent = recent.clone();
                std::thread::spawn(move || (0..10_000).for_each(|_| recent.add(now)))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(recent.count(now), 40_000);
    }
}
