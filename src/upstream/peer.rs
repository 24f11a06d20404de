//! How a target is connected to.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::Result;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::net::TcpSocket;

use crate::config::Timeouts;

/// Pingora's own time-outs, which see each read and write alone, come so much later than what they stand behind.
const MARGIN: Duration = Duration::from_secs(1);

type Tune = dyn Fn(&TcpSocket) -> Result<()> + Send + Sync;

/// What makes the peers of one route.
pub struct Peers {
    timeouts: Timeouts,
    tune: Arc<Tune>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

impl Peers {
    /// Peers that are waited for as `timeouts` say.
    pub fn new(timeouts: Timeouts) -> Self {
        let unheard = unheard(&timeouts);
        let tune = move |socket: &TcpSocket| {
            // Only a kernel that cannot do it refuses, and then Pingora's time-out has to do.
            let _ = socket2::SockRef::from(socket).set_tcp_user_timeout(Some(unheard));
            Ok(())
        };
        Peers { timeouts, tune: Arc::new(tune) }
    }

    /// The peer at `address`, to which there has to be a connection `within`; `left` is what remains of the whole
    /// request's time.
    pub fn at(&self, address: SocketAddr, within: Option<Duration>, left: Option<Duration>) -> HttpPeer {
        let at_most = |span: Duration, most: Option<Duration>| Some(most.map_or(span, |most| span.min(most)));
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.options.connection_timeout = at_most(self.timeouts.connect, within);
        peer.options.total_connection_timeout = at_most(self.timeouts.connect, within);
        // What ends waiting for an answer is `downstream::patience`; this is a safety net, for when the target does not
        // take the request and the client is not listened to.
        let silence = self.timeouts.first_byte.max(self.timeouts.read);
        peer.options.read_timeout = at_most(silence, left).map(|silence| silence + MARGIN);
        // While a target does not take what it is sent, the client is not listened to. The kernel ends that by
        // closing the connection; this stands in where it cannot.
        peer.options.write_timeout = at_most(unheard(&self.timeouts) + MARGIN, left);
        // What the kernel does stays with a connection, so only those use it again who want the same.
        peer.group_key = unheard(&self.timeouts).as_millis() as u64;
        peer.options.idle_timeout = Some(self.timeouts.idle);
        peer.options.upstream_tcp_sock_tweak_hook = Some(self.tune.clone());
        peer
    }
}

/// How long a target may leave what it is sent without taking it: its turn to answer comes later.
fn unheard(timeouts: &Timeouts) -> Duration {
    timeouts.read
}
