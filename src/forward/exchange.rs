//! The short way: a request that has come whole, to a target of HTTP/1.1.
//!
//! Pingora drives both directions of a request side by side, with a queue each way between them, since either side may have
//! something to say at any time. Of a request that has no body, or one that came with its head, nothing is left to be waited for
//! but the answer, of which each piece is written before the next is read. What decides is asked in the order of Pingora's hooks
//! ([`crate::gateway`]), and connections are read and written by Pingora; what is not so simple is left to it.

mod answer;

use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Version, header};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_proxy::Session;
use tokio::task::unconstrained;

use super::{begin, broke, connect_failed, connected, next_hop, nobody, sending};
use crate::clock;
use crate::config::units::Scheme;
use crate::context::RequestCtx;
use crate::downstream::hop_by_hop;
use crate::drain::Drain;
use crate::gathered::Gathered;
use crate::upstream::keepalive::Keepalive;
use crate::upstream::peer::Hop;

/// A longer body takes its time, or is more than the system takes of it at once.
const SHORT: usize = 16 * 1_024;

/// Sends the request to its target, and to others if it may go out again, until one's answer has been written. `false`: the rest
/// is not so simple, and what comes next is for Pingora.
///
/// # Errors
/// Why the last attempt failed.
pub async fn exchange(session: &mut Session, ctx: &mut RequestCtx, by: &Keepalive, drain: &Drain) -> Result<bool> {
    if !is_plain(ctx) {
        return Ok(false);
    }
    let body = match whole_body(session).await {
        Ok(Some(body)) => body,
        Ok(None) => return Ok(false),
        Err(error) => return Err(broke(session, ctx, error.into_down(), false, clock::now())),
    };
    loop {
        // What has been done so far is nothing that the target has taken.
        let now = clock::read();
        let hop = next_hop(session, ctx, now)?;
        if !is_plain(ctx) {
            ctx.chosen = Some(hop);
            return Ok(false);
        }
        match attempt(session, ctx, (&body, by, hop, now), drain).await {
            Ok(()) => return Ok(true),
            Err(error) if error.retry() => {}
            Err(error) => return Err(error),
        }
    }
}

/// The body of the request, if nothing more is to come from the client. Else what has been read of it is kept for Pingora.
///
/// # Errors
/// The client is gone.
async fn whole_body(session: &mut Session) -> Result<Option<Bytes>> {
    if session.req_header().headers.contains_key(header::UPGRADE) {
        return Ok(None);
    }
    if session.is_body_empty() {
        return Ok(Some(Bytes::new()));
    }
    let length = session.req_header().headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_none_or(|length| length > SHORT) {
        return Ok(None);
    }
    session.as_mut().enable_retry_buffering();
    while !session.is_body_done() {
        let read = unconstrained(session.read_request_body()).now_or_never().transpose()?;
        // Where nothing more comes of what is not done, trailers do (RFC 9113, section 8.1).
        let is_more = read.is_some_and(|data| data.is_some());
        if !is_more && !session.is_body_done() {
            return Ok(None);
        }
    }
    Ok(session.as_ref().get_retry_buffer())
}

/// Whether the target of the attempt speaks HTTP/1.1, without TLS, in which that would be found out first.
fn is_plain(ctx: &RequestCtx) -> bool {
    ctx.attempt.as_ref().is_some_and(|attempt| attempt.member().target.url.scheme == Scheme::Http)
}

async fn attempt(
    session: &mut Session,
    ctx: &mut RequestCtx,
    (body, keepalive, hop, now): (&Bytes, &Keepalive, Hop, Instant),
    drain: &Drain,
) -> Result<()> {
    let (Some(route), Some(to)) = (ctx.route.clone(), &ctx.attempt) else { return Err(nobody()) };
    let (target, kind) = (to.member().target.clone(), route.peers.kind(&hop));
    let (mut upstream, reused) = match keepalive.reuse(&target.idle, kind, now) {
        Some(upstream) => (upstream, true),
        // It needs much room, and seldom happens.
        None => match Box::pin(async { keepalive.connect(&route.peers.at(&target.url, &hop)).await }).await {
            Ok(upstream) => (upstream, false),
            Err(mut error) => {
                error.as_up();
                return Err(connect_failed(session, ctx, error, clock::now()).into_up());
            }
        },
    };
    connected(ctx, reused, clock::read);
    // How long it may be silent is known to the connection of the client, which is listened to meanwhile.
    upstream.write_timeout = Some(route.peers.write_timeout(&hop));
    match send_and_hand_on(session, ctx, (body, &mut upstream), drain).await {
        Ok(is_reusable) => {
            if is_reusable {
                keepalive.release(upstream, &target.idle, kind, route.peers.idle(), clock::now()).await;
            }
            Ok(())
        }
        Err(error) => Err(broke(session, ctx, error, reused, clock::now())),
    }
}

/// Whether all of the request has been sent and all of the answer been read: the connection may be of use to others.
async fn send_and_hand_on(
    session: &mut Session,
    ctx: &mut RequestCtx,
    (body, upstream): (&Bytes, &mut HttpSession),
    drain: &Drain,
) -> Result<bool> {
    let mut head = head_of(session.req_header())?;
    begin(session, &mut head, ctx, clock::now())?;
    if !body.is_empty() && !head.headers.contains_key(header::CONTENT_LENGTH) {
        // The client has said that it is for us alone, or the config takes it out.
        head.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    Gathered::hold(upstream.stream(), !body.is_empty());
    upstream.write_request_header(Box::new(head)).await.map_err(|error| error.into_up())?;
    Gathered::hold(upstream.stream(), false);
    sending(session, Some(body).filter(|body| !body.is_empty()), true, ctx, clock::now())?;
    // Who takes no more of it may have answered.
    let unsent = send_body(body, upstream).await.err();
    let is_sent = unsent.is_none();
    Ok(answer::hand_on(session, ctx, (upstream, unsent), drain).await? && is_sent)
}

/// What is sent on of a request, before anything is added to it. Names are written as Pingora knows them, not as the client spelled
/// them: they mean the same (RFC 9110, section 5.1), and nothing is looked up or copied for it.
fn head_of(request: &RequestHeader) -> Result<RequestHeader> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = request.method.clone();
    parts.uri = request.uri.clone();
    parts.headers = request.headers.clone();
    // Whatever the client speaks.
    parts.version = Version::HTTP_11;
    hop_by_hop::strip_request(&mut parts.headers);
    let mut head = RequestHeader::from(parts);
    if !request.raw_path_is_utf8() {
        head.set_raw_path(request.raw_path())?;
    }
    Ok(head)
}

async fn send_body(body: &Bytes, upstream: &mut HttpSession) -> Result<()> {
    if !body.is_empty() {
        upstream.write_body(body).await?;
        upstream.finish_body().await?;
    }
    Ok(())
}
