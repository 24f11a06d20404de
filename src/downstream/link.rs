//! What a connection and the request that is on it tell each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::patience::Patience;

/// A client that takes nothing for so long is a slow reader.
const STALL: Duration = Duration::from_secs(1);

/// One connection's.
#[derive(Debug, Default)]
pub struct Link {
    /// A request has been handed to the hooks.
    taken: AtomicBool,
    /// The client has not been listened to until its end.
    unread: AtomicBool,
    /// The client has kept us waiting with what it is sent.
    slow: AtomicBool,
    /// Since when it does so.
    stalled: Mutex<Option<Instant>>,
    patience: Mutex<Patience>,
}

// One task reads, decides and writes: the flags order nothing.
impl Link {
    /// A request has arrived: what is written from now on is its answer.
    pub fn take(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// The request is over before all of it was read.
    pub fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether the client was, during this request, a second or more late to take what it was sent: who
    /// sent it may by then have lost patience.
    pub fn is_slow(&self, now: Instant) -> bool {
        self.slow.load(Ordering::Relaxed)
            || self.stalled.lock().is_some_and(|since| now.saturating_duration_since(since) >= STALL)
    }

    /// The request is over; the next one may come.
    pub fn next_request(&self) {
        self.taken.store(false, Ordering::Relaxed);
        self.unread.store(false, Ordering::Relaxed);
        self.slow.store(false, Ordering::Relaxed);
    }

    /// How long the request still waits.
    pub fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock()
    }

    /// Whether a request has arrived.
    pub fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether the request was left before all of it was read.
    pub fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// The client does not take what it is sent.
    pub fn stalls(&self, now: Instant) {
        self.stalled.lock().get_or_insert(now);
    }

    /// It does again.
    pub fn goes_on(&self, now: Instant) {
        let since = self.stalled.lock().take();
        if since.is_some_and(|since| now.saturating_duration_since(since) >= STALL) {
            self.slow.store(true, Ordering::Relaxed);
        }
        // Meanwhile nobody could hear the target.
        self.patience.lock().alive(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_stalls_for_a_second_is_slow_until_the_next_request() {
        let (link, start) = (Link::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        link.stalls(at(0));
        link.goes_on(at(999));
        assert!(!link.is_slow(at(999)));
        link.stalls(at(2_000));
        link.stalls(at(2_900));
        assert!(!link.is_slow(at(2_999)));
        assert!(link.is_slow(at(3_000)), "it counts while it lasts");
        link.goes_on(at(3_000));
        assert!(link.is_slow(at(3_000)));
        link.next_request();
        assert!(!link.is_slow(at(9_000)));
    }
}
