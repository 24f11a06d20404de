//! One request of an HTTP/2 connection, with the patience that HTTP/1.1 has by its connection (`guarded`).
//!
//! Pingora takes a session of one's own in place of its own; this one is Pingora's but for waiting.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session;
use pingora_core::protocols::http::v2::server::HttpSession;
use pingora_core::protocols::l4::socket::SocketAddr;

use super::alarm::Alarm;
use super::taking::Taking;
use crate::downstream::link::Link;

/// How long, and how much, is read of a request that has been answered.
const LINGER: Duration = Duration::from_secs(1);
const MOST_DRAINED: usize = 16 << 20;

/// As much of an answer is handed on at a time, and counts as taken when it is: a frame (RFC 9113, section 4.2).
const SLICE: usize = 16 * 1_024;

/// The session of one stream.
pub struct H2Stream {
    inner: HttpSession,
    link: Arc<Link>,
    alarm: Alarm,
    /// Whether a read is waiting for the client.
    silent: bool,
}

impl H2Stream {
    /// Wraps a stream. Its request carries the link, by which the hooks know it.
    pub fn new(mut inner: HttpSession, link: Arc<Link>) -> Self {
        inner.req_header_mut().extensions_mut().insert(link.clone());
        H2Stream { inner, link, alarm: Alarm::default(), silent: false }
    }

    /// What `read` gives, unless the request has waited for too long by then.
    async fn patiently<T>(
        read: impl Future<Output = Result<T>>,
        (link, alarm, silent): (&Link, &mut Alarm, &mut bool),
    ) -> Result<T> {
        let mut read = pin!(read);
        poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                if std::mem::take(silent) {
                    link.hears(Instant::now());
                }
                if read.is_err() {
                    link.set_gone();
                }
                return Poll::Ready(if link.is_over() { late() } else { read });
            }
            *silent = true;
            let Some(due) = link.due() else { return Poll::Pending };
            ready!(alarm.poll(due, cx));
            link.patience().run_out(false, Instant::now());
            Poll::Ready(late())
        })
        .await
    }

    /// What `write` gives, unless the client takes nothing for too long.
    async fn watched<T>(
        write: impl Future<Output = Result<T>>,
        taken: usize,
        (link, alarm): (&Link, &mut Alarm),
    ) -> Result<T> {
        let mut taking = Taking::after(taken as u64);
        let (mut write, _given_up) = (pin!(write), GivenUp(link));
        let written = poll_fn(|cx| taking.poll((link, alarm), cx, |cx| write.as_mut().poll(cx))).await;
        written.unwrap_or_else(late)
    }
}

/// A write that is over, or is waited for no more.
struct GivenUp<'l>(&'l Link);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.0.pause.is_over();
    }
}

/// Who asks what was late is told by the link.
fn late<T>() -> Result<T> {
    Error::e_explain(ErrorType::ReadTimedout, "waiting for too long")
}

impl H2Stream {
    /// Reads on for a moment what a client still sends that has been answered: to end the stream at once might overtake
    /// the answer.
    async fn linger(&mut self) {
        if self.inner.response_written().is_none() || self.inner.is_body_done() {
            return;
        }
        let drain = async {
            let mut left = MOST_DRAINED;
            while let Ok(Some(piece)) = self.inner.read_body_bytes().await {
                let Some(less) = left.checked_sub(piece.len()) else { break };
                left = less;
            }
        };
        // Whoever is still at it by then has had the time to hear the answer.
        let _ = tokio::time::timeout(LINGER, drain).await;
    }
}

#[async_trait]
impl Session for H2Stream {
    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        let H2Stream { inner, link, alarm, silent } = self;
        H2Stream::patiently(inner.read_body_bytes(), (link, alarm, silent)).await
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let H2Stream { inner, link, alarm, silent } = self;
        H2Stream::patiently(inner.read_body_or_idle(no_body_expected), (link, alarm, silent)).await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner.drain_request_body().await
    }

    async fn write_response_header(&mut self, response: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.inner.write_response_header(response, end).inspect_err(|_| self.link.set_gone())
    }

    async fn write_response_header_ref(&mut self, response: &ResponseHeader, end: bool) -> Result<()> {
        self.inner.write_response_header_ref(response, end).inspect_err(|_| self.link.set_gone())
    }

    async fn write_body(&mut self, mut data: Bytes, end: bool) -> Result<()> {
        loop {
            let slice = data.split_to(data.len().min(SLICE));
            let (is_last, taken) = (data.is_empty(), self.inner.body_bytes_sent());
            let H2Stream { inner, link, alarm, .. } = self;
            H2Stream::watched(inner.write_body(slice, end && is_last), taken, (link, alarm)).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner.write_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_over = false;
        for task in tasks {
            is_over |= match task {
                HttpTask::Body(Some(data), end) if !data.is_empty() => {
                    self.write_body(data, end).await.map_err(|error| error.into_down())?;
                    end
                }
                // Of these none waits.
                task => self.inner.response_duplex_vec(vec![task]).await?,
            };
        }
        Ok(is_over)
    }

    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.linger().await;
        self.inner.shutdown();
    }

    fn is_body_done(&mut self) -> bool {
        self.inner.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner.finish()?;
        self.linger().await;
        Ok(())
    }

    fn is_body_empty(&mut self) -> bool {
        self.inner.is_body_empty()
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.pseudo_raw_h1_request_header()
    }

    fn enable_retry_buffering(&mut self) {
        self.inner.enable_retry_buffering();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.inner.retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.inner.get_retry_buffer()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    // There are no messages beside HTTP.

    fn take_custom_message_reader(&mut self) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
