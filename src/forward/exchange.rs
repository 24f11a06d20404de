//! The short way: a request that has come whole, to a target of HTTP/1.1.
//!
//! Pingora drives both directions of a request side by side, with a queue each way between them, since either side may have
//! something to say at any time. Of a request that has no body, or one that came with its head, nothing is left to be waited for
//! but the answer, of which each piece is written before the next is read. What decides is asked in the order of Pingora's hooks
//! ([`crate::gateway`]), and connections are read and written by Pingora; what is not so simple is left to it.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, Result};
use pingora_core::connectors::http::v1::Connector;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_proxy::Session;
use tokio::task::unconstrained;

use super::{answered, begin, broke, connect_failed, connected, next_peer, receiving, sending};
use crate::clock;
use crate::config::units::Scheme;
use crate::context::RequestCtx;
use crate::downstream::hop_by_hop;

/// Pieces of an answer that are written together, if so many are there at once: mostly its head and all of its body.
const PIECES: usize = 4;

/// No more is added to so much of an answer before it is written. And a longer body of a request takes its time, or is more than the
/// system takes of it at once.
const SHORT: usize = 16 * 1_024;

/// What the gateway makes of the head of a target's answer before it is written.
pub trait Dress: Fn(&mut Session, &mut ResponseHeader, &mut RequestCtx) -> Result<()> + Sync {}
impl<F: Fn(&mut Session, &mut ResponseHeader, &mut RequestCtx) -> Result<()> + Sync> Dress for F {}

/// Sends the request to its target, and to others if it may go out again, until one's answer has been written. `false`: the rest
/// is not so simple, and what comes next is for Pingora.
///
/// # Errors
/// Why the last attempt failed.
pub async fn exchange(session: &mut Session, ctx: &mut RequestCtx, by: &Connector, dress: impl Dress) -> Result<bool> {
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
        let peer = next_peer(session, ctx, clock::read())?;
        if !is_plain(ctx) {
            ctx.chosen = Some(peer);
            return Ok(false);
        }
        match attempt(session, ctx, (&body, by, &peer), &dress).await {
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
        match unconstrained(session.read_request_body()).now_or_never() {
            Some(read) => drop(read?),
            None => return Ok(None),
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
    (body, connector, peer): (&Bytes, &Connector, &HttpPeer),
    dress: &impl Dress,
) -> Result<()> {
    let (mut upstream, reused) = match connector.reused_http_session(peer).await {
        Some(upstream) => (upstream, true),
        // It needs much room, and seldom happens.
        None => match Box::pin(connector.get_http_session(peer)).await {
            Ok(found) => found,
            Err(mut error) => {
                error.as_up();
                return Err(connect_failed(session, ctx, error, clock::now()).into_up());
            }
        },
    };
    connected(ctx, reused, clock::read);
    // How long it may be silent is known to the connection of the client, which is listened to meanwhile.
    upstream.write_timeout = peer.options.write_timeout;
    match send_and_hand_on(session, ctx, (body, &mut upstream), dress).await {
        Ok(is_reusable) => {
            if is_reusable {
                connector.release_http_session(upstream, peer, peer.idle_timeout()).await;
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
    dress: &impl Dress,
) -> Result<bool> {
    let mut head = head_of(session.req_header())?;
    begin(session, &mut head, ctx, clock::now())?;
    upstream.write_request_header(Box::new(head)).await.map_err(|error| error.into_up())?;
    sending(session, Some(body).filter(|body| !body.is_empty()), true, ctx, clock::now())?;
    // Who takes no more of it may have answered.
    let mut unsent = send_body(body, upstream).await.err();
    let is_sent = unsent.is_none();
    loop {
        let piece = next_piece(session, upstream, &mut unsent).await?;
        let mut pieces = Vec::with_capacity(PIECES);
        pieces.push(judge(piece, session, ctx, dress)?);
        while pieces.len() < PIECES
            && pieces.iter().map(length).sum::<usize>() < SHORT
            && !pieces.last().is_some_and(HttpTask::is_end)
            && let Some(piece) = unconstrained(upstream.read_response_task()).now_or_never()
        {
            pieces.push(match piece {
                Ok(piece) => judge(piece, session, ctx, dress)?,
                Err(error) => HttpTask::Failed(unsent.take().unwrap_or(error).into_up()),
            });
        }
        let is_read = pieces.last().is_some_and(HttpTask::is_end);
        // What ends with its length is whole when so much is written.
        if session.write_response_tasks(pieces).await? || is_read {
            return Ok(is_read && is_sent);
        }
    }
}

fn length(piece: &HttpTask) -> usize {
    match piece {
        HttpTask::Body(Some(data), _) => data.len(),
        _ => 0,
    }
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

/// What the target says next. Meanwhile it is listened for that the client leaves, or that it has all taken too long.
async fn next_piece(
    session: &mut Session,
    upstream: &mut HttpSession,
    unsent: &mut Option<Box<Error>>,
) -> Result<HttpTask> {
    tokio::select! {
        // Whoever is first to be asked is heard however much the other has to say.
        biased;
        said = session.downstream_session.read_body_or_idle(true) => Err(no_more_was_due(said)),
        piece = upstream.read_response_task() => piece.map_err(|error| unsent.take().unwrap_or(error).into_up()),
    }
}

/// Of a request whose end has been read only that can be read that there is no more.
fn no_more_was_due(said: Result<Option<Bytes>>) -> Box<Error> {
    let error = said.err().unwrap_or_else(|| Error::new(pingora::ErrorType::ConnectionClosed));
    error.into_down()
}

/// Has a piece of an answer looked at by whoever decides about it, as it goes by.
fn judge(piece: HttpTask, session: &mut Session, ctx: &mut RequestCtx, dress: &impl Dress) -> Result<HttpTask> {
    let now = clock::now();
    match piece {
        HttpTask::Header(mut head, end) => {
            answered(session, &mut head, ctx, now)?;
            if !end {
                frame(&session.req_header().method, &mut head)?;
            }
            dress(session, &mut head, ctx)?;
            Ok(HttpTask::Header(head, end))
        }
        HttpTask::Body(data, end) => {
            receiving(session, ctx, end, now);
            Ok(HttpTask::Body(data, end))
        }
        other => Ok(other),
    }
}

/// An answer whose end is that of its connection is sent on in chunks, so that that to the client can stay.
fn frame(method: &Method, head: &mut ResponseHeader) -> Result<()> {
    let has_none = *method == Method::HEAD
        || head.status.is_informational()
        || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let says = |fields: &HeaderMap| {
        fields.contains_key(header::CONTENT_LENGTH) || fields.contains_key(header::TRANSFER_ENCODING)
    };
    if !has_none && !says(&head.headers) {
        head.set_version(Version::HTTP_11);
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}
