//! What a handshake goes by. It is a part of the config that runs, and replaced with it.

use std::sync::Arc;
use std::time::Duration;

use pingora_core::protocols::Stream;
use rustls::crypto::aws_lc_rs;
use rustls::server::{NoClientAuth, ProducesTickets, ServerConfig, WebPkiClientVerifier};
use rustls::{RootCertStore, SupportedProtocolVersion, version};
use rustls_pki_types::CertificateDer;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::Certificate;
use super::names::Names;

/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The names of HTTP/2 and HTTP/1.1 in a handshake (RFC 7301), the one that is liked better first.
pub const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The least version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// Whom clients' certificates have to come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// The authorities.
    pub roots: Vec<CertificateDer<'static>>,
    /// Whether a client has to show one.
    pub is_required: bool,
}

/// Why there can be no handshake.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It takes too long.
    #[error("no handshake within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Late,
    /// The client wants something else, or is no client of TLS.
    #[error("{0}")]
    Failed(std::io::Error),
    /// The client begins with a word, as requests do.
    #[error("a request without a handshake")]
    Plain(Stream),
}

/// Ends the TLS of clients, by one config.
pub struct Terminator {
    config: Arc<ServerConfig>,
    /// Tickets by which clients go on where they were (RFC 8446, section 2.2). They outlive certificates of ours, and not what was
    /// asked of clients when they were issued: whoever has one is not asked again.
    tickets: Arc<dyn ProducesTickets>,
    clients: Option<ClientAuth>,
    least: MinVersion,
}

impl Terminator {
    /// With these certificates, the first for names that are none's, in place of the one `before`.
    ///
    /// # Errors
    /// They cannot be used; clients' authorities may be to blame.
    pub fn new(
        certificates: &[Certificate],
        clients: Option<&ClientAuth>,
        least: MinVersion,
        before: Option<&Terminator>,
    ) -> Result<Self, rustls::Error> {
        let same = before.filter(|before| before.clients.as_ref() == clients && before.least == least);
        let tickets = same.map_or_else(aws_lc_rs::Ticketer::new, |before| Ok(before.tickets.clone()))?;
        let config = config(certificates, clients, least, tickets.clone())?.into();
        Ok(Terminator { config, tickets, clients: clients.cloned(), least })
    }

    /// The same where only HTTP/1.1 is spoken.
    pub fn http1_only(self) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = vec![PROTOCOLS[1].to_vec()];
        Terminator { config: config.into(), ..self }
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// Why not.
    pub async fn accept(&self, stream: Stream) -> Result<TlsStream<Stream>, HandshakeError> {
        let within = tokio::time::timeout(HANDSHAKE_TIMEOUT, self.shake_hands(stream));
        within.await.unwrap_or(Err(HandshakeError::Late))
    }

    async fn shake_hands(&self, mut stream: Stream) -> Result<TlsStream<Stream>, HandshakeError> {
        let mut first = [0];
        // A handshake begins with a record of type 22 (RFC 8446, section 5.1), a request with a method. Once the library has
        // seen what is neither, it has told the client so in the words of TLS.
        let is_known = stream.try_peek(&mut first).await.map_err(HandshakeError::Failed)?;
        if is_known && first[0].is_ascii_uppercase() {
            return Err(HandshakeError::Plain(stream));
        }
        let acceptor = TlsAcceptor::from(self.config.clone());
        acceptor.accept(stream).await.map_err(HandshakeError::Failed)
    }
}

fn config(
    certificates: &[Certificate],
    clients: Option<&ClientAuth>,
    least: MinVersion,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[&SupportedProtocolVersion] = match least {
        MinVersion::Tls12 => &[&version::TLS13, &version::TLS12],
        MinVersion::Tls13 => &[&version::TLS13],
    };
    let verifier = match clients {
        None => Arc::new(NoClientAuth),
        Some(ClientAuth { roots, is_required }) => {
            let mut store = RootCertStore::empty();
            roots.iter().try_for_each(|root| store.add(root.clone()))?;
            let builder = WebPkiClientVerifier::builder_with_provider(store.into(), provider.clone());
            let builder = if *is_required { builder } else { builder.allow_unauthenticated() };
            builder.build().map_err(|error| rustls::Error::General(error.to_string()))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Names::new(certificates)));
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    config.ticketer = tickets;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::tests::made;

    #[test]
    fn clients_authorities_have_to_be_authorities() {
        let certificate = [made(&["a.example"])];
        let nobody = ClientAuth { roots: Vec::new(), is_required: true };
        assert!(Terminator::new(&certificate, Some(&nobody), MinVersion::Tls12, None).is_err());
        assert!(Terminator::new(&certificate, None, MinVersion::Tls13, None).is_ok());
    }

    #[test]
    fn tickets_are_good_for_as_long_as_the_same_is_asked_of_clients() {
        let (one, other) = ([made(&["a.example"])], [made(&["b.example"])]);
        let first = Terminator::new(&one, None, MinVersion::Tls12, None).expect("good");
        for (certificates, least, is_same) in
            [(&one, MinVersion::Tls12, true), (&other, MinVersion::Tls12, true), (&one, MinVersion::Tls13, false)]
        {
            let next = Terminator::new(certificates, None, least, Some(&first)).expect("good");
            assert_eq!(Arc::ptr_eq(&first.tickets, &next.tickets), is_same, "{least:?}");
        }
    }
}
