//! How a target is connected to.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::Result;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls_pki_types::CertificateDer;
use tokio::net::TcpSocket;

use super::idle::Kind;
use crate::config::units::{Scheme, TargetUrl};
use crate::config::{Timeouts, UpstreamTls};

/// Pingora's own time-outs, which see each read and write alone, come so much later than what they stand behind.
const MARGIN: Duration = Duration::from_secs(1);

/// Where a request is sent next, and what time there is.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// Of the target.
    pub address: SocketAddr,
    /// There has to be a connection within this, if in less than connections may take anyway.
    pub within: Option<Duration>,
    /// What remains of the whole request's time, if it has an end.
    pub left: Option<Duration>,
}

impl Hop {
    /// One that may take what time it needs.
    pub fn to(address: SocketAddr) -> Self {
        Hop { address, within: None, left: None }
    }
}

type Tune = dyn Fn(&TcpSocket) -> Result<()> + Send + Sync;

/// Requests that one connection of HTTP/2 may have under way.
const MAX_STREAMS: u32 = 100;
/// What a target may send of an answer before it is read: that waits in memory when a client takes nothing. Per round trip no more
/// comes of one answer, so it is also how fast one can be.
const STREAM_WINDOW: u32 = 128 * 1_024;
/// All answers of a connection may wait at once without any keeping the others back, which share this one.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// What makes the peers of one route.
pub struct Peers {
    timeouts: Timeouts,
    tls: Tls,
    /// Only who wants the same of a connection uses it again.
    group: u64,
    tune: Arc<Tune>,
}

/// What connections by TLS go by.
struct Tls {
    authorities: Option<Arc<CaType>>,
    own: Option<Arc<CertKey>>,
    server_name: Option<String>,
    verifies: bool,
}

impl Tls {
    fn new(config: &UpstreamTls) -> Self {
        let authorities = config.authorities.as_ref().map(|authorities| {
            let wrap = |der: &CertificateDer<'_>| WrappedX509::new(der.to_vec(), parse_x509);
            authorities.iter().map(wrap).collect::<Vec<_>>().into()
        });
        let own = config
            .own
            .as_ref()
            .map(|(chain, key)| Arc::new(CertKey::new(chain.iter().map(|der| der.to_vec()).collect(), key.clone())));
        Tls { authorities, own, server_name: config.server_name.clone(), verifies: !config.insecure_skip_verify }
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

impl Peers {
    /// Peers that are waited for as `timeouts` say, and shown and asked for certificates as `tls` says.
    pub fn new(timeouts: Timeouts, tls: &UpstreamTls) -> Self {
        let unheard = unheard(&timeouts);
        let mut group = DefaultHasher::new();
        // What the kernel does stays with a connection, and so does who has vouched for whom.
        (unheard, &tls.authorities, &tls.own).hash(&mut group);
        let tune = move |socket: &TcpSocket| {
            // Only a kernel that cannot do it refuses, and then Pingora's time-out has to do.
            let _ = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(unheard));
            Ok(())
        };
        Peers { timeouts, tls: Tls::new(tls), group: group.finish(), tune: Arc::new(tune) }
    }

    /// Which connections will do for a hop to a target of `http`.
    pub fn kind(&self, hop: &Hop) -> Kind {
        Kind { address: hop.address, group: self.group }
    }

    /// How long a connection is kept while nobody uses it.
    pub fn idle(&self) -> Duration {
        self.timeouts.idle
    }

    /// How long one write may take. While a target does not take what it is sent, the client is not listened to. The kernel ends
    /// that by closing the connection; this stands in where it cannot.
    pub fn write_timeout(&self, hop: &Hop) -> Duration {
        at_most(unheard(&self.timeouts) + MARGIN, hop.left)
    }

    /// The peer of a target at one of its addresses.
    pub fn at(&self, url: &TargetUrl, hop: &Hop) -> HttpPeer {
        let mut peer = self.speaking(url, hop.address);
        let connect = Some(at_most(self.timeouts.connect, hop.within));
        peer.options.connection_timeout = connect;
        peer.options.total_connection_timeout = connect;
        // What ends waiting for an answer is `downstream::patience`; this is a safety net, for when the target does not
        // take the request and the client is not listened to.
        let silence = self.timeouts.first_byte.max(self.timeouts.read);
        peer.options.read_timeout = Some(at_most(silence, hop.left) + MARGIN);
        peer.options.write_timeout = Some(self.write_timeout(hop));
        peer.options.idle_timeout = Some(self.idle());
        peer.options.upstream_tcp_sock_tweak_hook = Some(self.tune.clone());
        peer
    }

    /// The peer and what is spoken there.
    pub fn speaking(&self, url: &TargetUrl, address: SocketAddr) -> HttpPeer {
        let is_tls = url.scheme.is_tls();
        // Without a name Pingora would take any certificate, so there always is one.
        let name = if is_tls { self.tls.server_name.as_ref().unwrap_or(&url.host).clone() } else { String::new() };
        let mut peer = HttpPeer::new(address, is_tls, name);
        peer.group_key = self.group;
        peer.options.alpn = match url.scheme {
            Scheme::Http => ALPN::H1,
            Scheme::Https => ALPN::H2H1,
            Scheme::H2 | Scheme::H2c => ALPN::H2,
        };
        peer.options.max_h2_streams = MAX_STREAMS as usize;
        peer.options.h2_stream_window_size = Some(STREAM_WINDOW);
        peer.options.h2_connection_window_size = Some(CONNECTION_WINDOW);
        if is_tls {
            peer.options.ca.clone_from(&self.tls.authorities);
            peer.options.verify_cert = self.tls.verifies;
            peer.client_cert_key.clone_from(&self.tls.own);
        }
        peer
    }
}

fn at_most(span: Duration, most: Option<Duration>) -> Duration {
    most.map_or(span, |most| span.min(most))
}

/// How long a target may leave what it is sent without taking it: its turn to answer comes later.
fn unheard(timeouts: &Timeouts) -> Duration {
    timeouts.read
}
