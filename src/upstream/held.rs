//! A connection on which the head of a request is held back until its body goes with it.
//!
//! Pingora sends each head as soon as it is written. A short body after it is then a second write, and often a second packet: the
//! system's work for either is the same, and it is most of what a request costs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection without TLS that can be told to hold back.
#[derive(Debug)]
pub struct Held {
    stream: Stream,
    holds: AtomicBool,
    /// What has been written and not sent, of which `sent` bytes have been since.
    back: Vec<u8>,
    sent: usize,
}

impl Held {
    /// One that holds nothing back yet.
    pub fn new(stream: Stream) -> Self {
        Held { stream, holds: AtomicBool::new(false), back: Vec::new(), sent: 0 }
    }

    /// Whether what is written from now on is held back. What has been goes with the next that is not.
    pub fn hold(session: &HttpSession, holds: bool) {
        if let Some(held) = session.stream().as_any().downcast_ref::<Held>() {
            held.holds.store(holds, Ordering::Relaxed);
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.back.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.back[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.sent += n,
            }
        }
        // It waits for the next request without the room that this one needed.
        (self.back, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.holds.load(Ordering::Relaxed) || !self.back.is_empty() {
            self.back.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.holds.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Held {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[async_trait]
impl Shutdown for Held {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

impl UniqueID for Held {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl GetTimingDigest for Held {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }
}

impl GetProxyDigest for Held {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Held {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}

impl Ssl for Held {}

#[async_trait]
impl Peek for Held {}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use pingora::http::RequestHeader;
    use pingora_core::protocols::l4::stream::Stream as Connection;
    use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};

    use super::*;

    /// Writes down what each write is, and takes `most` bytes of it; every other time it wants to be asked again.
    #[derive(Debug)]
    struct Socket {
        written: Arc<Mutex<Vec<Vec<u8>>>>,
        most: usize,
        is_ready: bool,
    }

    impl VirtualSocket for Socket {
        fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
            Ok(())
        }
    }

    impl AsyncRead for Socket {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.is_ready = !self.is_ready;
            if !self.is_ready {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let taken = bytes.len().min(self.most);
            self.written.lock().expect("no panic").push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    type Written = Arc<Mutex<Vec<Vec<u8>>>>;

    fn session(most: usize) -> (HttpSession, Written) {
        let written = Written::default();
        let socket = Socket { written: written.clone(), most, is_ready: false };
        let connection = Connection::from(VirtualSocketStream::new(Box::new(socket)));
        (HttpSession::new(Box::new(Held::new(Box::new(connection)))), written)
    }

    async fn send(session: &mut HttpSession, body: &[u8], holds: bool) -> pingora::Result<()> {
        let mut head = RequestHeader::build("PUT", b"/", None)?;
        head.insert_header("content-length", body.len())?;
        Held::hold(session, holds);
        session.write_request_header(Box::new(head)).await?;
        Held::hold(session, false);
        session.write_body(body).await?;
        session.finish_body().await?;
        Ok(())
    }

    /// How much was written at a time.
    fn lengths(written: &Written) -> Vec<usize> {
        written.lock().expect("no panic").iter().map(Vec::len).collect()
    }

    const HEAD: &[u8] = b"PUT / HTTP/1.1\r\ncontent-length: 5000\r\n\r\n";

    #[tokio::test]
    async fn a_head_that_is_held_back_goes_with_its_body() {
        let body = [b'x'; 5_000];
        for (holds, most, expected) in [
            (true, usize::MAX, vec![HEAD.len() + 5_000]),
            (true, 3_000, vec![3_000, HEAD.len() + 2_000]),
            (false, usize::MAX, vec![HEAD.len(), 5_000]),
        ] {
            let (mut session, written) = session(most);
            send(&mut session, &body, holds).await.expect("sent");
            assert_eq!(lengths(&written), expected, "{holds} {most}");
            assert_eq!(written.lock().expect("no panic").concat(), [HEAD, &body].concat());
        }
    }

    #[tokio::test]
    async fn nothing_is_left_of_it_for_the_next_request() {
        let (session, written) = session(usize::MAX);
        let (mut stream, mut sent) = (session.into_inner(), Vec::new());
        for (holds, writes) in [(true, 1), (false, 2), (true, 1)] {
            let mut session = HttpSession::new(stream);
            send(&mut session, b"hello", holds).await.expect("sent");
            stream = session.into_inner();
            sent.push(writes);
            assert_eq!(lengths(&written).len(), sent.iter().sum::<usize>());
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_of_it_is_found_out() {
        let (mut session, _) = session(0);
        assert!(send(&mut session, b"hello", true).await.is_err());
    }
}
