//! One client connection: its handshake (`secured`), its requests one after another, or side by side (`h2`, `stream`), an
//! answer in our own words to what is no HTTP at all (`guarded`), which is told by a strict look (`reader`), an end to waiting (`alarm`), for who does not take what
//! it is sent as well (`taking`), and an end that loses nothing (`linger`).

mod alarm;
mod guarded;
mod h2;
mod linger;
mod reader;
pub mod secured;
mod stream;
mod taking;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::time::timeout;

use self::guarded::Guarded;
use self::secured::Secured;
use crate::clock;
use crate::config::Limits;
use crate::crowd::{self, Place};
use crate::downstream::entrance::{Door, Doors, Entrance};
use crate::downstream::link::Link;
use crate::drain::Stage;
use crate::gateway::Gateway;
use crate::shared::Shared;
use crate::tls::terminator::{HandshakeError, Terminator};

/// Serves connections.
pub struct Connections {
    /// The proxy behind them.
    pub proxy: Arc<HttpProxy<Gateway>>,
    /// What all requests share.
    pub shared: Arc<Shared>,
    /// How connections come in.
    pub doors: Doors,
}

#[async_trait]
impl ServerApp for Connections {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        // In a task of its own: the one that it came in has room for all that Pingora could have done with it.
        let (connections, shutdown) = (self.clone(), shutdown.clone());
        tokio::spawn(async move { connections.serve(stream, &shutdown).await });
        None
    }

    /// The door is closed. Connections that wait for their next request may still get it, until they are closed as well.
    async fn cleanup(&self) {
        self.shared.drain.reached(Stage::Closing).await;
        self.proxy.http_cleanup().await;
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

impl Connections {
    /// Serves a connection until it ends.
    async fn serve(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let (limits, h2c, terminator) = {
            let snapshot = self.shared.snapshot.load();
            (snapshot.limits, snapshot.h2c, snapshot.tls.clone())
        };
        let peer = stream.get_socket_digest().and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip()));
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.to_canonical());
        let Some(place) = self.shared.crowd.enter(peer, &limits) else {
            return crowd::is_full(peer, Instant::now());
        };
        // What is large is boxed: a task has room for the largest thing that it does, for as long as it lives.
        match Box::pin(self.enter(stream, place, (&limits, h2c, terminator))).await {
            Some((stream, entrance, Protocol::Http1)) => {
                clock::by_goes(pin!(self.one_by_one(stream, entrance, peer, shutdown))).await;
            }
            Some((stream, entrance, Protocol::Http2)) => {
                Box::pin(h2::serve(stream, entrance, (self.proxy.clone(), &self.shared), limits, shutdown)).await;
            }
            None => {}
        }
    }

    /// Finds out how a client comes in. `None`: it does not.
    async fn enter(
        &self,
        mut stream: Stream,
        place: Place,
        (limits, h2c, terminator): (&Limits, bool, Option<Arc<Terminator>>),
    ) -> Option<(Stream, Arc<Entrance>, Protocol)> {
        // To ask for its own end takes a call of the system.
        let digest = stream.get_socket_digest().filter(|_| !self.doors.are_plain());
        let local = digest.and_then(|digest| digest.local_addr()?.as_inet().copied());
        let door = local.map(|local| self.doors.of(local)).unwrap_or_default();
        if let (Door::Tls, Some(terminator)) = (door, terminator) {
            let secured = match terminator.accept(stream).await {
                Ok(stream) => Secured::new(stream),
                Err(HandshakeError::Plain(stream)) => {
                    let entrance = Entrance { door, is_plain: true, certificate: None, place: Some(place) };
                    return Some((stream, Arc::new(entrance), Protocol::Http1));
                }
                Err(error) => {
                    log::debug!("{error}");
                    return None;
                }
            };
            let protocol = if secured.is_h2() { Protocol::Http2 } else { Protocol::Http1 };
            let entrance = Entrance { door, is_plain: false, certificate: secured.client(), place: Some(place) };
            return Some((Box::new(secured), Arc::new(entrance), protocol));
        }
        let protocol = match h2c && door == Door::Plain {
            true => first_words(&mut stream, limits.idle_timeout).await?,
            false => Protocol::Http1,
        };
        Some((stream, Arc::new(Entrance { door, place: Some(place), ..Entrance::default() }), protocol))
    }

    /// Serves requests one after another, each under the limits of its time. `None`: for as long as there may be one.
    async fn one_by_one(
        &self,
        stream: Stream,
        entrance: Arc<Entrance>,
        peer: IpAddr,
        shutdown: &ShutdownWatch,
    ) -> Option<Infallible> {
        let limits = || self.shared.snapshot.load().limits;
        let mut count = 0_u32;
        let link = Arc::new(Link::new(entrance));
        let mut guarded = Box::new(Guarded::new(stream, link.clone(), self.shared.clone(), peer));
        let mut settings: Option<HttpPersistentSettings> = None;
        let mut closing = pin!(self.shared.drain.reached(Stage::Closing));
        loop {
            link.next_request();
            // What Pingora needs for a request is made when there is one: most connections wait, most of the time.
            tokio::select! {
                biased;
                has_come = guarded.request(limits().idle_timeout) => has_come.then_some(())?,
                () = &mut closing => return None,
            }
            let limits = limits();
            guarded.keep_within(&limits);
            count = count.saturating_add(1);
            // Whole seconds is what Pingora takes.
            let idle = limits.idle_timeout.as_secs_f64().ceil() as u64;
            let mut session = ServerSession::new_http1(guarded);
            // How long a client may be silent is known to the reader, of heads, and to the link, of bodies and tunnels. Pingora's minute
            // would end what may take longer.
            session.set_read_timeout(None);
            match settings.take() {
                Some(settings) => {
                    settings.apply_to_session(&mut session);
                    // Pingora would wait for the rest of a head for ever.
                    session.set_keepalive(Some(idle));
                }
                None => session.set_keepalive((!self.shared.drain.is_begun()).then_some(idle)),
            }
            let left = limits.max_requests_per_connection.map(|most| most.saturating_sub(count));
            session.set_keepalive_reuses_remaining(left);
            session.set_connection_user_context(Some(Box::new(link.clone())));
            let stream;
            let answered = link.pause.rest_in(self.proxy.process_new_http(session, shutdown)).await;
            (stream, settings) = answered?.consume();
            guarded = stream.into_any().downcast().ok()?;
        }
    }
}

/// Whether a client begins with the words of HTTP/2 (RFC 9113, section 3.4), whose first is no method that anybody
/// uses.
async fn first_words(stream: &mut Stream, within: Duration) -> Option<Protocol> {
    let mut word = [0; 3];
    let looked = timeout(within, stream.try_peek(&mut word)).await;
    let is_known = looked.ok()?.ok()?;
    Some(if is_known && word == *b"PRI" { Protocol::Http2 } else { Protocol::Http1 })
}
