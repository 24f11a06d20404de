//! What a connection and the request that is on it tell each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::entrance::Entrance;
use super::pace::Waiting;
use super::patience::Patience;
use super::pause::Pause;
use crate::gathered::Hold;

/// A client that takes nothing for so long is a slow reader.
const STALL: Duration = Duration::from_secs(1);

/// One connection's, or one stream's of a connection of HTTP/2.
#[derive(Debug, Default)]
pub struct Link {
    /// How its client came in.
    pub entrance: Arc<Entrance>,
    /// A request has been handed to the hooks.
    taken: AtomicBool,
    /// The client has not been listened to until its end.
    unread: AtomicBool,
    /// What is written need not go yet.
    held: AtomicBool,
    /// The client has kept us waiting with what it is sent.
    slow: AtomicBool,
    /// How long it has done so.
    taking: Mutex<Waiting>,
    /// The request rests meanwhile.
    pub pause: Pause,
    /// All of the request has been read: what else comes belongs to the next one.
    whole: AtomicBool,
    /// How long the client has kept its own request waiting.
    silence: Mutex<Waiting>,
    /// The body of the request comes in chunks.
    chunked: AtomicBool,
    /// And they are none.
    malformed: AtomicBool,
    /// The client has broken its request off.
    gone: AtomicBool,
    patience: Mutex<Patience>,
}

// One task reads, decides and writes: the flags order nothing.
impl Link {
    /// That of a client that came in so.
    pub fn new(entrance: Arc<Entrance>) -> Self {
        Link { entrance, ..Link::default() }
    }

    /// A request has arrived: what is written from now on is its answer.
    pub fn take(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    /// The request is over before all of it was read.
    pub fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether what is written may wait, since more is to come at once.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    /// Whether the client was, during this request, a second or more late to take what it was sent: who
    /// sent it may by then have lost patience.
    pub fn is_slow(&self, now: Instant) -> bool {
        self.slow.load(Ordering::Relaxed) || self.taking.lock().present(now) >= STALL
    }

    /// The request is over; the next one may come.
    pub fn next_request(&self) {
        self.taken.store(false, Ordering::Relaxed);
        self.unread.store(false, Ordering::Relaxed);
        self.held.store(false, Ordering::Relaxed);
        self.slow.store(false, Ordering::Relaxed);
        self.whole.store(false, Ordering::Relaxed);
        self.chunked.store(false, Ordering::Relaxed);
        *self.patience.lock() = Patience::default();
        *self.silence.lock() = Waiting::default();
        *self.taking.lock() = Waiting::default();
        self.pause.is_over();
        self.pause.set_tunnel(false);
    }

    /// The body of the request comes in chunks.
    pub fn set_chunked(&self) {
        self.chunked.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub fn is_chunked(&self) -> bool {
        self.chunked.load(Ordering::Relaxed)
    }

    /// The client has broken its request off.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Whether it has.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// The chunks are none.
    pub fn set_malformed(&self) {
        self.malformed.store(true, Ordering::Relaxed);
    }

    /// Whether they are none.
    pub fn is_malformed(&self) -> bool {
        self.malformed.load(Ordering::Relaxed)
    }

    /// All of the request has been read; or not, since it is a tunnel to which all that follows belongs.
    pub fn set_whole(&self, whole: bool) {
        self.whole.store(whole, Ordering::Relaxed);
    }

    /// Whether what comes belongs to the next request.
    pub fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Relaxed)
    }

    /// When the request has waited for too long, nothing having come from its client.
    pub fn due(&self) -> Option<Instant> {
        self.patience.lock().due(&mut self.silence.lock(), Instant::now)
    }

    /// Whether the request has come to the end of all waiting although something came from its client; says so to
    /// whoever asks who was late.
    pub fn is_over(&self) -> bool {
        let mut patience = self.patience.lock();
        let Some(end) = patience.end() else { return false };
        let now = Instant::now();
        if now < end {
            return false;
        }
        let is_heard = !self.has_kept_waiting(now);
        patience.run_out(is_heard, now);
        true
    }

    /// Something has come.
    pub fn hears(&self, now: Instant) {
        self.silence.lock().end(now);
    }

    /// Whether the client has kept its request waiting for a second or more in all: who waited for it may by then
    /// have lost patience.
    pub fn has_kept_waiting(&self, now: Instant) -> bool {
        self.silence.lock().total(now) >= STALL
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

    /// The client does not take what it is sent, and has taken so many bytes. When it should have gone on.
    pub fn stalls(&self, taken: u64, now: Instant) -> Instant {
        self.patience.lock().taken_by(&mut self.taking.lock(), taken, now)
    }

    /// It has not, by `now`.
    pub fn is_not_taken(&self, now: Instant) {
        self.patience.lock().is_not_taken(now);
    }

    /// It does again.
    pub fn goes_on(&self, now: Instant) {
        if self.taking.lock().end(now) >= STALL {
            self.slow.store(true, Ordering::Relaxed);
        }
        // Meanwhile nobody could hear the target.
        self.patience.lock().alive(now);
    }
}

impl Hold for Arc<Link> {
    fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_add_up() {
        let (link, start) = (Link::default(), Instant::now());
        link.patience().with_client(Duration::from_secs(9), None, None);
        let since = link.due().expect("due") - Duration::from_secs(9);
        link.hears(since + Duration::from_millis(600));
        assert!(!link.has_kept_waiting(since + Duration::from_secs(5)));
        link.due();
        let later = Instant::now() + Duration::from_millis(401);
        assert!(link.has_kept_waiting(later) && !link.has_kept_waiting(start));
        link.next_request();
        assert!(!link.has_kept_waiting(later));
    }

    #[test]
    fn a_client_that_stalls_for_a_second_is_slow_until_the_next_request() {
        let (link, start) = (Link::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        link.stalls(0, at(0));
        link.goes_on(at(999));
        assert!(!link.is_slow(at(999)));
        link.stalls(0, at(2_000));
        link.stalls(0, at(2_900));
        assert!(!link.is_slow(at(2_999)));
        assert!(link.is_slow(at(3_000)), "it counts while it lasts");
        link.goes_on(at(3_000));
        assert!(link.is_slow(at(3_000)));
        link.next_request();
        assert!(!link.is_slow(at(9_000)));
    }
}
