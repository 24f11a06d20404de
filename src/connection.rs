//! One client connection: its requests one after another, an answer in our own words to what is no HTTP at
//! all (`guarded`), and an end that loses nothing (`linger`).

mod guarded;
mod linger;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use self::guarded::Guarded;
use crate::gateway::{Gateway, Shared};

/// An unused connection of a client is closed after this many seconds.
const KEEP_ALIVE_SECONDS: u64 = 60;

/// A client that takes nothing for so long is a slow reader.
const STALL: Duration = Duration::from_secs(1);

/// Serves connections.
pub struct Connections {
    /// The proxy behind them.
    pub proxy: Arc<HttpProxy<Gateway>>,
    /// What all requests share.
    pub shared: Arc<Shared>,
}

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let link = Arc::new(Link::default());
        let peer = stream.get_socket_digest().and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let stream = Box::new(Guarded::new(stream, link.clone(), self.shared.clone(), peer));
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive((!*shutdown.borrow()).then_some(KEEP_ALIVE_SECONDS));
        loop {
            link.next_request();
            session.set_connection_user_context(Some(Box::new(link.clone())));
            let (stream, settings) = self.proxy.process_new_http(session, shutdown).await?.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            // Pingora would wait for the next request for ever, and for the rest of its head as well.
            session.set_keepalive(Some(KEEP_ALIVE_SECONDS));
        }
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// What a connection and the request that is on it tell each other.
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

    fn next_request(&self) {
        self.taken.store(false, Ordering::Relaxed);
        self.unread.store(false, Ordering::Relaxed);
        self.slow.store(false, Ordering::Relaxed);
    }

    fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    fn stalls(&self, now: Instant) {
        self.stalled.lock().get_or_insert(now);
    }

    fn goes_on(&self, now: Instant) {
        let since = self.stalled.lock().take();
        if since.is_some_and(|since| now.saturating_duration_since(since) >= STALL) {
            self.slow.store(true, Ordering::Relaxed);
        }
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
