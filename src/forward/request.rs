//! What is sent to a target.

use std::time::Instant;

use bytes::Bytes;
use http::header::MaxSizeReached;
use http::{HeaderMap, HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, OrErr, Result};
use pingora_proxy::Session;

use super::{fields, retry};
use crate::context::RequestCtx;
use crate::downstream::headers::{self, X_USER_ID};
use crate::downstream::request_id::X_REQUEST_ID;
use crate::failure::BODY_TOO_LARGE;
use crate::plugin::auth::place::{self, TokenFrom};
use crate::rng::{self, Rng};
use crate::trace::{TRACEPARENT, TRACESTATE};
use crate::upstream::retry::Trouble;

const TRAILERS: &str = "trailers";

/// The head of a request is about to be sent: the upstream is told what the gateway has to say, and so is that of the
/// copy, if there is one.
///
/// # Errors
/// Should the header map refuse a field, which it does at tens of thousands.
pub fn begin(session: &mut Session, request: &mut RequestHeader, ctx: &mut RequestCtx, now: Instant) -> Result<()> {
    ctx.sent += 1;
    if let Some(attempt) = ctx.attempt.as_mut().filter(|_| !session.is_body_empty()) {
        attempt.uploads(now);
    }
    decorate(session, request, ctx)?;
    mirror(session, request, ctx);
    if request.version == Version::HTTP_2 && session.is_body_empty() {
        // Of a body that is none Pingora tells nothing where it is sent by HTTP/2.
        sending(session, None, true, ctx, now)?;
    }
    Ok(())
}

/// Writes what the upstream is told by the gateway: who the user is, what the request is called, and
/// where it comes from. Pingora has taken out what the client's `Connection` names, so it cannot strip this.
fn decorate(session: &Session, request: &mut RequestHeader, ctx: &RequestCtx) -> Result<()> {
    if let Some(path) = &ctx.rewritten {
        let (_, query) = parts(request.raw_path());
        request.set_raw_path(&[path.as_bytes(), query].concat())?;
    }
    for from in &ctx.notes.hidden {
        if let TokenFrom::Query(name) = from {
            hide_parameter(request, name)?;
        }
    }
    // The one thing that TE may say in HTTP/2 (RFC 9113, section 8.2.2), and by which servers of gRPC know their clients.
    let says_trailers = request.version == Version::HTTP_2 && takes_trailers(session);
    let written = fields::edit(request, |fields| {
        hide(fields, &ctx.notes.hidden)?;
        write(fields, ctx)?;
        if says_trailers {
            fields.try_insert(header::TE, HeaderValue::from_static(TRAILERS))?;
        }
        Ok::<_, MaxSizeReached>(())
    })?;
    written.or_err(ErrorType::InvalidHTTPHeader, "too many header fields in a request")
}

fn write(fields: &mut HeaderMap, ctx: &RequestCtx) -> Result<(), MaxSizeReached> {
    if let Some(edits) = ctx.route.as_ref().and_then(|route| route.edits.as_ref()) {
        edits.apply(fields)?;
    }
    fields.try_insert(&X_REQUEST_ID, ctx.request_id.clone())?;
    if let Some(trace) = &ctx.trace {
        if trace.parent.is_none() {
            // It belongs to another trace, if to any.
            fields.remove(&TRACESTATE);
        }
        let attempt = ctx.trail.as_ref().map_or(0, |trail| trail.attempts.len() as u64);
        fields.try_insert(&TRACEPARENT, trace.header(trace.part(attempt)))?;
    }
    if let Some(user_id) = &ctx.notes.user_id {
        fields.try_insert(&X_USER_ID, user_id.clone())?;
    }
    let own_host = ctx.member.as_ref().map(|member| &member.target.host);
    // HTTP/1.0 knows requests without Host; what is sent on is HTTP/1.1, which does not (RFC 9112, 3.2).
    if !fields.contains_key(header::HOST)
        && let Some(host) = own_host
    {
        fields.try_insert(header::HOST, host.clone())?;
    }
    for (name, value) in &ctx.notes.upstream {
        fields.try_insert(name, value.clone())?;
    }
    if let Some(prefix) = ctx.route.as_ref().and_then(|route| route.stripped.as_ref()) {
        headers::tell_prefix(fields, prefix)?;
    }
    headers::forward(fields, ctx.peer, ctx.link.as_ref().map_or("http", |link| link.entrance.scheme()))?;
    // That of the client has been told by then.
    match ctx.route.as_ref().zip(own_host).and_then(|(route, own)| route.host_header.of(own)) {
        Some(host) => fields.try_insert(header::HOST, host.clone()).map(drop),
        None => Ok(()),
    }
}

/// Whether the client says that it understands what comes after a body.
fn takes_trailers(session: &Session) -> bool {
    let mut fields = session.req_header().headers.get_all(header::TE).iter();
    fields.any(|field| {
        field
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|word| word.trim_ascii().eq_ignore_ascii_case(TRAILERS.as_bytes()))
    })
}

/// The path of a target, and its query with the question mark.
fn parts(target: &[u8]) -> (&[u8], &[u8]) {
    target.split_at(target.iter().position(|byte| *byte == b'?').unwrap_or(target.len()))
}

/// Takes out tokens, but for those in queries.
fn hide(fields: &mut HeaderMap, from: &[TokenFrom]) -> Result<(), MaxSizeReached> {
    for from in from {
        match from {
            TokenFrom::Authorization => drop(fields.remove(header::AUTHORIZATION)),
            TokenFrom::Header(name) => drop(fields.remove(name)),
            TokenFrom::Cookie(name) => {
                let all = fields.get_all(header::COOKIE).iter();
                let left = all.filter_map(|field| place::without(field.as_bytes(), b';', name));
                // Parts of what were values before.
                let left: Vec<HeaderValue> =
                    left.filter_map(|field| HeaderValue::from_bytes(field.trim_ascii()).ok()).collect();
                fields.remove(header::COOKIE);
                for field in left {
                    fields.try_append(header::COOKIE, field)?;
                }
            }
            TokenFrom::Query(_) => {}
        }
    }
    Ok(())
}

fn hide_parameter(request: &mut RequestHeader, name: &str) -> Result<()> {
    let (path, query) = parts(request.raw_path());
    let left = query.get(1..).and_then(|query| place::without(query, b'&', name));
    let target = left.map_or_else(|| path.to_vec(), |left| [path, b"?", &left].concat());
    request.set_raw_path(&target)
}

/// Begins a copy of a request that is sent for the first time, if its route has copies made.
fn mirror(session: &mut Session, request: &RequestHeader, ctx: &mut RequestCtx) {
    let Some(mirror) = ctx.route.as_ref().and_then(|route| route.mirror.as_ref()) else { return };
    // What is sent again has its body sent from the beginning, which a copy that goes on cannot take.
    let copy = match ctx.mirrored || session.is_upgrade_req() {
        true => None,
        false => mirror.begin(request, !session.is_body_empty(), rng::with_local(Rng::unit)),
    };
    (ctx.copy, ctx.mirrored) = (copy, true);
}

/// The same piece of the request's body, or its end, goes to the copy.
fn copy(ctx: &mut RequestCtx, data: Option<&Bytes>, end: bool) {
    if ctx.copy.as_mut().is_some_and(|copy| !copy.add(data, end) || end) {
        ctx.copy = None;
    }
}

/// A piece of the request's body has come from the client, or its end: from then on the target is waited for.
///
/// # Errors
/// There is more of it than there may be.
pub fn sending(session: &Session, data: Option<&Bytes>, end: bool, ctx: &mut RequestCtx, now: Instant) -> Result<()> {
    if let Some(most) = ctx.route.as_ref().and_then(|route| route.max_body)
        && session.body_bytes_read() as u64 > most
        && !session.was_upgraded()
    {
        return Err(Error::explain(ErrorType::Custom(BODY_TOO_LARGE), "the body is too large").into_down());
    }
    copy(ctx, data, end);
    if let Some(attempt) = ctx.attempt.as_mut().filter(|_| end) {
        attempt.sent(now);
    }
    let (Some(link), Some(route)) = (&ctx.link, &ctx.route) else { return Ok(()) };
    if end && !session.was_upgraded() {
        link.set_whole(true);
    }
    let mut patience = link.patience();
    match patience.is_with_client() {
        true if end => {
            let per_try = retry::per_try_timeout(Trouble::Timeout, session, ctx, now);
            let span = per_try.map_or(route.timeouts.first_byte, |per_try| per_try.min(route.timeouts.first_byte));
            patience.with_target(span, route.timeouts.read, now);
        }
        true => patience.received(session.body_bytes_read() as u64),
        // Tunnels, and requests that are answered before they have been sent.
        false => patience.alive(now),
    }
    Ok(())
}
