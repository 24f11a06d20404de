//! How fast a client has to be, on average: who sends a byte a minute, or takes one, would otherwise keep its connection, and
//! one to a target, for as long as it likes.
//!
//! What counts is the time that the gateway waits for the client and for nobody else, so that a slow target makes no client
//! slow. Apache httpd reckons so in `mod_reqtimeout`, and Kestrel in `MinRequestBodyDataRate`. Pure.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// The least that is asked of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second.
    pub rate: NonZeroU64,
    /// How long a client may keep the gateway waiting beyond that.
    pub grace: Duration,
}

impl Pace {
    /// How long a client may have kept the gateway waiting in all that has sent, or taken, so many bytes.
    pub fn allows(&self, bytes: u64) -> Duration {
        let millis = u128::from(bytes) * 1_000 / u128::from(self.rate.get());
        self.grace.saturating_add(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}

/// The time that a client has kept somebody waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    since: Option<Instant>,
    before: Duration,
}

impl Waiting {
    /// It does so, since `now` at the latest. Since when.
    pub fn begin(&mut self, now: Instant) -> Instant {
        *self.since.get_or_insert(now)
    }

    /// It does so no more. How long it did, this time.
    pub fn end(&mut self, now: Instant) -> Duration {
        let Some(since) = self.since.take() else { return Duration::ZERO };
        let present = now.saturating_duration_since(since);
        self.before = self.before.saturating_add(present);
        present
    }

    /// How long it has by now, this time.
    pub fn present(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How long it has by now, in all.
    pub fn total(&self, now: Instant) -> Duration {
        self.before.saturating_add(self.present(now))
    }

    /// How long it may this time, if it may so long in all.
    pub fn left(&self, all: Duration) -> Duration {
        all.saturating_sub(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_buy_time() {
        let pace = Pace { rate: NonZeroU64::new(500).expect("more than nothing"), grace: 20 * SECOND };
        for (bytes, allowed) in [(0, 20_000), (1, 20_002), (500, 21_000), (500_000, 1_020_000)] {
            assert_eq!(pace.allows(bytes), Duration::from_millis(allowed), "{bytes}");
        }
        assert!(pace.allows(u64::MAX) > pace.allows(u64::MAX / 2));
        let slow = Pace { rate: NonZeroU64::MIN, grace: Duration::MAX };
        assert_eq!(slow.allows(u64::MAX), Duration::MAX);
    }

    #[test]
    fn only_waiting_counts() {
        let now = Instant::now();
        let mut waiting = Waiting::default();
        assert_eq!((waiting.begin(now), waiting.begin(now + SECOND)), (now, now));
        assert_eq!(waiting.end(now + 3 * SECOND), 3 * SECOND);
        assert_eq!(waiting.end(now + 9 * SECOND), Duration::ZERO, "it has ended");
        assert_eq!(waiting.left(20 * SECOND), 17 * SECOND);
        waiting.begin(now + 10 * SECOND);
        assert_eq!(waiting.present(now + 12 * SECOND), 2 * SECOND);
        assert_eq!(waiting.total(now + 12 * SECOND), 5 * SECOND);
        assert_eq!(waiting.left(2 * SECOND), Duration::ZERO);
    }
}
