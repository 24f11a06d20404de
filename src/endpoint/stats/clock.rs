//! Moments as people read them.

use std::time::{Instant, SystemTime};

/// Tells times of day for moments of the monotonic clock.
pub(super) struct Clock {
    pub(super) now: Instant,
    pub(super) wall: SystemTime,
}

impl Clock {
    pub(super) fn show(&self, at: Instant) -> String {
        timestamp(match at.checked_duration_since(self.now) {
            Some(ahead) => self.wall + ahead,
            None => self.wall - self.now.duration_since(at),
        })
    }
}

/// RFC 3339, in UTC, to the millisecond.
pub(crate) fn timestamp(at: SystemTime) -> String {
    match jiff::Timestamp::try_from(at) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_shown_as_times_of_day() {
        let now = Instant::now() + Duration::from_secs(100);
        let clock = Clock { now, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000) };
        assert_eq!(clock.show(now + Duration::from_millis(500)), "1970-01-01T00:16:40.500Z");
        assert_eq!(clock.show(now - Duration::from_secs(40)), "1970-01-01T00:16:00.000Z");
    }
}
