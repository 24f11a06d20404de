//! The life of a request, as Pingora's hooks see it: a table of contents.

use std::any::Any;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, Result};
use pingora_core::modules::http::HttpModules;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::context::{InFlight, RequestCtx};
use crate::downstream::link::Link;
use crate::failure::Failure;
use crate::plugin::compression;
use crate::shared::Shared;
use crate::upstream::keepalive::Keepalive;
use crate::{admission, clock, endpoint, forward, intake, observe, respond};

/// The gateway as a Pingora proxy.
pub struct Gateway {
    /// What all requests share.
    pub shared: Arc<Shared>,
    /// Connections to targets that need no more than [`forward::exchange`]. Pingora has its own for all others.
    pub keepalive: Arc<Keepalive>,
}

#[async_trait]
impl ProxyHttp for Gateway {
    // In a box, since Pingora moves it about while a request lives.
    type CTX = Box<RequestCtx>;

    fn new_ctx(&self) -> Box<RequestCtx> {
        Box::new(RequestCtx::new(self.shared.snapshot.load_full(), InFlight::enter(&self.shared.in_flight)))
    }

    fn on_connection_reuse(&self, _: &mut Session, ctx: &mut Self::CTX, connection: Box<dyn Any + Send + Sync>) {
        // Called for the first request of a connection, too: `Connections` sees to that.
        if let Ok(link) = connection.downcast::<Arc<Link>>() {
            link.take();
            ctx.link = Some(*link);
        }
    }

    fn init_downstream_modules(&self, _: &mut HttpModules) {
        // None: what Pingora would add by default is compression, switched off.
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        respond::send_away_if_draining(session, &self.shared.drain);
        intake::identify(session, ctx);
        if let Err(refusal) = intake::clean(session, ctx) {
            respond::refuse(session, ctx, &refusal).await?;
            return Ok(true);
        }
        if endpoint::is_ours(session.req_header().uri.path()) {
            endpoint::answer(session, ctx, &self.shared).await?;
            return Ok(true);
        }
        if let Err(refusal) = admission::admit(session.req_header(), ctx).await {
            respond::refuse(session, ctx, &refusal).await?;
            return Ok(true);
        }
        if let Some(rules) = ctx.route.as_ref().and_then(|route| route.compression.as_ref()) {
            compression::prepare(session, rules);
        }
        respond::in_place_of_target(session, ctx).await
    }

    async fn proxy_upstream_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        if let Err(refusal) = forward::first_target(session, ctx, clock::now()) {
            respond::refuse(session, ctx, &refusal).await?;
            return Ok(false);
        }
        Ok(!forward::exchange(session, ctx, &self.keepalive, &self.shared.drain).await?)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        // What has been done so far is nothing that the target has taken.
        forward::next_peer(session, ctx, clock::read())
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        reused: bool,
        _: &HttpPeer,
        _: RawFd,
        _: Option<&Digest>,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        forward::connected(ctx, reused, clock::read);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        forward::begin(session, request, ctx, clock::now())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        data: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        forward::sending(session, data.as_ref(), end, ctx, clock::now())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        forward::answered(session, response, ctx, clock::now())
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        _: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        forward::receiving(session, ctx, end, clock::now());
        Ok(None)
    }

    fn upstream_response_trailer_filter(
        &self,
        _: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        forward::ended(trailers, ctx, clock::now());
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        respond::pass_on(session, response, ctx, &self.shared.drain)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        _: &HttpPeer,
        ctx: &mut Self::CTX,
        error: Box<Error>,
    ) -> Box<Error> {
        forward::connect_failed(session, ctx, error, clock::now())
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
        forward::broke(session, ctx, error, reused, clock::now())
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        let failure = ctx.failure.unwrap_or_else(|| Failure::of(error));
        FailToProxy { error_code: respond::fail(session, ctx, failure).await, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Self::CTX) {
        let now = clock::read();
        forward::finish(ctx, now);
        intake::leave(session, ctx);
        observe::finish(session, error, ctx, self.shared.records(), now);
    }

    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        // The access-log line tells the outcome, the stats tell the cause; anything more is a client's
        // lever to fill a disk.
        true
    }

    fn suppress_proxy_warn_log(&self, _: &Session, _: &Self::CTX, _: &Error, _: ProxyWarnLogContext) -> bool {
        true
    }
}
