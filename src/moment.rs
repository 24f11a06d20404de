//! When something happened the last time, for many threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A moment that may not have come yet.
#[derive(Debug)]
pub struct Moment {
    origin: Instant,
    /// Nanoseconds since `origin`, 1 at least; 0 if it has not come.
    since: AtomicU64,
}

impl Moment {
    /// It has not come by `now`, and will not be earlier.
    pub fn none(now: Instant) -> Self {
        Moment { origin: now, since: AtomicU64::new(0) }
    }

    /// It is `now`.
    pub fn set(&self, now: Instant) {
        let since = now.saturating_duration_since(self.origin).as_nanos();
        self.since.store(u64::try_from(since).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// The last one.
    pub fn get(&self) -> Option<Instant> {
        match self.since.load(Ordering::Relaxed) {
            0 => None,
            since => Some(self.origin + Duration::from_nanos(since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_last_one_that_was_set() {
        let origin = Instant::now();
        let moment = Moment::none(origin);
        assert_eq!(moment.get(), None);
        moment.set(origin);
        assert_eq!(moment.get(), Some(origin + Duration::from_nanos(1)), "it has come, if only just");
        for later in [origin + Duration::from_secs(3600), origin + Duration::from_millis(5)] {
            moment.set(later);
            assert_eq!(moment.get(), Some(later));
        }
    }
}
