//! The attempts of a request: which target each goes to (by [`affinity`], maybe), what is sent ([`request`]), what comes back
//! ([`response`]), and how each ends, once ([`ending`]).

mod affinity;
mod ending;
mod request;
mod response;

use std::time::Instant;

use http::header;
use pingora::{Error, ErrorType, Result};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::Session;

use crate::context::RequestCtx;
use crate::failure::Failure;
use crate::refusal::Refusal;
use crate::snapshot::Route;
use crate::upstream::attempt::Attempt;
use crate::upstream::pool::Unavailable;
use crate::upstream::record::Cause;
use crate::upstream::upgrade;

pub use self::ending::{broke, connect_failed, finish};
pub use self::request::{decorate, sending};
pub use self::response::{answered, ended, receiving};

/// Chooses the target of the first attempt.
///
/// # Errors
/// All circuits are open, or all targets have enough to do.
pub fn first_target(session: &Session, ctx: &mut RequestCtx, now: Instant) -> Result<(), Refusal> {
    let route = ctx.route.clone().ok_or(Refusal::NoRoute)?;
    if let Some(key) = &route.hash_key {
        ctx.hash = affinity::hash(key, session.req_header(), ctx);
    }
    let attempt = pick(ctx, &route, now).map_err(|why| match why {
        Unavailable { full: true, .. } => Refusal::Overloaded,
        Unavailable { retry_after, .. } => Refusal::NoTargetAvailable { retry_after: retry_after.unwrap_or_default() },
    })?;
    ctx.attempt = Some(attempt);
    Ok(())
}

/// The peer of the next attempt: at the target that was chosen first, or after a failure at another one.
///
/// # Errors
/// No target is left, or none admits a request.
pub fn next_peer(session: &Session, ctx: &mut RequestCtx, now: Instant) -> Result<Box<HttpPeer>> {
    let nobody = || Error::explain(ErrorType::InternalError, "no target is left to be tried");
    let route = ctx.route.clone().ok_or_else(nobody)?;
    loop {
        let mut attempt = match ctx.attempt.take() {
            Some(attempt) => attempt,
            None => pick(ctx, &route, now).map_err(|_| nobody())?,
        };
        ctx.member = Some(attempt.member().clone());
        match attempt.next_address() {
            Ok(address) => {
                ctx.attempt = Some(attempt);
                ctx.sent += 1;
                let end = route.timeouts.total.map(|total| ctx.started + total);
                if let Some(link) = &ctx.link {
                    link.patience().with_client(route.timeouts.read, end);
                }
                let mut peer = route.peers.at(address, end.map(|end| end.saturating_duration_since(now)));
                if wants_tunnel(session) {
                    upgrade::prepare(&mut peer);
                }
                return Ok(Box::new(peer));
            }
            Err(why) => {
                ctx.failure = Some(Failure::Connect);
                attempt.fail(Cause::Unresolved(why), &ctx.request_id, now);
            }
        }
    }
}

/// An attempt at the next target that was not tried yet and admits it.
fn pick(ctx: &mut RequestCtx, route: &Route, now: Instant) -> Result<Attempt, Unavailable> {
    let attempt = route.pool.pick(ctx.hash, &ctx.tried, now)?;
    ctx.tried.push(attempt.member().target.id);
    Ok(attempt)
}

/// Whether Pingora will ask the upstream to switch protocols: it does so for WebSocket alone.
fn wants_tunnel(session: &Session) -> bool {
    let upgrade = session.req_header().headers.get(header::UPGRADE);
    session.is_upgrade_req() && upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
