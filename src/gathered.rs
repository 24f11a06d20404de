//! A connection on which what belongs together is sent together.
//!
//! Pingora writes a head and its body one after the other, and sends some heads as soon as they are written. Each is then a packet
//! of its own: the system's work for either is the same, and it is most of what a request costs. Here what is short waits for what
//! comes after it, and goes with it in one call (`writev`).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Less waits than fills a packet.
pub const SHORT: usize = 1_459;

/// No more waits where it is known that more comes at once.
const HELD: usize = 16 * 1_024;

/// How many pieces go at once.
const PIECES: usize = 8;

/// A connection that gathers what is short until it is flushed.
#[derive(Debug)]
pub struct Gathered {
    stream: Stream,
    /// So much waits at most.
    most: usize,
    /// It is not flushed meanwhile.
    holds: AtomicBool,
    /// What waits, of which `sent` bytes have gone.
    waiting: Vec<u8>,
    sent: usize,
}

impl Gathered {
    /// One on which up to `most` bytes wait until it is flushed: [`SHORT`], or 0 where nothing waits but what is held.
    pub fn new(stream: Stream, most: usize) -> Self {
        Gathered { stream, most, holds: AtomicBool::new(false), waiting: Vec::new(), sent: 0 }
    }

    /// Whether more comes at once: flushes have no effect meanwhile, and longer pieces wait as well.
    pub fn hold(&self, holds: bool) {
        self.holds.store(holds, Ordering::Relaxed);
    }

    /// The same of a connection that may be one of these.
    pub fn hold_of(stream: &Stream, holds: bool) {
        if let Some(gathered) = stream.as_any().downcast_ref::<Gathered>() {
            gathered.hold(holds);
        }
    }

    fn is_held(&self) -> bool {
        self.holds.load(Ordering::Relaxed)
    }

    /// Whether so many bytes more may wait; then there is room for them.
    fn may_wait(&mut self, length: usize) -> bool {
        let may = self.waiting.len() + length <= if self.is_held() { HELD } else { self.most };
        if may && self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(length.max(SHORT));
        }
        may
    }

    /// Nothing waits any more, and the connection waits for the next request without room for it.
    fn clear(&mut self) {
        (self.waiting, self.sent) = (Vec::new(), 0);
    }

    /// Sends what waits, and `more` with it. How much of the latter has gone.
    fn poll_send(&mut self, cx: &mut Context<'_>, more: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            let Gathered { stream, waiting, sent, .. } = self;
            let waits = waiting.get(*sent..).unwrap_or_default();
            if waits.is_empty() {
                self.clear();
                let stream = &mut self.stream;
                return match more {
                    [] => Poll::Ready(Ok(0)),
                    [one] => Pin::new(stream).poll_write(cx, one),
                    many => Pin::new(stream).poll_write_vectored(cx, many),
                };
            }
            let n = ready!(match more {
                [] => Pin::new(stream).poll_write(cx, waits),
                _ => {
                    let mut all = [IoSlice::new(&[]); PIECES];
                    let pieces = [IoSlice::new(waits)].into_iter().chain(more.iter().copied());
                    all.iter_mut().zip(pieces).for_each(|(place, piece)| *place = piece);
                    Pin::new(stream).poll_write_vectored(cx, &all)
                }
            })?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let gone = n.min(waits.len());
            *sent += gone;
            if n > gone {
                self.clear();
                return Poll::Ready(Ok(n - gone));
            }
        }
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.may_wait(bytes.len()) {
            return self.poll_send(cx, &[IoSlice::new(bytes)]);
        }
        self.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        if !self.may_wait(length) {
            return self.poll_send(cx, slices);
        }
        slices.iter().for_each(|slice| self.waiting.extend_from_slice(slice));
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_held() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx, &[]))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx, &[]))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Gathered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

/// What waits still goes, as far as it can without waiting, unless it is half of something.
impl Drop for Gathered {
    fn drop(&mut self) {
        if !self.is_held() {
            let _ = self.poll_send(&mut Context::from_waker(Waker::noop()), &[]);
        }
    }
}

// The rest of what Pingora asks of a connection is the inner one's to answer.

#[async_trait]
impl Shutdown for Gathered {
    async fn shutdown(&mut self) {
        // Who has gone takes nothing of it.
        let _ = poll_fn(|cx| self.poll_send(cx, &[])).await;
        self.stream.shutdown().await;
    }
}

impl UniqueID for Gathered {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl GetTimingDigest for Gathered {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Gathered {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Gathered {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Ssl for Gathered {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

#[async_trait]
impl Peek for Gathered {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(buffer).await
    }
}

#[cfg(test)]
mod tests;
