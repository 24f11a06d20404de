//! Copies of requests to another target, whose answers are thrown away.
//!
//! A copy never makes its request wait: pieces of its body are handed over if there is room, else the copy is given up.
//! Then, or when the client leaves, its task ends at once, whatever the target is doing.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::head;
use super::peer::{Hop, Peers};
use super::target::Target;
use crate::config::units::HostHeader;
use crate::config::{self, Timeouts};

static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));
/// So many bytes of a body may wait for the target to take them.
const MOST_WAITING: usize = 256 * 1024;
/// What it takes to keep a piece, however small.
const PIECE: usize = 128;

/// Where copies of a route's requests go.
pub struct Mirror {
    /// There.
    pub target: Arc<Target>,
    /// The `Host` that it gets, where that is not the client's.
    host: Option<HeaderValue>,
    /// The share of requests that are copied.
    share: f64,
    limit: u32,
    in_flight: AtomicU32,
    peers: Arc<Peers>,
    /// How long a copy may take in all.
    timeout: Duration,
    totals: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// How often copies ended how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Sent whole and answered.
    pub sent: u64,
    /// Not sent or not answered, or with a status of 500 or more.
    pub failed: u64,
    /// Not made, for there were enough under way; or given up, since the target did not keep up or the client left.
    pub dropped: u64,
}

/// One copy under way, counted for as long as this lives. Dropped before it has ended, it was given up.
struct Flight {
    mirror: Arc<Mirror>,
    ended: bool,
}

/// A copy that is being made. Dropped before the end of the body has been added, it is given up.
pub struct Copy {
    body: mpsc::UnboundedSender<Piece>,
    waiting: Arc<AtomicUsize>,
    /// Until the body is whole.
    task: Option<AbortHandle>,
}

/// What the target is still to take.
struct Body {
    pieces: mpsc::UnboundedReceiver<Piece>,
    waiting: Arc<AtomicUsize>,
}

enum Piece {
    Data(Bytes),
    End,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("target", &self.target.url).finish_non_exhaustive()
    }
}

impl Mirror {
    /// Copies to `target`, as the config says, with the patience of the route.
    pub fn new(
        config: &config::Mirror,
        target: Arc<Target>,
        (timeouts, host_header): (Timeouts, &HostHeader),
        peers: Arc<Peers>,
    ) -> Self {
        Mirror {
            host: host_header.of(&target.host).cloned(),
            target,
            share: config.share.as_f64(),
            limit: config.concurrency.get(),
            in_flight: AtomicU32::new(0),
            peers,
            timeout: timeouts.attempt() + timeouts.read,
            totals: Counts::default(),
        }
    }

    /// How copies ended.
    pub fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { sent, failed, dropped } = &self.totals;
        Totals { sent: read(sent), failed: read(failed), dropped: read(dropped) }
    }

    /// Copies under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Begins a copy of a request with this head, if it is one of those that are copied; `chance` is from 0 to 1.
    pub fn begin(self: &Arc<Self>, head: &RequestHeader, has_body: bool, chance: f64) -> Option<Copy> {
        if chance >= self.share || self.target.circuit.is_held_open() {
            return None;
        }
        let flight = Flight::begin(self)?;
        let (body, pieces) = mpsc::unbounded_channel();
        let waiting = Arc::<AtomicUsize>::default();
        let flying = flight.run(framed(head, has_body, self.host.as_ref()), Body { pieces, waiting: waiting.clone() });
        Some(Copy { body, waiting, task: Some(tokio::spawn(flying).abort_handle()) })
    }

    /// A connection to the first of the target's addresses that takes one.
    async fn connect(&self) -> Result<(HttpSession, HttpPeer)> {
        let unknown = |why: String| Error::explain(ErrorType::ConnectNoRoute, why);
        let mut last = None;
        for address in self.target.addresses.turns().map_err(unknown)? {
            let mut peer = self.peers.at(&self.target.url, &Hop::to(address));
            peer.options.alpn = ALPN::H1;
            match CONNECTOR.get_http_session(&peer).await {
                Ok((session, _)) => return Ok((session, peer)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| unknown("it has no address".to_owned())))
    }

    /// The status of the answer; `None` if the copy was given up.
    async fn send(&self, head: RequestHeader, mut body: Body) -> Result<Option<u16>> {
        let (mut session, peer) = self.connect().await?;
        session.set_read_timeout(peer.options.read_timeout);
        session.set_write_timeout(peer.options.write_timeout);
        session.write_request_header(Box::new(head)).await?;
        loop {
            match body.pieces.recv().await {
                Some(Piece::Data(data)) => {
                    let room = room(&data);
                    session.write_request_body(data, false).await?;
                    body.waiting.fetch_sub(room, Ordering::Relaxed);
                }
                Some(Piece::End) => break,
                None => return Ok(None),
            }
        }
        session.finish_request_body().await?;
        let status = head::status(&mut session).await?;
        while session.read_response_body().await?.is_some() {}
        CONNECTOR.release_http_session(session, &peer, peer.options.idle_timeout).await;
        Ok(Some(status))
    }
}

impl Flight {
    /// One more, if there are few enough.
    fn begin(mirror: &Arc<Mirror>) -> Option<Self> {
        let before = mirror.in_flight.fetch_add(1, Ordering::Relaxed);
        let flight = Flight { mirror: mirror.clone(), ended: false };
        (before < mirror.limit).then_some(flight)
    }

    async fn run(mut self, head: RequestHeader, body: Body) {
        let Mirror { totals, timeout, .. } = &*self.mirror;
        match tokio::time::timeout(*timeout, self.mirror.send(head, body)).await {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(status))) => {
                totals.sent.fetch_add(1, Ordering::Relaxed);
                totals.failed.fetch_add(u64::from(status >= 500), Ordering::Relaxed);
            }
            Ok(Err(_)) | Err(_) => drop(totals.failed.fetch_add(1, Ordering::Relaxed)),
        }
        self.ended = true;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.ended {
            self.mirror.totals.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.mirror.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Copy {
    /// Hands a piece of the body on, and its end. Whether the copy goes on.
    pub fn add(&mut self, data: Option<&Bytes>, end: bool) -> bool {
        let mut goes_on = true;
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            let room = room(data);
            let waiting = self.waiting.fetch_add(room, Ordering::Relaxed) + room;
            goes_on = waiting <= MOST_WAITING && self.body.send(Piece::Data(data.clone())).is_ok();
        }
        if goes_on && end {
            goes_on = self.body.send(Piece::End).is_ok();
            self.task = None;
        }
        goes_on
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What a piece that waits counts for.
fn room(data: &Bytes) -> usize {
    data.len() + PIECE
}

/// The head of a copy, whose body is framed anew.
fn framed(head: &RequestHeader, has_body: bool, host: Option<&HeaderValue>) -> RequestHeader {
    let mut head = head.clone();
    if let Some(host) = host {
        // In place of another, so that there is room.
        let _ = head.insert_header(header::HOST, host.clone());
    }
    head.set_version(Version::HTTP_11);
    head.remove_header(&header::TRANSFER_ENCODING);
    head.remove_header(&header::EXPECT);
    if has_body && !head.headers.contains_key(header::CONTENT_LENGTH) {
        // A valid field of a valid request, which has room for as many as it had.
        let _ = head.insert_header(header::TRANSFER_ENCODING, "chunked");
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_bounded_however_small_its_pieces_and_who_is_given_up_ends() {
        for size in [1, 1_000, 64 * 1024] {
            let ((body, pieces), waiting) = (mpsc::unbounded_channel(), Arc::<AtomicUsize>::default());
            let task = tokio::spawn(std::future::pending::<()>());
            let mut copy = Copy { body, waiting, task: Some(task.abort_handle()) };
            let piece = Bytes::from(vec![b'x'; size]);
            let taken = (0..10_000).take_while(|_| copy.add(Some(&piece), false)).count();
            assert_eq!((taken, pieces.len()), (MOST_WAITING / (size + PIECE), taken));
            drop(copy);
            assert!(task.await.is_err_and(|ended| ended.is_cancelled()));
        }
    }
}
