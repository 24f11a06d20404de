//! What a connection reads, cut where a request's head and its body end: strictly, before Pingora does so.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};

use crate::config::Limits;
use crate::downstream::framing::{Bounds, Chunks, Head, Wrong};
use crate::downstream::link::Link;
use crate::failure::Failure;

/// What a client sends ahead beyond this waits with the system.
const MAX_AHEAD: usize = 4 * 1_024;
/// What is no request to Pingora, whatever has come before: it answers, and our answer takes the place of that.
const NO_REQUEST: &[u8] = b"\0\r\n\r\n";

/// What is being read.
#[derive(Debug)]
enum Part {
    Head(Head),
    /// A body whose length Pingora counts, or a tunnel.
    Plain,
    Chunks(Chunks),
}

/// Reads one connection.
#[derive(Debug)]
pub struct Reader {
    part: Part,
    /// What has come and belongs to a later part.
    ahead: Vec<u8>,
    /// When the first byte of a head had come.
    begun: Option<Instant>,
    bounds: Bounds,
    head_timeout: Duration,
    /// Why a request is none.
    wrong: Option<Failure>,
}

impl Default for Reader {
    /// Of a connection on which nothing has come, and within what heads have to be by default.
    fn default() -> Self {
        let (bounds, head_timeout) = (Limits::default().head, Limits::default().header_timeout);
        Reader { part: Part::Head(Head::default()), ahead: Vec::new(), begun: None, bounds, head_timeout, wrong: None }
    }
}

impl Reader {
    /// From now on heads are to be no larger, and take no longer.
    pub fn keep_within(&mut self, bounds: Bounds, head_timeout: Duration) {
        (self.bounds, self.head_timeout) = (bounds, head_timeout);
    }

    /// What a client is told whose request is none.
    pub fn failure(&self) -> Failure {
        self.wrong.unwrap_or(Failure::BadRequest)
    }

    /// When a head that has begun should be complete.
    pub fn due(&self) -> Option<Instant> {
        self.begun.map(|begun| begun + self.head_timeout)
    }

    /// It is not complete.
    pub fn give_up(&mut self, buffer: &mut ReadBuf<'_>) {
        self.refuse(Failure::SlowRequest, buffer);
    }

    /// Whether a request begins, or the connection has ended. Meanwhile nothing is kept for it.
    pub fn begins(&mut self, stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<bool> {
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
            let mut chunk = [MaybeUninit::uninit(); MAX_AHEAD];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            if ready!(Pin::new(stream).poll_read(cx, &mut chunk)).is_ok() {
                self.ahead.extend_from_slice(chunk.filled());
            }
        }
        Poll::Ready(!self.ahead.is_empty())
    }

    /// Reads what belongs to the request. When all of it has been read, Pingora only looks whether the client is still
    /// there.
    pub fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        link: &Link,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if link.is_whole() {
            return self.read_ahead(stream, cx);
        }
        self.turn(link);
        let before = buffer.filled().len();
        let from_ahead = !self.ahead.is_empty();
        match from_ahead {
            true => buffer.put_slice(&self.ahead[..buffer.remaining().min(self.ahead.len())]),
            false => ready!(Pin::new(stream).poll_read(cx, buffer))?,
        }
        let piece = &buffer.filled()[before..];
        let (length, taken) = (piece.len(), self.take(piece));
        let taken = match taken {
            Ok(end) => end.unwrap_or(length),
            Err(wrong) => return self.is_wrong(wrong, link, before, buffer),
        };
        match from_ahead {
            true => drop(self.ahead.drain(..taken)),
            false => self.ahead.extend_from_slice(&buffer.filled()[before + taken..]),
        }
        buffer.set_filled(before + taken);
        Poll::Ready(Ok(()))
    }

    /// Which part is next.
    fn turn(&mut self, link: &Link) {
        match self.part {
            Part::Plain | Part::Chunks(_) if !link.is_taken() => self.part = Part::Head(Head::default()),
            _ => {}
        }
        if link.is_chunked() && matches!(self.part, Part::Plain) {
            self.part = Part::Chunks(Chunks::default());
        }
    }

    /// How much of a piece belongs to this part, if the part ends in there.
    fn take(&mut self, piece: &[u8]) -> Result<Option<usize>, Wrong> {
        match &mut self.part {
            Part::Plain => Ok(None),
            Part::Chunks(chunks) => chunks.take(piece),
            Part::Head(head) => {
                let end = head.take(piece, &self.bounds)?;
                self.begun = match (end, head.has_begun()) {
                    (None, true) => self.begun.or_else(|| Some(Instant::now())),
                    _ => None,
                };
                if end.is_some() {
                    self.part = Part::Plain;
                }
                Ok(end)
            }
        }
    }

    fn is_wrong(&mut self, wrong: Wrong, link: &Link, before: usize, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buffer.set_filled(before);
        if let Part::Head(_) = self.part {
            self.refuse(
                match wrong {
                    Wrong::Malformed => Failure::BadRequest,
                    Wrong::HeadTooLarge => Failure::HeadTooLarge,
                    Wrong::TargetTooLong => Failure::UriTooLong,
                },
                buffer,
            );
            return Poll::Ready(Ok(()));
        }
        link.set_malformed();
        Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
    }

    fn refuse(&mut self, failure: Failure, buffer: &mut ReadBuf<'_>) {
        self.wrong = Some(failure);
        self.begun = None;
        buffer.put_slice(&NO_REQUEST[..NO_REQUEST.len().min(buffer.remaining())]);
    }

    /// Pingora stops looking when something comes, though deadlines are seen by whoever looks. So what comes is
    /// laid by.
    fn read_ahead(&mut self, stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < MAX_AHEAD {
            let mut chunk = [MaybeUninit::uninit(); 1_024];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut chunk))?;
            match chunk.filled() {
                // It has said all that it wants, and waits for the answers.
                [] if !self.ahead.is_empty() => return Poll::Pending,
                [] => return Poll::Ready(Ok(())),
                filled => self.ahead.extend_from_slice(filled),
            }
        }
        Poll::Pending
    }
}
