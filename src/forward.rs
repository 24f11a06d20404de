//! The attempts of a request: which target each goes to (by `affinity`, maybe), what is sent (`request`, `fields`), what comes back
//! (`response`), how each ends, once (`ending`), and whether the request goes out again (`retry`). `exchange` does all of that for
//! simple requests, Pingora for the others.

mod affinity;
mod ending;
mod exchange;
mod fields;
mod request;
mod response;
mod retry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::Session;

use crate::config::units::Scheme;
use crate::context::RequestCtx;
use crate::failure::Failure;
use crate::refusal::{Away, Refusal};
use crate::respond;
use crate::snapshot::Route;
use crate::upstream::attempt::Attempt;
use crate::upstream::peer::Hop;
use crate::upstream::pool::{Unavailable, Wish};
use crate::upstream::record::Cause;
use crate::upstream::retry::Trouble;
use crate::upstream::target::Member;
use crate::upstream::upgrade;

pub use self::ending::{broke, connect_failed, finish};
pub use self::exchange::exchange;
pub use self::request::{begin, sending};
pub use self::response::{answered, ended, receiving};

/// Chooses the target of the first attempt.
///
/// # Errors
/// All circuits are open, or all targets have enough to do.
pub fn first_target(session: &Session, ctx: &mut RequestCtx, now: Instant) -> Result<(), Refusal> {
    let route = ctx.route.clone().ok_or(Refusal::NoRoute)?;
    belong(&route, session.req_header(), ctx);
    if let Some(retries) = &route.retries {
        retries.request(now);
    }
    ctx.attempt = Some(pick(ctx, &route, now).map_err(nobody_takes_it)?);
    Ok(())
}

/// Whom [`first_target`] would choose. Nothing is taken, and nobody's turn is used up.
///
/// # Errors
/// As [`first_target`].
pub fn preview(header: &RequestHeader, ctx: &mut RequestCtx, now: Instant) -> Result<Arc<Member>, Refusal> {
    let route = ctx.route.clone().ok_or(Refusal::NoRoute)?;
    belong(&route, header, ctx);
    let wish = Wish { hash: ctx.hash, tried: &[], now };
    let mut trail = ctx.trail.as_deref_mut();
    let found = route.split.preview(ctx.group, wish, &mut |member, why| {
        if let Some(trail) = &mut trail {
            trail.pass_over(member.target.url.text(), why, 0, now);
        }
    });
    found.map_err(nobody_takes_it)
}

/// Notes which group of the route's targets the request belongs to, and what it shares with others.
fn belong(route: &Route, header: &RequestHeader, ctx: &mut RequestCtx) {
    if let Some(key) = &route.hash_key {
        ctx.hash = affinity::hash(key, header, ctx);
    }
    ctx.group = affinity::group(route, header, ctx);
}

fn nobody_takes_it(why: Unavailable) -> Refusal {
    match why {
        Unavailable { is_empty: true, .. } => Refusal::NoTargetKnown,
        Unavailable { full: true, .. } => Refusal::Overloaded,
        Unavailable { retry_after, open, ill, .. } => {
            let why = match (open, ill) {
                (true, _) => Away::Failing,
                (false, true) => Away::Ill,
                (false, false) => Away::Held,
            };
            Refusal::NoTargetAvailable { why, retry_after: retry_after.unwrap_or_default() }
        }
    }
}

/// The peer of the attempt that has been chosen.
///
/// # Errors
/// Its target has no address, and neither has any other.
pub fn next_peer(session: &Session, ctx: &mut RequestCtx, now: Instant) -> Result<Box<HttpPeer>> {
    let mut hop = match ctx.chosen.take() {
        Some(hop) => hop,
        None => next_hop(session, ctx, now)?,
    };
    let (Some(route), Some(attempt)) = (&ctx.route, &ctx.attempt) else { return Err(nobody()) };
    let target = &attempt.member().target;
    // A tunnel has no end of its own.
    let is_tunnel = wants_tunnel(session);
    hop.left = hop.left.filter(|_| !is_tunnel);
    let mut peer = Box::new(route.peers.at(&target.url, &hop));
    if target.url.scheme != Scheme::Http {
        peer.group_key = peer.group_key.wrapping_add(target.connections());
    }
    if is_tunnel {
        upgrade::prepare(&mut peer);
    }
    Ok(peer)
}

fn nobody() -> Box<Error> {
    Error::explain(ErrorType::InternalError, "no target is left to be tried")
}

/// Where the attempt that has been chosen goes.
///
/// # Errors
/// As [`next_peer`].
fn next_hop(session: &Session, ctx: &mut RequestCtx, now: Instant) -> Result<Hop> {
    let route = ctx.route.clone().ok_or_else(nobody)?;
    loop {
        let mut attempt = ctx.attempt.take().ok_or_else(nobody)?;
        ctx.member = Some(attempt.member().clone());
        match attempt.next_address() {
            Ok(address) => {
                ctx.attempt = Some(attempt);
                return Ok(hop(session, ctx, (&route, address), now));
            }
            Err(why) => {
                ctx.failure = Some(Failure::Connect);
                ctx.end(attempt, now, |attempt, id| attempt.fail(Cause::Unresolved(why), id, now));
                retry::after(Trouble::Connect, session, ctx, now);
            }
        }
    }
}

/// There is a connection to the target. Only who is explained wants to know when.
pub fn connected(ctx: &mut RequestCtx, reused: bool, clock: fn() -> Instant) {
    if let (Some(attempt), Some(_)) = (&mut ctx.attempt, &ctx.trail) {
        attempt.connected(reused, clock());
    }
}

fn hop(session: &Session, ctx: &mut RequestCtx, (route, address): (&Route, SocketAddr), now: Instant) -> Hop {
    ctx.tries += 1;
    let end = route.timeouts.total.map(|total| ctx.started + total);
    if let Some(link) = &ctx.link {
        // Calls of gRPC are silent for as long as there is nothing to be said.
        let pace = route.pace.filter(|_| !respond::is_grpc(session.req_header()));
        link.patience().with_client(route.timeouts.read, pace, end);
    }
    let left = end.map(|end| end.saturating_duration_since(now));
    let per_try = retry::per_try_timeout(Trouble::Connect, session, ctx, now);
    Hop { address, within: left.into_iter().chain(per_try).min(), left }
}

/// An attempt at the next target that was not tried yet and admits it.
fn pick(ctx: &mut RequestCtx, route: &Route, now: Instant) -> Result<Attempt, Unavailable> {
    let wish = Wish { hash: ctx.hash, tried: &ctx.tried, now };
    let (mut trail, after) = (ctx.trail.as_deref_mut(), ctx.tried.len());
    let attempt = route.split.pick(ctx.group, wish, &mut |member, why| {
        if let Some(trail) = &mut trail {
            trail.pass_over(member.target.url.text(), why, after, now);
        }
    })?;
    ctx.tried.push(attempt.member().target.id);
    Ok(attempt)
}

/// Whether Pingora will ask the upstream to switch protocols: it does so for WebSocket alone.
fn wants_tunnel(session: &Session) -> bool {
    let upgrade = session.req_header().headers.get(header::UPGRADE);
    session.is_upgrade_req() && upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
