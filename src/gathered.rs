//! A connection on which what belongs together is sent together.
//!
//! Pingora writes a head and its body one after the other, and sends some heads as soon as they are written. Each is then a packet
//! of its own: the system's work for either is the same, and it is most of what a request costs. Here what is short waits for what
//! comes after it, and goes with it in one call (`writev`).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use async_trait::async_trait;
use pingora_core::protocols::{Shutdown, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::outer::{answered_by, secured_by};

/// Less waits than fills a packet.
pub const SHORT: usize = 1_459;

/// No more waits where it is known that more comes at once.
const HELD: usize = 16 * 1_024;

/// How many pieces go at once.
const PIECES: usize = 8;

/// Who knows whether more comes at once: flushes have no effect meanwhile, and longer pieces wait as well.
pub trait Hold: Send + Sync + Unpin + 'static {
    /// Whether it does.
    fn is_held(&self) -> bool;
}

impl Hold for AtomicBool {
    fn is_held(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
}

/// A connection that gathers what is short until it is flushed.
pub struct Gathered<H: Hold> {
    stream: Stream,
    /// So much waits at most.
    most: usize,
    hold: H,
    /// What waits, of which `sent` bytes have gone.
    waiting: Vec<u8>,
    sent: usize,
}

impl Gathered<AtomicBool> {
    /// Whether more is about to be written to `stream`, if it is one of these.
    pub fn hold(stream: &Stream, holds: bool) {
        if let Some(gathered) = stream.as_any().downcast_ref::<Self>() {
            gathered.hold.store(holds, Ordering::Relaxed);
        }
    }
}

impl<H: Hold> Gathered<H> {
    /// One on which up to `most` bytes wait until it is flushed: [`SHORT`], or 0 where nothing waits but what is held.
    pub fn new(stream: Stream, most: usize, hold: H) -> Self {
        Gathered { stream, most, hold, waiting: Vec::new(), sent: 0 }
    }

    /// Whether so many bytes more may wait; then there is room for them.
    fn may_wait(&mut self, length: usize) -> bool {
        let may = self.waiting.len() + length <= if self.hold.is_held() { HELD } else { self.most };
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
        while self.sent < self.waiting.len() {
            let Gathered { stream, waiting, sent, .. } = self;
            let waits = &waiting[*sent..];
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
        self.clear();
        let stream = Pin::new(&mut self.stream);
        match more {
            [] => Poll::Ready(Ok(0)),
            [one] => stream.poll_write(cx, one),
            many => stream.poll_write_vectored(cx, many),
        }
    }
}

impl<H: Hold> AsyncWrite for Gathered<H> {
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
        if self.hold.is_held() {
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

impl<H: Hold> AsyncRead for Gathered<H> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

/// What waits still goes, as far as it can without waiting, unless it is half of something.
impl<H: Hold> Drop for Gathered<H> {
    fn drop(&mut self) {
        if !self.hold.is_held() {
            // Nobody is left to be told what has not gone.
            let _ = self.poll_send(&mut Context::from_waker(Waker::noop()), &[]);
        }
    }
}

#[async_trait]
impl<H: Hold> Shutdown for Gathered<H> {
    async fn shutdown(&mut self) {
        // Who has gone takes nothing of it.
        let _ = poll_fn(|cx| self.poll_send(cx, &[])).await;
        self.stream.shutdown().await;
    }
}

answered_by!([H: Hold] Gathered<H>, |outer| outer.stream);
secured_by!([H: Hold] Gathered<H>, stream);

#[cfg(test)]
mod tests;
