//! One client connection: its requests one after another, an answer in our own words to what is no HTTP at
//! all (`guarded`), an end to waiting (`alarm`), and an end that loses nothing (`linger`).

mod alarm;
mod guarded;
mod linger;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::apps::{HttpServerApp, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use self::guarded::Guarded;
use crate::downstream::link::Link;
use crate::gateway::Gateway;
use crate::shared::Shared;

/// An unused connection of a client is closed after this many seconds.
const KEEP_ALIVE_SECONDS: u64 = 60;

/// Serves connections.
pub struct Connections {
    /// The proxy behind them.
    pub proxy: Arc<HttpProxy<Gateway>>,
    /// What all requests share.
    pub shared: Arc<Shared>,
}

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let link = Arc::new(Link::default());
        let peer = stream.get_socket_digest().and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let stream = Box::new(Guarded::new(stream, link.clone(), self.shared.clone(), peer));
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive((!*shutdown.borrow()).then_some(KEEP_ALIVE_SECONDS));
        loop {
            link.next_request();
            session.set_connection_user_context(Some(Box::new(link.clone())));
            let (stream, settings) = self.proxy.process_new_http(session, shutdown).await?.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
            // Pingora would wait for the next request for ever, and for the rest of its head as well.
            session.set_keepalive(Some(KEEP_ALIVE_SECONDS));
        }
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
