//! Every answer that the gateway gives itself: refusals, failures, and its own endpoints.
//!
//! Refusals and failures are problem documents (RFC 9457) with a stable code, also in `x-gateway-error`.
//! An upstream's own answer never comes through here.

mod grpc;
mod route;
mod target;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::{ErrorType, OrErr, Result};
use pingora_proxy::Session;

use crate::context::RequestCtx;
use crate::downstream::request_id::X_REQUEST_ID;
use crate::downstream::{answer, headers};
use crate::failure::Failure;
use crate::plugin::answers::Asked;
use crate::problem::{MEDIA_TYPE, Problem};
use crate::refusal::{Refusal, Verdict};

pub use self::grpc::is_spoken as is_grpc;
pub use self::route::in_place_of_target;
pub use self::target::{pass_on, send_away_if_draining};

static X_GATEWAY_ERROR: HeaderName = HeaderName::from_static("x-gateway-error");

/// A request body up to this size is read to its end after an early answer, so that the connection stays
/// usable; a larger one is not worth it and the connection closes.
const DRAINED_BODY_BYTES: u64 = 256 * 1024;

/// See [`hear_out`].
const HEAR_OUT: Duration = Duration::from_secs(1);

/// Answers with a refusal.
///
/// # Errors
/// The client cannot be written to.
pub async fn refuse(session: &mut Session, ctx: &mut RequestCtx, refusal: &Refusal) -> Result<()> {
    if let Refusal::Malformed(_) = refusal {
        // Where the next request would begin is anybody's guess.
        session.set_keepalive(None);
    }
    if let Refusal::Denied(verdict) = refusal {
        ctx.code = Some(refusal.code());
        let Verdict { status, content_type, fields, body } = verdict.as_ref();
        let code = (X_GATEWAY_ERROR.clone(), HeaderValue::from_static(refusal.code()));
        let fields = fields.iter().cloned().chain([code]);
        return send(session, ctx, *status, Some(content_type.clone()), fields, body.clone()).await;
    }
    if *refusal == Refusal::Preflight {
        return send(session, ctx, refusal.status(), None, None, Bytes::new()).await;
    }
    problem(session, ctx, refusal.status(), refusal.code(), &refusal.detail(), refusal.header()).await
}

/// Answers with a failure, if there is anybody to be answered. Gives the status for the log.
pub async fn fail(session: &mut Session, ctx: &mut RequestCtx, failure: Failure) -> u16 {
    ctx.code = Some(failure.code());
    let begun = session.response_written().is_some_and(|response| !response.status.is_informational());
    if begun || failure == Failure::ClientGone {
        return failure.status();
    }
    // Pingora closes the connection after an error, whatever the answer says.
    session.set_keepalive(None);
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // What could not be written, the log line tells.
    let _ = problem(session, ctx, status, failure.code(), failure.detail(), None).await;
    failure.status()
}

async fn problem(
    session: &mut Session,
    ctx: &mut RequestCtx,
    status: StatusCode,
    code: &'static str,
    detail: &str,
    extra: Option<(HeaderName, HeaderValue)>,
) -> Result<()> {
    ctx.code = Some(code);
    if grpc::is_spoken(session.req_header()) {
        return refuse_grpc(session, ctx, status, code, detail).await;
    }
    let body = document(status, code, detail, session.req_header().uri.path(), ctx.request_id.to_str().unwrap_or("-"));
    let code = (X_GATEWAY_ERROR.clone(), HeaderValue::from_static(code));
    let fields = std::iter::once(code).chain(extra);
    send(session, ctx, status, Some(HeaderValue::from_static(MEDIA_TYPE)), fields, body.into()).await
}

/// The status of HTTP is 200 then; the log and the counts have the one that was meant.
async fn refuse_grpc(
    session: &mut Session,
    ctx: &mut RequestCtx,
    status: StatusCode,
    code: &'static str,
    detail: &str,
) -> Result<()> {
    ctx.meant = Some(status.as_u16());
    let mut response = ResponseHeader::build(StatusCode::OK, Some(6))?;
    response.insert_header(header::CONTENT_TYPE, grpc::MEDIA_TYPE)?;
    response.insert_header(X_GATEWAY_ERROR.as_str(), HeaderValue::from_static(code))?;
    decorate(session, &mut response, By::Gateway, ctx)?;
    session.write_response_header(Box::new(response), false).await?;
    session.as_downstream_mut().write_response_trailers(grpc::trailers(status, detail)).await?;
    hear_out(session).await;
    Ok(())
}

fn document(status: StatusCode, code: &str, detail: &str, instance: &str, request_id: &str) -> Vec<u8> {
    Problem { status, code, detail, instance: Some(instance), request_id: Some(request_id) }.to_json()
}

/// The whole answer to bytes that are no request, ready to be written. The connection is of no use after
/// it: where a next request would begin is anybody's guess.
pub fn bad_request(failure: Failure, request_id: &str) -> Vec<u8> {
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = document(status, failure.code(), failure.detail(), "/", request_id);
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         {}: {request_id}\r\n{}: {}\r\ndate: {}\r\nconnection: close\r\n\r\n",
        status.as_str(),
        status.canonical_reason().unwrap_or("Error"),
        body.len(),
        X_REQUEST_ID.as_str(),
        X_GATEWAY_ERROR.as_str(),
        failure.code(),
        httpdate::fmt_http_date(SystemTime::now()),
    );
    [head.into_bytes(), body].concat()
}

/// Answers with `body`, if there is a type of it, with `fields`, and with what belongs to every answer.
///
/// # Errors
/// The client cannot be written to.
pub async fn send(
    session: &mut Session,
    ctx: &RequestCtx,
    status: StatusCode,
    content_type: Option<HeaderValue>,
    fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    body: Bytes,
) -> Result<()> {
    let mut response = ResponseHeader::build(status, Some(12))?;
    let bodiless = content_type.is_none() || session.req_header().method == Method::HEAD;
    if let Some(content_type) = content_type {
        response.insert_header(header::CONTENT_TYPE, content_type)?;
        response.insert_header(header::CONTENT_LENGTH, body.len())?;
        response.insert_header(header::CACHE_CONTROL, "no-store")?;
    }
    for (name, value) in fields {
        response.append_header(name, value)?;
    }
    decorate(session, &mut response, By::Gateway, ctx)?;
    keep_connection_if_cheap(session);
    session.write_response_header(Box::new(response), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(body), true).await?;
    }
    hear_out(session).await;
    Ok(())
}

/// Reads on for a moment what a client of HTTP/2 still sends that has been answered: to end its stream at once might
/// overtake the answer. Over HTTP/1.1 the connection sees to that.
async fn hear_out(session: &mut Session) {
    if session.req_header().version == Version::HTTP_2 {
        let downstream = session.as_downstream_mut();
        downstream.set_total_drain_timeout(Some(HEAR_OUT));
        // Whoever is still at it by then has had the time to hear the answer.
        let _ = downstream.drain_request_body().await;
    }
}

/// Who gives an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The gateway.
    Gateway,
    /// The route, in place of an upstream.
    Route,
    /// An upstream.
    Upstream,
}

/// Adds what every answer carries, whoever gives it: the request id, what plugins noted, and what they make of answers.
///
/// # Errors
/// Should the header map refuse a field, which it does at tens of thousands.
fn decorate(session: &Session, response: &mut ResponseHeader, by: By, ctx: &RequestCtx) -> Result<()> {
    let is_last = !response.status.is_informational();
    let answers = ctx.route.as_ref().and_then(|route| route.answers.as_ref()).filter(|_| is_last);
    let added = answer::edit(response, |fields| {
        fields.try_insert(&X_REQUEST_ID, ctx.request_id.clone())?;
        ctx.notes.answer.iter().try_for_each(|(name, value)| match *name {
            // Each of them is another one (RFC 6265, section 3).
            header::SET_COOKIE => fields.try_append(name, value.clone()).map(drop),
            _ => fields.try_insert(name, value.clone()).map(drop),
        })?;
        let Some(answers) = answers else { return Ok(()) };
        let request = session.req_header();
        let scheme = ctx.link.as_ref().map_or("http", |link| link.entrance.scheme());
        let asked = Asked {
            method: &request.method,
            headers: &request.headers,
            by_https: headers::scheme(&request.headers, ctx.from_trusted, scheme) == "https",
            is_own: by == By::Gateway,
        };
        answers.dress(&asked, fields)
    });
    added.or_err(ErrorType::InvalidHTTPHeader, "too many header fields in an answer")
}

/// The answer comes before the body was read. A small body is read and thrown away afterwards; with a
/// large one, or one of unknown size or that may not come, the connection closes.
fn keep_connection_if_cheap(session: &mut Session) {
    if session.get_keepalive().is_none() {
        return;
    }
    if session.req_header().headers.contains_key(header::EXPECT) {
        // Who waits for a 100 and gets this may leave the body out (RFC 9110, section 10.1.1).
        return session.set_keepalive(None);
    }
    let length = session
        .req_header()
        .headers
        .get(header::CONTENT_LENGTH)
        .map(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(Some(0..=DRAINED_BODY_BYTES)) = length {
        session.as_downstream_mut().set_close_on_response_before_downstream_finish(false);
        session.as_downstream_mut().set_total_drain_timeout(Some(Duration::from_secs(5)));
    }
}
