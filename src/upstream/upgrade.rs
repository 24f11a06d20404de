//! Connections for requests that ask for an upgrade.
//!
//! Pingora 0.9.1 takes the end of such a request's empty body for the end of the tunnel if it sees the
//! upstream's 101 first (cloudflare/pingora issue 946, with patches proposed in 947 and 1016): a client gets
//! its 101 and then nothing. Which of the two it sees first is chance when both are there. So these
//! connections are new ones, and the first read after anything is written, be it a handshake or the request, comes up
//! empty-handed once: the body's end, which is queued before, goes first. To be removed with the Pingora that has the fix.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::{Error, ErrorType, Result};
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_core::upstreams::peer::HttpPeer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Makes `peer` connect in the way that upgrades need.
pub fn prepare(peer: &mut HttpPeer) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    peer.options.custom_l4 = Some(Arc::new(Dial));
    // HTTP/2 has no upgrades.
    peer.options.alpn = ALPN::H1;
    // A group of its own: the connection is neither taken from those that wait nor found among them.
    peer.group_key = NEXT.fetch_add(1, Ordering::Relaxed);
    peer.options.idle_timeout = Some(Duration::from_secs(1));
}

#[derive(Debug)]
struct Dial;

#[async_trait]
impl Connect for Dial {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let address = address.as_inet().ok_or_else(|| Error::explain(ErrorType::ConnectError, "no address of TCP"))?;
        let stream = TcpStream::connect(address).await.map_err(|e| {
            let kind = match e.kind() {
                io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ErrorType::ConnectNoRoute,
                _ => ErrorType::ConnectError,
            };
            Error::because(kind, "connecting for an upgrade", e)
        })?;
        Ok(VirtualSocketStream::new(Box::new(Hesitant { stream, hesitates: false })).into())
    }
}

/// A socket whose first read after a write has to be asked for twice.
#[derive(Debug)]
struct Hesitant {
    stream: TcpStream,
    hesitates: bool,
}

impl VirtualSocket for Hesitant {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.stream.set_nodelay(true),
            // No peer of ours asks for any other.
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Hesitant {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.hesitates) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Hesitant {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.hesitates = true;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
