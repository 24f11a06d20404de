//! The answer on the short way: each piece of it is judged and written before the next is read.

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::{Error, Result};
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_proxy::Session;
use tokio::task::unconstrained;

use crate::clock;
use crate::context::RequestCtx;
use crate::drain::Drain;
use crate::forward::{answered, receiving};
use crate::respond;

/// Pieces that are written together, if so many are there at once: mostly the head and all of the body.
const PIECES: usize = 4;

/// Nothing is added to so much before it is written.
const ENOUGH: usize = 16 * 1_024;

/// Writes what the target answers. Whether all of that has been read, which it need not be for the client to have all that it was
/// promised. If nothing can be read, the reason is why the request is `unsent`, where it is.
///
/// # Errors
/// The target does not answer, or its answer is not handed on, or not to its end.
pub async fn hand_on(
    session: &mut Session,
    ctx: &mut RequestCtx,
    (upstream, mut unsent): (&mut HttpSession, Option<Box<Error>>),
    drain: &Drain,
) -> Result<bool> {
    loop {
        let piece = next_piece(session, upstream, &mut unsent).await?;
        let mut pieces = Vec::with_capacity(PIECES);
        pieces.push(judge(piece, session, ctx, drain)?);
        while pieces.len() < PIECES
            && pieces.iter().map(length).sum::<usize>() < ENOUGH
            && !pieces.last().is_some_and(HttpTask::is_end)
            && let Some(piece) = unconstrained(upstream.read_response_task()).now_or_never()
        {
            pieces.push(match piece {
                Ok(piece) => judge(piece, session, ctx, drain)?,
                Err(error) => HttpTask::Failed(unsent.take().unwrap_or(error).into_up()),
            });
        }
        let is_read = pieces.last().is_some_and(HttpTask::is_end);
        // What ends with its length is whole when so much is written.
        if write(pieces, session, ctx).await? || is_read {
            return Ok(is_read);
        }
    }
}

/// Writes pieces to the client. Whether it has all that it was promised. The last ones of an answer in chunks, which may be all of
/// it, go at once: Pingora would send the head of such a one, each chunk, and the end as soon as it is written.
async fn write(pieces: Vec<HttpTask>, session: &mut Session, ctx: &RequestCtx) -> Result<bool> {
    let is_whole = pieces.last().is_some_and(|last| last.is_end() && !matches!(last, HttpTask::Failed(_)));
    let is_http1 = matches!(session.as_downstream(), ServerSession::H1(_));
    let Some(link) = ctx.link.as_deref().filter(|_| is_whole && is_http1 && may_be_in_chunks(&pieces, session, ctx))
    else {
        return session.write_response_tasks(pieces).await;
    };
    link.hold(true);
    let written = session.write_response_tasks(pieces).await;
    link.hold(false);
    written?;
    session.finish_body().await.map_err(|error| error.into_down())?;
    Ok(true)
}

/// Whether an answer goes in chunks. One that may be compressed on its way will, if it is.
fn may_be_in_chunks(pieces: &[HttpTask], session: &Session, ctx: &RequestCtx) -> bool {
    let head = pieces.iter().rev().find_map(|piece| match piece {
        HttpTask::Header(head, _) => Some(&**head),
        _ => None,
    });
    ctx.route.as_ref().is_some_and(|route| route.compression.is_some())
        || head.or(session.response_written()).is_some_and(|head| head.headers.contains_key(header::TRANSFER_ENCODING))
}

fn length(piece: &HttpTask) -> usize {
    match piece {
        HttpTask::Body(Some(data), _) => data.len(),
        _ => 0,
    }
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
fn judge(piece: HttpTask, session: &mut Session, ctx: &mut RequestCtx, drain: &Drain) -> Result<HttpTask> {
    let now = clock::now();
    match piece {
        HttpTask::Header(mut head, end) => {
            answered(session, &mut head, ctx, now)?;
            if !end {
                frame(&session.req_header().method, &mut head)?;
            }
            respond::pass_on(session, &mut head, ctx, drain)?;
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
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}
