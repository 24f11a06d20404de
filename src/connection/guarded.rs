//! A connection whose first word is ours.
//!
//! A request that Pingora cannot parse never reaches the hooks; Pingora answers 400 on its own, without an
//! id or a log line. So every connection is wrapped: as long as no request has been handed to the hooks,
//! whatever is written to it is Pingora's own answer, and ours takes its place.

use std::future::poll_fn;
use std::io::{self, Cursor};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::Method;
use pingora_core::protocols::{Shutdown, Stream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::alarm::Alarm;
use super::linger::linger;
use super::reader::Reader;
use super::taking::Taking;
use crate::clock;
use crate::config::Limits;
use crate::downstream::link::Link;
use crate::downstream::request_id;
use crate::gathered::{Gathered, SHORT};
use crate::observe::access_log::entry::Entry;
use crate::observe::recent::Recent;
use crate::observe::tally::Ended;
use crate::outer::{answered_by, secured_by};
use crate::respond;
use crate::shared::Shared;

/// The wrapped connection.
pub struct Guarded {
    stream: Gathered<Arc<Link>>,
    link: Arc<Link>,
    taking: Taking,
    /// Whether a read is waiting for the client.
    silent: bool,
    reader: Reader,
    alarm: Alarm,
    shared: Arc<Shared>,
    peer: IpAddr,
    /// Our answer in place of Pingora's, and how much of it has been written.
    answer: Option<(Vec<u8>, usize)>,
}

impl Guarded {
    /// Wraps the connection of `peer`.
    pub fn new(stream: Stream, link: Arc<Link>, shared: Arc<Shared>, peer: IpAddr) -> Self {
        let reader = Reader::default();
        Guarded {
            stream: Gathered::new(stream, SHORT, link.clone()),
            link,
            taking: Taking::default(),
            silent: false,
            reader,
            alarm: Alarm::default(),
            shared,
            peer,
            answer: None,
        }
    }

    /// What the head of the next request may be, and take.
    pub fn keep_within(&mut self, limits: &Limits) {
        self.reader.keep_within(limits.head, limits.header_timeout);
    }

    /// Waits for a request to begin, for `span` at most. Whether it has.
    pub async fn request(&mut self, span: Duration) -> bool {
        self.taking = Taking::default();
        let end = clock::now() + span;
        poll_fn(|cx| match self.reader.begins(&mut self.stream, cx) {
            Poll::Pending => self.alarm.poll(end, cx).map(|()| false),
            begins => begins,
        })
        .await
    }

    /// Writes, unless the client takes nothing for too long.
    fn send<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(Pin<&mut Gathered<Arc<Link>>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Guarded { stream, link, alarm, taking, .. } = self;
        let written = taking.poll((link, alarm), cx, |cx| write(Pin::new(stream), cx));
        written.map(|written| written.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())))
    }

    /// The same, counted.
    fn send_some(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnMut(Pin<&mut Gathered<Arc<Link>>>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = self.send(cx, write);
        if let Poll::Ready(Ok(bytes)) = written {
            self.taking.bytes += bytes as u64;
        }
        written
    }

    /// Ready when the request has waited for too long, which is then.
    fn lasts_until(&mut self, due: Option<Instant>, is_heard: bool, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due else { return Poll::Pending };
        ready!(self.alarm.poll(due, cx));
        self.link.patience().run_out(is_heard, Instant::now());
        Poll::Ready(())
    }

    /// The answer to what is no request, which is counted and has its log line.
    fn bad_request(&self) -> Vec<u8> {
        let id = request_id::fresh();
        let id = id.to_str().unwrap_or("-");
        let failure = self.reader.failure();
        self.shared.access_log.write(Entry {
            request: None,
            query: None,
            user: None,
            bytes: (0, 0),
            method: "-",
            target: None,
            path: "-",
            forwarded: None,
            route: None,
            status: failure.status(),
            elapsed: Duration::ZERO,
            request_id: id,
            client: self.peer,
            attempts: 0,
            code: Some(failure.code()),
            reason: failure.code(),
        });
        // It has none that anybody could tell.
        let method = Method::from_bytes(b"-").unwrap_or_default();
        self.shared.unrouted.ended(&Ended {
            method: &method,
            status: failure.status(),
            code: Some(failure.code()),
            elapsed: Duration::ZERO,
            within: Duration::ZERO,
        });
        let snapshot = self.shared.snapshot.load();
        if let Some(recents) = &snapshot.recent {
            recents.add(Recent::of_no_request(id, self.peer, snapshot.generation, failure));
        }
        respond::bad_request(failure, id)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.link.is_taken() {
            return self.send_some(cx, |stream, cx| stream.poll_write(cx, bytes));
        }
        let (answer, mut written) = self.answer.take().unwrap_or_else(|| (self.bad_request(), 0));
        let sent = loop {
            if written == answer.len() {
                break Poll::Ready(Ok(bytes.len()));
            }
            match self.send(cx, |stream, cx| stream.poll_write(cx, &answer[written..])) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(more)) => written += more,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.answer = Some((answer, written));
        sent
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.link.is_taken() {
            return self.send_some(cx, |stream, cx| stream.poll_write_vectored(cx, slices));
        }
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        self.poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send(cx, Gathered::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // By TLS there is something to be said.
        self.send(cx, Gathered::poll_shutdown)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Guarded { reader, stream, link, .. } = &mut *self;
        let read = reader.read(stream, link, cx, buffer);
        if read.is_ready() {
            if std::mem::take(&mut self.silent) {
                self.link.hears(clock::now());
            }
            if !self.link.is_over() {
                return read;
            }
        } else if let Some(due) = self.reader.due() {
            ready!(self.alarm.poll(due, cx));
            self.reader.give_up(buffer);
            return Poll::Ready(Ok(()));
        } else {
            // While a request waits for its target, the connection waits for its client.
            self.silent = true;
            let due = self.link.due();
            ready!(self.lasts_until(due, false, cx));
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let unread = self.answer.is_some() || self.link.is_unread();
        if unread && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // What takes its place here is no connection at all.
            let stream = std::mem::replace(
                &mut self.stream,
                Gathered::new(Box::new(Cursor::new(Vec::new())), 0, self.link.clone()),
            );
            let entrance = self.link.entrance.clone();
            runtime.spawn(async move {
                linger(Box::new(stream)).await;
                drop(entrance);
            });
        }
    }
}

#[async_trait]
impl Shutdown for Guarded {
    async fn shutdown(&mut self) {
        // Who has gone need not be told, and who takes nothing is not waited for.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

answered_by!([] Guarded, |outer| outer.stream);
secured_by!([] Guarded, stream);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;
    use crate::shared::tests::shared;

    /// It was kept for as long as its client liked.
    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_what_is_said_to_no_request_is_left() {
        let (mut client, stream) = duplex(100);
        let peer = IpAddr::from(std::net::Ipv4Addr::LOCALHOST);
        let mut guarded = Guarded::new(Box::new(stream), Arc::default(), shared("guarded"), peer);
        let begun = tokio::time::Instant::now();
        guarded.write_all(b"an answer of Pingora's").await.expect("gathered");
        let error = guarded.flush().await.expect_err("nobody reads");
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60));
        // Pingora ends the connection all the same, and what waits is not sent for ever.
        let end = tokio::time::timeout(Duration::from_secs(3_600), Shutdown::shutdown(&mut guarded)).await;
        assert!(end.is_ok() && begun.elapsed().as_secs() <= 120, "{:?}", begun.elapsed());
        let mut said = [0; 100];
        client.read_exact(&mut said).await.expect("the beginning");
        assert!(said.starts_with(b"HTTP/1.1 400 "), "{said:?}");
    }

    /// Of an answer that breaks off its client has what there was.
    #[tokio::test]
    async fn what_is_held_no_more_goes_when_the_connection_ends() {
        let (mut client, stream) = duplex(100);
        let (link, peer) = (Arc::new(Link::default()), IpAddr::from(std::net::Ipv4Addr::LOCALHOST));
        let mut guarded = Guarded::new(Box::new(stream), link.clone(), shared("held"), peer);
        link.take();
        link.hold(true);
        guarded.write_all(b"half").await.expect("held");
        guarded.flush().await.expect("not flushed");
        link.hold(false);
        drop(guarded);
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.expect("the end");
        assert_eq!(said, b"half");
    }
}
