//! The attempts of a request: which target each goes to, what is sent ([`request`]), what comes back
//! ([`response`]), and how each ends, once ([`ending`]).

mod ending;
mod request;
mod response;

use std::time::{Duration, Instant};

use http::header;
use pingora::{Error, ErrorType, Result};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::Session;
use smallvec::SmallVec;

use crate::breaker::Refused;
use crate::context::RequestCtx;
use crate::failure::Failure;
use crate::refusal::Refusal;
use crate::snapshot::Route;
use crate::upstream::attempt::Attempt;
use crate::upstream::target::Cause;
use crate::upstream::upgrade;

pub use self::ending::{broke, connect_failed, finish};
pub use self::request::{decorate, sending};
pub use self::response::{answered, ended, receiving};

/// What clients are told to wait while a probe decides.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// Chooses the target of the first attempt.
///
/// # Errors
/// All circuits are open.
pub fn first_target(ctx: &mut RequestCtx, now: Instant) -> Result<(), Refusal> {
    let Some(route) = &ctx.route else { return Err(Refusal::NoRoute) };
    let attempt = pick(route, &mut ctx.tried, now).map_err(|retry_after| Refusal::NoTargetAvailable { retry_after })?;
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
            None => pick(&route, &mut ctx.tried, now).map_err(|_| nobody())?,
        };
        ctx.target = Some(attempt.target().clone());
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

/// An attempt at the next target that was not tried yet and admits it; else how long to wait until one may.
fn pick(route: &Route, tried: &mut SmallVec<[usize; 4]>, now: Instant) -> Result<Attempt, Duration> {
    let mut retry_after = Duration::MAX;
    let picked = route.turns.pick(route.members.len(), |index| {
        if tried.contains(&index) {
            return None;
        }
        match Attempt::admit(&route.members[index].target, route.members[index].guarded, now) {
            Ok(attempt) => Some(attempt),
            Err(refused) => {
                let wait = match refused {
                    Refused::Open(until) => until.saturating_duration_since(now),
                    // Nobody knows when somebody lets it go.
                    Refused::Probing | Refused::Held => PROBE_WAIT,
                };
                retry_after = retry_after.min(wait);
                None
            }
        }
    });
    let (index, attempt) = picked.ok_or(retry_after)?;
    tried.push(index);
    Ok(attempt)
}

/// Whether Pingora will ask the upstream to switch protocols: it does so for WebSocket alone.
fn wants_tunnel(session: &Session) -> bool {
    let upgrade = session.req_header().headers.get(header::UPGRADE);
    session.is_upgrade_req() && upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
