//! The pool of connections to targets that wait for the next request.
//!
//! Each target has its own, so that none is looked for, and that those of a target that is gone go with it. Nobody waits on one of
//! them: whether it is still open is asked when it is taken, and once a second of all ([RFC 9112, section 9.5][closing]).
//!
//! [closing]: https://www.rfc-editor.org/rfc/rfc9112#section-9.5

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue};
use parking_lot::Mutex;
use pingora::Result;
use pingora_core::connectors::{ConnectorOptions, TransportConnector};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::task::coop::{consume_budget, unconstrained};
use tokio::task::yield_now;

use super::idle::{Kind, Shelves, Waiting, cut};
use crate::gathered::Gathered;

/// How often all are looked at.
const ROUND: Duration = Duration::from_secs(1);

/// So much earlier than its target says a connection is left alone.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Makes connections, and keeps those that have done with a request.
pub struct Keepalive {
    connector: TransportConnector,
    places: Arc<Places>,
    /// Of all targets that have had any.
    known: Mutex<Vec<Weak<Idle>>>,
}

/// How many are kept.
struct Places {
    taken: AtomicUsize,
    most: usize,
    /// Rung when one was not kept for want of a place.
    wanted: Notify,
}

/// Those of one target.
#[derive(Default)]
pub struct Idle {
    shelves: Mutex<Shelves<Stream>>,
    /// Where they are counted, once there has been any.
    places: OnceLock<Arc<Places>>,
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idle").field("count", &self.shelves.lock().count()).finish_non_exhaustive()
    }
}

/// Its target is gone, and they are closed.
impl Drop for Idle {
    fn drop(&mut self) {
        if let Some(places) = self.places.get() {
            places.leave(self.shelves.get_mut().count());
        }
    }
}

impl Places {
    /// Takes one, if there is one.
    fn enter(&self) -> bool {
        let has_room = self.taken.fetch_add(1, Ordering::Relaxed) < self.most;
        if !has_room {
            self.leave(1);
            self.wanted.notify_one();
        }
        has_room
    }

    fn leave(&self, count: usize) {
        self.taken.fetch_sub(count, Ordering::Relaxed);
    }

    /// How many may stay where more are wanted: so that the next ones find a place each, and not a search.
    fn enough(&self) -> usize {
        self.most - self.most.div_ceil(8)
    }
}

impl Keepalive {
    /// Keeps `most` connections at a time.
    pub fn new(most: usize) -> Self {
        let places = Places { taken: AtomicUsize::new(0), most, wanted: Notify::new() };
        Keepalive {
            // Of its own pool it needs none.
            connector: TransportConnector::new(Some(ConnectorOptions::new(1))),
            places: Arc::new(places),
            known: Mutex::default(),
        }
    }

    /// A connection that has waited, and that its target has not closed as far as can be known.
    pub fn reuse(&self, idle: &Idle, kind: Kind, now: Instant) -> Option<HttpSession> {
        loop {
            let mut waiting = idle.shelves.lock().take(kind)?;
            self.places.leave(1);
            if is_of_use(&mut waiting, now) {
                return Some(HttpSession::new(waiting.connection));
            }
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// There is none within the time that the peer says.
    pub async fn connect(&self, peer: &HttpPeer) -> Result<HttpSession> {
        let stream = self.connector.new_stream(peer).await?;
        Ok(HttpSession::new(Box::new(Gathered::new(stream, 0, AtomicBool::new(false)))))
    }

    /// Keeps a connection whose request is over and whose answer has been read for another `span`, if its target will.
    pub async fn release(&self, mut session: HttpSession, idle: &Arc<Idle>, kind: Kind, span: Duration, now: Instant) {
        session.respect_keepalive();
        let promised = session.resp_header().and_then(|head| promised(head.headers.get(&KEEP_ALIVE)?));
        let span = promised.map_or(span, |promised| promised.min(span));
        let Some(connection) = session.reuse().await else { return };
        if self.places.enter() {
            idle.places.get_or_init(|| {
                self.known.lock().push(Arc::downgrade(idle));
                self.places.clone()
            });
            idle.shelves.lock().put(kind, Waiting { connection, since: now, until: now + span });
        }
    }

    /// Closes what is of no use any more, for ever.
    pub async fn tend(self: Arc<Self>) {
        loop {
            let is_full = tokio::time::timeout(ROUND, self.places.wanted.notified()).await.is_ok();
            self.sweep(is_full, Instant::now()).await;
        }
    }

    /// Closes those that are of no use any more, and makes place where it `is_full`, by closing the oldest.
    async fn sweep(&self, is_full: bool, now: Instant) {
        let all: Vec<Arc<Idle>> = {
            let mut known = self.known.lock();
            known.retain(|idle| idle.strong_count() > 0);
            known.iter().filter_map(Weak::upgrade).collect()
        };
        let ages = || all.iter().flat_map(|idle| idle.shelves.lock().ages().collect::<Vec<_>>()).collect();
        let oldest = is_full.then(|| cut(ages(), self.places.enough())).flatten();
        for idle in all {
            let is_young = |waiting: &Waiting<_>| oldest.is_none_or(|oldest| waiting.since > oldest);
            let gone = idle.shelves.lock().sweep(|waiting| is_young(waiting) && is_of_use(waiting, now));
            self.places.leave(gone.len());
            consume_budget().await;
            for waiting in gone {
                drop(waiting);
                // To close one takes the system a while.
                yield_now().await;
            }
        }
    }
}

/// How long a connection is safe to use that its target keeps for as long as it `says` (`timeout=5, max=100`: RFC 2068, section
/// 19.7.1.1, and draft-thomson-hybi-http-timeout-03). A request that is on its way when that is over is lost.
fn promised(says: &HeaderValue) -> Option<Duration> {
    let mut parameters = says.to_str().ok()?.split(',').filter_map(|parameter| parameter.split_once('='));
    let (_, seconds) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?;
    let kept = Duration::from_secs(seconds.trim().parse::<u32>().ok()?.into());
    Some(kept - ON_ITS_WAY.min(kept / 2))
}

/// Whether it is not too old, and neither closed nor talked on: nobody has asked anything.
fn is_of_use(waiting: &mut Waiting<Stream>, now: Instant) -> bool {
    let mut said = [0];
    waiting.until > now && unconstrained(waiting.connection.read(&mut said)).now_or_never().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_used_for_less_long_than_its_target_keeps_it() {
        let promised = |says| promised(&HeaderValue::from_static(says)).map(|span| span.as_millis());
        for (says, span) in [
            ("timeout=5", Some(4_000)),
            ("max=100, Timeout = 2", Some(1_000)),
            ("timeout=1", Some(500)),
            ("timeout=0", Some(0)),
            ("timeout=4294967295, max=1", Some(4_294_967_294_000)),
            ("timeout=4294967296", None),
            ("timeout=-1", None),
            ("timeout", None),
            ("max=5", None),
            ("", None),
        ] {
            assert_eq!(promised(says), span, "{says}");
        }
        assert_eq!(super::promised(&HeaderValue::from_bytes(b"timeout=\xff").expect("a value")), None);
    }
}
