//! The attempts of a request: which target each goes to, what is sent, and how each ends, once.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::Session;
use smallvec::SmallVec;

use crate::breaker::Refused;
use crate::context::RequestCtx;
use crate::downstream::headers::{self, X_USER_ID};
use crate::downstream::request_id::X_REQUEST_ID;
use crate::downstream::{answer, hop_by_hop};
use crate::failure::Failure;
use crate::observe;
use crate::refusal::Refusal;
use crate::snapshot::Route;
use crate::upstream::attempt::Attempt;
use crate::upstream::target::Cause;
use crate::upstream::upgrade;

/// Unused connections to a target are kept this long. Shorter than what servers use by default would be
/// safer still, longer more economical; nginx keeps 60 s as well.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// What clients are told to wait while a probe decides.
const PROBE_WAIT: Duration = Duration::from_secs(1);
static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Connections that were closed while they waited unused can come in a row; after so many the target is
/// given up.
const STALE_CONNECTIONS: u32 = 3;

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
                let mut peer = peer(address, &route);
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

fn peer(address: std::net::SocketAddr, route: &Route) -> HttpPeer {
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.options.connection_timeout = Some(route.timeouts.connect);
    peer.options.total_connection_timeout = Some(route.timeouts.connect);
    peer.options.read_timeout = Some(route.timeouts.read);
    peer.options.write_timeout = Some(route.timeouts.read);
    peer.options.idle_timeout = Some(IDLE_TIMEOUT);
    peer
}

/// Writes what the upstream is told by the gateway: who the user is, what the request is called, and
/// where it comes from. Pingora has taken out what the client's `Connection` names, so it cannot strip this.
///
/// # Errors
/// Should the header map refuse a field, which it does at tens of thousands.
pub fn decorate(request: &mut RequestHeader, ctx: &RequestCtx) -> Result<()> {
    request.insert_header(X_REQUEST_ID.as_str(), ctx.request_id.clone())?;
    if let Some(user_id) = &ctx.notes.user_id {
        request.insert_header(X_USER_ID.as_str(), user_id.clone())?;
    }
    // HTTP/1.0 knows requests without Host; what is sent on is HTTP/1.1, which does not (RFC 9112, 3.2).
    if !request.headers.contains_key(header::HOST)
        && let Some(target) = &ctx.target
    {
        request.insert_header(header::HOST, target.url.authority())?;
    }
    for (name, value) in &ctx.notes.upstream {
        request.insert_header(name.to_bytes(), value.clone())?;
    }
    headers::forward(request, ctx.peer)
}

/// The head of a response has come: the breaker hears of it, and what is between the upstream and the
/// gateway only is taken out.
///
/// # Errors
/// The upstream switches to a protocol that nobody asked for.
pub fn answered(session: &Session, response: &mut ResponseHeader, ctx: &mut RequestCtx, now: Instant) -> Result<()> {
    let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
    if switching && !session.is_upgrade_req() {
        return Err(Error::explain(ErrorType::InvalidHTTPHeader, "the upstream switched protocols unasked").into_up());
    }
    if response.status.is_informational() && !switching {
        return Ok(());
    }
    ctx.notes.answered(&response.headers, now);
    if let Some(attempt) = &mut ctx.attempt {
        attempt.answered(response.status.as_u16(), grpc_status(&response.headers), &ctx.request_id, now);
        if switching {
            // However a tunnel ends, and it always ends by somebody cutting it, the target did its part.
            attempt.finish(now);
        }
    }
    if !switching {
        answer::edit(response, hop_by_hop::strip);
    }
    Ok(())
}

/// The trailers of a response have come, in which gRPC says how it went.
pub fn ended(trailers: &HeaderMap, ctx: &mut RequestCtx, now: Instant) {
    if let (Some(attempt), Some(status)) = (&mut ctx.attempt, grpc_status(trailers)) {
        attempt.ended(status, &ctx.request_id, now);
    }
}

/// What `grpc-status` says, which only gRPC has.
fn grpc_status(fields: &HeaderMap) -> Option<u8> {
    fields.get(&GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// No connection came about, so nothing was sent: the target's next address may be tried, and when it has no
/// more, the attempt has failed and another target may be.
pub fn connect_failed(ctx: &mut RequestCtx, mut error: Box<Error>, now: Instant) -> Box<Error> {
    if ctx.attempt.as_ref().is_some_and(Attempt::has_more_addresses) {
        error.set_retry(true);
        return error;
    }
    settle(ctx, &error, now);
    let untried = ctx.route.as_ref().is_some_and(|route| ctx.tried.len() < route.members.len());
    error.set_retry(untried);
    error
}

/// An attempt broke after the connection was made. It is tried again only if the connection had been idle
/// before and the target closed it without a word (it most likely never saw the request), and if the
/// request may be sent twice by its nature (RFC 9110, 9.2.2) and can be.
pub fn broke(
    session: &mut Session,
    ctx: &mut RequestCtx,
    mut error: Box<Error>,
    reused: bool,
    now: Instant,
) -> Box<Error> {
    if *error.etype() == ErrorType::ReadTimedout && !session.is_body_done() {
        // The target waits for a request that the client does not finish.
        error.as_down();
    }
    let begun = session.response_written().is_some();
    if begun && ctx.link.as_ref().is_some_and(|link| link.is_slow(now)) {
        // The target may have given up on a client that takes its answer too slowly.
        error.as_down();
    }
    settle(ctx, &error, now);
    let replayable = session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
    error.retry.decide_reuse(reused);
    if error.retry() && replayable && !begun && ctx.sent <= STALE_CONNECTIONS {
        // The target may well be fine: it stays a candidate.
        ctx.tried.pop();
    } else {
        error.set_retry(false);
    }
    error
}

/// Settles the attempt by what ended it.
fn settle(ctx: &mut RequestCtx, error: &Error, now: Instant) {
    ctx.failure = Some(Failure::of(error));
    let Some(mut attempt) = ctx.attempt.take() else { return };
    match cause(error) {
        Some(cause) => attempt.fail(cause, &ctx.request_id, now),
        None => attempt.withdraw(now),
    }
    if *error.esource() == ErrorSource::Upstream && is_our_own(error) {
        ctx.failure = Some(Failure::Internal);
        observe::own_fault(error, now);
    }
}

/// What the target did wrong, if it was the target.
fn cause(error: &Error) -> Option<Cause> {
    if *error.esource() != ErrorSource::Upstream || is_our_own(error) {
        return None;
    }
    let why = error.etype().as_str().to_owned();
    Some(match Failure::of(error) {
        Failure::Timeout => Cause::Timeout(why),
        Failure::Connect => Cause::Connect(why),
        _ => Cause::Broken(why),
    })
}

/// Whether connecting failed for want of something on this machine: file descriptors, ports, memory.
fn is_our_own(error: &Error) -> bool {
    const OURS: [i32; 6] = [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOMEM, libc::EACCES];
    let code = error.root_cause().downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    matches!(error.etype(), ErrorType::InternalError | ErrorType::SocketError | ErrorType::BindError)
        || code.is_some_and(|code| OURS.contains(&code))
}

/// The request is over. An attempt that is still open ended as it should.
pub fn finish(ctx: &mut RequestCtx, now: Instant) {
    if let Some(mut attempt) = ctx.attempt.take() {
        attempt.finish(now);
    }
}
