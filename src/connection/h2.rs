//! A connection of HTTP/2: its requests side by side, each a task, and bounds for what a client can make of them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use h2::server::Connection;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake};
use pingora_core::protocols::{Digest, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::stream::H2Stream;
use crate::clock;
use crate::config::Limits;
use crate::downstream::entrance::Entrance;
use crate::downstream::link::Link;
use crate::drain::Stage;
use crate::gateway::Gateway;
use crate::shared::Shared;

/// A client that does not say its first words by then is no client of HTTP/2.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What waits in memory for a client that does not read, of each request.
const SEND_BUFFER: usize = 64 * 1_024;
/// What may be on its way from a client before it is read: of each request, and of all of a connection.
const STREAM_WINDOW: u32 = 256 * 1_024;
const CONNECTION_WINDOW: u32 = 1_024 * 1_024;
/// Streams that end before their time and are still remembered; more at once end the connection (CVE-2023-44487).
const MAX_RESETS: usize = 32;
/// Requests that a client may break off whatever it does with others.
const FREE_RESETS: u32 = 100;
/// What has been broken off may go on for a moment, or while somebody is asked about it: so many requests more than a client may
/// have under way.
const BROKEN_UNDER_WAY: u32 = 100;
/// Requests that are refused because there are too many: a client takes a hundred to be allowed until it has heard how many are
/// (RFC 9113, section 6.5.2, recommends no fewer).
const MAX_REFUSED: usize = 100;
/// Requests of one connection that are no requests, after which it is closed.
const MAX_MALFORMED: u32 = 32;

/// A client that still begins requests so long after it was told to begin none does not listen.
const DEAF: Duration = Duration::from_secs(5);
/// How long it may take to say that a connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves the requests of a connection until it ends.
pub async fn serve(
    stream: Stream,
    entrance: Arc<Entrance>,
    (proxy, shared): (Arc<HttpProxy<Gateway>>, &Shared),
    limits: Limits,
    shutdown: &ShutdownWatch,
) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let Ok(Ok(mut connection)) = timeout(HANDSHAKE_TIMEOUT, handshake(stream, Some(options(&limits)))).await else {
        return;
    };
    let busy = Arc::new(Busy::default());
    let (mut accepted, mut malformed, mut ending) = (0_u32, 0, None::<Instant>);
    // Clients that come while others are sent away would come again: they may stay until all are.
    let last = if shared.drain.is_begun() { Stage::Closing } else { Stage::Draining };
    loop {
        let next = tokio::select! {
            next = HttpSession::from_h2_conn(&mut connection, digest.clone()) => next,
            () = shared.drain.reached(last), if ending.is_none() => {
                ending = end(&mut connection);
                continue;
            }
            () = busy.is_idle_for(limits.idle_timeout), if ending.is_none() => {
                ending = end(&mut connection);
                continue;
            }
            // A client that has heard it says so, and that is the end; one that has not is not waited for.
            () = busy.is_idle_for(FAREWELL), if ending.is_some() => return close(connection, Reason::NO_ERROR).await,
        };
        match next {
            Ok(Some(H2Accept::Session(session))) => {
                accepted = accepted.saturating_add(1);
                if busy.is_abused(accepted, limits.max_streams) || ending.is_some_and(|since| since.elapsed() > DEAF) {
                    return close(connection, Reason::ENHANCE_YOUR_CALM).await;
                }
                if limits.max_requests_per_connection.is_some_and(|most| accepted >= most) && ending.is_none() {
                    ending = end(&mut connection);
                }
                let (proxy, shutdown, guard) = (proxy.clone(), shutdown.clone(), busy.enter());
                let link = Arc::new(Link::new(entrance.clone()));
                link.take();
                tokio::spawn(async move {
                    let session = ServerSession::new_custom(Box::new(H2Stream::new(session, link.clone())));
                    let request = proxy.process_new_http(session, &shutdown);
                    clock::by_goes(pin!(link.pause.rest_in_small_turns(request))).await;
                    guard.end(link.is_gone());
                });
            }
            Ok(Some(H2Accept::Rejected)) => {
                malformed += 1;
                if malformed >= MAX_MALFORMED {
                    return close(connection, Reason::ENHANCE_YOUR_CALM).await;
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// Tells the client to send nothing more (RFC 9113, section 6.8). When that was.
fn end(connection: &mut Connection<Stream, Bytes>) -> Option<Instant> {
    connection.graceful_shutdown();
    Some(Instant::now())
}

/// Closes a connection: at once, since its client asks for too much (RFC 9113, section 10.5) or does not listen.
async fn close(mut connection: Connection<Stream, Bytes>, why: Reason) {
    connection.abrupt_shutdown(why);
    // Whoever does not listen need not be told.
    let _ = timeout(FAREWELL, poll_fn(|cx| connection.poll_closed(cx))).await;
}

fn options(limits: &Limits) -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.head.bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(MAX_RESETS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        // Those that are refused count as well, for as long as the connection lasts.
        .max_local_error_reset_streams(Some(MAX_RESETS + MAX_REFUSED));
    options
}

/// What is under way on a connection.
#[derive(Default)]
struct Busy {
    requests: AtomicUsize,
    /// Requests that the client has broken off.
    broken: AtomicU32,
    is_idle: Notify,
}

impl Busy {
    fn enter(self: &Arc<Self>) -> Guard {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Guard(self.clone())
    }

    /// Whether a client has broken off most of what it has asked for, which costs it nothing and others a lot (the rapid
    /// reset of CVE-2023-44487), or so much that is not over that it cannot have been anything else.
    fn is_abused(&self, accepted: u32, max_streams: u32) -> bool {
        let broken = self.broken.load(Ordering::Relaxed);
        let under_way = self.requests.load(Ordering::Relaxed);
        broken > FREE_RESETS && broken > accepted / 2
            || under_way > max_streams.saturating_add(BROKEN_UNDER_WAY) as usize
    }

    /// Over when nothing has been under way for `span`, unless something comes.
    async fn is_idle_for(&self, span: Duration) {
        while self.requests.load(Ordering::Relaxed) > 0 {
            self.is_idle.notified().await;
        }
        sleep(span).await;
    }
}

/// One request for as long as it lives.
struct Guard(Arc<Busy>);

impl Guard {
    /// The request is over, and may be broken off.
    fn end(self, broken: bool) {
        if broken {
            self.0.broken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.is_idle.notify_one();
        }
    }
}
