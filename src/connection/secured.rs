//! A client's connection after its handshake, as Pingora wants connections.
//!
//! Pingora's own type has the hash of a client's certificate and not the certificate.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{ALPN, Peek, Shutdown, Ssl, Stream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::outer::answered_by;
use crate::tls::client::ClientCertificate;
use crate::tls::terminator::PROTOCOLS;

/// The connection.
pub struct Secured(TlsStream<Stream>);

impl Secured {
    /// Of a handshake that is over.
    pub fn new(stream: TlsStream<Stream>) -> Self {
        Secured(stream)
    }

    /// Who the client is, if it has shown a certificate.
    pub fn client(&self) -> Option<ClientCertificate> {
        ClientCertificate::of(self.0.get_ref().1.peer_certificates()?.first()?)
    }

    /// Whether HTTP/2 was agreed upon.
    pub fn is_h2(&self) -> bool {
        self.0.get_ref().1.alpn_protocol() == Some(PROTOCOLS[0])
    }

    fn inner(&self) -> &Stream {
        self.0.get_ref().0
    }

    fn pin(self: Pin<&mut Self>) -> Pin<&mut TlsStream<Stream>> {
        Pin::new(&mut self.get_mut().0)
    }
}

impl AsyncRead for Secured {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.pin().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.pin().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pin().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pin().poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Secured {
    async fn shutdown(&mut self) {
        // Who has gone need not be told.
        let _ = AsyncWriteExt::shutdown(&mut self.0).await;
    }
}

impl Ssl for Secured {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        None
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        Some(if self.is_h2() { ALPN::H2 } else { ALPN::H1 })
    }
}

/// Nobody looks ahead in what is secret.
#[async_trait]
impl Peek for Secured {}

answered_by!([] Secured, |outer| outer.inner());
