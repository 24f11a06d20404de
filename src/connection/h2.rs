//! A connection of HTTP/2: its requests side by side, each a task, and bounds for what a client can make of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake};
use pingora_core::protocols::{Digest, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::stream::H2Stream;
use crate::downstream::entrance::Entrance;
use crate::downstream::link::Link;
use crate::gateway::Gateway;

/// A client that does not say its first words by then is no client of HTTP/2.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection on which nothing is under way for so long is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests of one connection that are under way at the same time.
const MAX_STREAMS: u32 = 128;
/// What waits in memory for a client that does not read, of each request.
const SEND_BUFFER: usize = 64 * 1_024;
/// What may be on its way from a client before it is read: of each request, and of all of a connection.
const STREAM_WINDOW: u32 = 256 * 1_024;
const CONNECTION_WINDOW: u32 = 1_024 * 1_024;
/// A header section that is longer is refused (RFC 9113, section 6.5.2).
const MAX_HEADERS: u32 = 64 * 1_024;
/// Streams that end before their time and are still remembered; more at once end the connection (CVE-2023-44487).
const MAX_RESETS: usize = 32;
/// Requests of one connection that are no requests, after which it is closed.
const MAX_MALFORMED: u32 = 32;

/// Serves the requests of a connection until it ends.
pub async fn serve(
    stream: Stream,
    entrance: Arc<Entrance>,
    proxy: Arc<HttpProxy<Gateway>>,
    mut shutdown: ShutdownWatch,
) {
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: stream.get_proxy_digest(),
        socket_digest: stream.get_socket_digest(),
    });
    let Ok(Ok(mut connection)) = timeout(HANDSHAKE_TIMEOUT, handshake(stream, Some(options()))).await else { return };
    let busy = Arc::new(Busy::default());
    let (mut malformed, mut is_ending) = (0, *shutdown.borrow());
    if is_ending {
        connection.graceful_shutdown();
    }
    loop {
        let accepted = tokio::select! {
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => accepted,
            _ = shutdown.changed(), if !is_ending => {
                connection.graceful_shutdown();
                is_ending = true;
                continue;
            }
            () = busy.is_idle_for(IDLE_TIMEOUT), if !is_ending => {
                connection.graceful_shutdown();
                is_ending = true;
                continue;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                let (proxy, shutdown, guard) = (proxy.clone(), shutdown.clone(), busy.enter());
                let link = Arc::new(Link::new(entrance.clone()));
                link.take();
                tokio::spawn(async move {
                    let session = ServerSession::new_custom(Box::new(H2Stream::new(session, link)));
                    proxy.process_new_http(session, &shutdown).await;
                    drop(guard);
                });
            }
            Ok(Some(H2Accept::Rejected)) => {
                malformed += 1;
                if malformed >= MAX_MALFORMED {
                    return;
                }
            }
            Ok(None) | Err(_) => return,
        }
    }
}

fn options() -> H2Options {
    let mut options = default_h2_options();
    options
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(MAX_RESETS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(Some(MAX_RESETS));
    options
}

/// What is under way on a connection.
#[derive(Default)]
struct Busy {
    requests: AtomicUsize,
    is_idle: Notify,
}

impl Busy {
    fn enter(self: &Arc<Self>) -> Guard {
        self.requests.fetch_add(1, Ordering::Relaxed);
        Guard(self.clone())
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

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.is_idle.notify_one();
        }
    }
}
