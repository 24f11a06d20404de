//! Copies of requests to another target, whose answers are thrown away.
//!
//! A copy never makes its request wait: pieces of its body are handed over if there is room, else the copy is given up.

use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use pingora_core::connectors::http::Connector;
use tokio::sync::mpsc;

use super::head;
use super::peer::Peers;
use super::target::Target;
use crate::config::{self, Timeouts};

static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));
/// Pieces of a body that may wait for the target to take them.
const PIECES: usize = 64;

/// Where copies of a route's requests go.
pub struct Mirror {
    /// There.
    pub target: Arc<Target>,
    /// The share of requests that are copied.
    share: f64,
    limit: u32,
    in_flight: AtomicU32,
    peers: Peers,
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

/// One copy under way, counted for as long as this lives, whatever ends it.
struct Flight(Arc<Mirror>);

/// A copy that is being made.
pub struct Copy {
    body: mpsc::Sender<Piece>,
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
    pub fn new(config: &config::Mirror, target: Arc<Target>, timeouts: Timeouts) -> Self {
        Mirror {
            target,
            share: config.share.as_f64(),
            limit: config.concurrency.get(),
            in_flight: AtomicU32::new(0),
            peers: Peers::new(timeouts),
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
        let Some(flight) = Flight::begin(self) else {
            self.totals.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let (body, pieces) = mpsc::channel(PIECES);
        tokio::spawn(flight.run(framed(head, has_body), pieces));
        Some(Copy { body })
    }

    /// The status of the answer; `None` if the copy was given up.
    async fn send(&self, head: RequestHeader, mut pieces: mpsc::Receiver<Piece>) -> Result<Option<u16>> {
        let unknown = |why: String| Error::explain(ErrorType::ConnectNoRoute, why);
        let address = self.target.addresses.turns().map_err(unknown)?.next();
        let peer = self.peers.at(address.ok_or_else(|| unknown("it has no address".to_owned()))?, None);
        let (mut session, _) = CONNECTOR.get_http_session(&peer).await?;
        session.set_read_timeout(peer.options.read_timeout);
        session.set_write_timeout(peer.options.write_timeout);
        session.write_request_header(Box::new(head)).await?;
        loop {
            match pieces.recv().await {
                Some(Piece::Data(data)) => session.write_request_body(data, false).await?,
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
        let flight = Flight(mirror.clone());
        (before < mirror.limit).then_some(flight)
    }

    async fn run(self, head: RequestHeader, pieces: mpsc::Receiver<Piece>) {
        let Mirror { totals, timeout, .. } = &*self.0;
        let sent = tokio::time::timeout(*timeout, self.0.send(head, pieces)).await;
        let count = match sent {
            Ok(Ok(Some(status))) => {
                totals.sent.fetch_add(1, Ordering::Relaxed);
                (status >= 500).then_some(&totals.failed)
            }
            Ok(Ok(None)) => Some(&totals.dropped),
            Ok(Err(_)) | Err(_) => Some(&totals.failed),
        };
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Copy {
    /// Hands a piece of the body on, and its end. Whether the copy goes on.
    pub fn add(&self, data: Option<&Bytes>, end: bool) -> bool {
        let data = data.filter(|data| !data.is_empty()).cloned().map(Piece::Data);
        let pieces = data.into_iter().chain(end.then_some(Piece::End));
        pieces.map(|piece| self.body.try_send(piece)).all(|sent| sent.is_ok())
    }
}

/// The head of a copy, whose body is framed anew.
fn framed(head: &RequestHeader, has_body: bool) -> RequestHeader {
    let mut head = head.clone();
    head.remove_header(&header::TRANSFER_ENCODING);
    head.remove_header(&header::EXPECT);
    if has_body && !head.headers.contains_key(header::CONTENT_LENGTH) {
        // A valid field of a valid request, which has room for as many as it had.
        let _ = head.insert_header(header::TRANSFER_ENCODING, "chunked");
    }
    head
}
