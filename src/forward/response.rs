//! What a target answers.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::retry;
use crate::context::RequestCtx;
use crate::downstream::{answer, hop_by_hop};

/// What a client still sends when it has been answered is listened to for so long.
const REST_OF_UPLOAD: Duration = Duration::from_secs(30);

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The head of a response has come: the breaker hears of it, and what is between the upstream and the
/// gateway only is taken out.
///
/// # Errors
/// The upstream switches to a protocol that nobody asked for.
pub fn answered(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut RequestCtx,
    now: Instant,
) -> Result<()> {
    let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
    if switching && !session.is_upgrade_req() {
        return Err(Error::explain(ErrorType::InvalidHTTPHeader, "the upstream switched protocols unasked").into_up());
    }
    if response.status.is_informational() && !switching {
        answer::edit(response, hop_by_hop::strip_interim);
        return Ok(());
    }
    let status = response.status.as_u16();
    if let Some(attempt) = &mut ctx.attempt {
        attempt.answered(status, grpc_status(&response.headers), &ctx.request_id, now);
        if switching {
            // However a tunnel ends, and it always ends by somebody cutting it, the target did its part.
            attempt.finish(now);
        }
    }
    if retry::instead_of(status, session, ctx, now) {
        return Err(Error::explain(ErrorType::HTTPStatus(status), "another target is asked").into_up());
    }
    ctx.notes.answered(&response.headers, now);
    if let (Some(link), Some(route)) = (&ctx.link, &ctx.route) {
        let mut patience = link.patience();
        patience.with_target(route.timeouts.read, route.timeouts.read, now);
        if switching {
            patience.endless();
            link.set_whole(false);
            link.pause.set_tunnel(true);
        }
    }
    if !switching {
        if has_no_body(&session.req_header().method, response) && !session.is_body_done() {
            // Of a body that is none nobody hears the end.
            is_complete(ctx, now);
        }
        answer::edit(response, hop_by_hop::strip);
    }
    Ok(())
}

/// Whether nothing comes after the head of an answer (RFC 9112, section 6.3).
fn has_no_body(method: &Method, response: &ResponseHeader) -> bool {
    let is_empty = || response.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0");
    *method == Method::HEAD
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || is_empty()
}

/// A piece of a response's body has come, or its end.
pub fn receiving(session: &mut Session, ctx: &mut RequestCtx, end: bool, now: Instant) {
    let Some(link) = &ctx.link else { return };
    let mut patience = link.patience();
    if !end {
        patience.alive(now);
    } else if session.was_upgraded() || session.as_downstream_mut().is_body_done() {
        patience.rest();
    } else {
        drop(patience);
        is_complete(ctx, now);
    }
}

/// The answer is complete and its request is not. Nobody needs the rest of it, but who is not listened to may not hear the
/// answer.
fn is_complete(ctx: &mut RequestCtx, now: Instant) {
    let (Some(link), Some(route)) = (&ctx.link, &ctx.route) else { return };
    let mut patience = link.patience();
    let end = patience.end().into_iter().chain([now + REST_OF_UPLOAD]).min();
    patience.with_client(route.timeouts.read, route.pace, end);
    drop(patience);
    if let Some(attempt) = &mut ctx.attempt {
        attempt.finish(now);
    }
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
