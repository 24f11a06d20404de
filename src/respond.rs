//! Every answer that the gateway gives itself: refusals, failures, and its own endpoints.
//!
//! Refusals and failures are problem documents (RFC 9457) with a stable code, also in `x-gateway-error`.
//! An upstream's own answer never comes through here.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;
use serde::Serialize;

use crate::context::RequestCtx;
use crate::downstream::request_id::X_REQUEST_ID;
use crate::refusal::Refusal;

const PROBLEM_JSON: &str = "application/problem+json";
const X_GATEWAY_ERROR: HeaderName = HeaderName::from_static("x-gateway-error");

/// A request body up to this size is read to its end after an early answer, so that the connection stays
/// usable; a larger one is not worth it and the connection closes.
const DRAINED_BODY_BYTES: u64 = 256 * 1024;

/// What broke while a request was forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection to any target came about.
    Connect,
    /// A target took too long.
    Timeout,
    /// The connection to a target broke before it had answered.
    Reset,
    /// What a target answered is no HTTP.
    BadAnswer,
    /// The client's request turned out to be broken.
    BadRequest,
    /// The client took too long to send its request.
    SlowRequest,
    /// The client is gone; nobody is there to be answered.
    ClientGone,
    /// Our own fault.
    Internal,
}

impl Failure {
    /// What `error` means to the client.
    pub fn of(error: &Error) -> Self {
        use ErrorType as T;
        match (error.esource(), error.etype()) {
            (
                ErrorSource::Upstream,
                T::ConnectTimedout | T::TLSHandshakeTimedout | T::ReadTimedout | T::WriteTimedout,
            ) => Failure::Timeout,
            (ErrorSource::Upstream, T::ReadError | T::WriteError | T::ConnectionClosed) => Failure::Reset,
            (ErrorSource::Upstream, T::InvalidHTTPHeader | T::H1Error | T::H2Error | T::InvalidH2) => {
                Failure::BadAnswer
            }
            (ErrorSource::Upstream, T::InternalError) => Failure::Internal,
            (ErrorSource::Upstream, _) => Failure::Connect,
            (ErrorSource::Downstream, T::ReadError | T::WriteError | T::WriteTimedout | T::ConnectionClosed) => {
                Failure::ClientGone
            }
            (ErrorSource::Downstream, T::ReadTimedout) => Failure::SlowRequest,
            (ErrorSource::Downstream, _) => Failure::BadRequest,
            (ErrorSource::Internal | ErrorSource::Unset, T::WriteError | T::WriteTimedout) => Failure::ClientGone,
            (ErrorSource::Internal | ErrorSource::Unset, _) => Failure::Internal,
        }
    }

    /// The status of the answer; for [`Failure::ClientGone`], which has none, what the log says (as nginx does).
    pub fn status(self) -> u16 {
        match self {
            Failure::Connect | Failure::Reset | Failure::BadAnswer => 502,
            Failure::Timeout => 504,
            Failure::BadRequest => 400,
            Failure::SlowRequest => 408,
            Failure::ClientGone => 499,
            Failure::Internal => 500,
        }
    }

    /// The stable word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Failure::Connect => "upstream_connect_failed",
            Failure::Timeout => "upstream_timeout",
            Failure::Reset => "upstream_reset",
            Failure::BadAnswer => "upstream_bad_answer",
            Failure::BadRequest => "bad_request",
            Failure::SlowRequest => "request_timeout",
            Failure::ClientGone => "client_gone",
            Failure::Internal => "internal_error",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Failure::Connect => "No connection to a target of this route could be made.",
            Failure::Timeout => "The target took too long to answer.",
            Failure::Reset => "The target closed the connection before it had answered.",
            Failure::BadAnswer => "The target's answer is not valid HTTP.",
            Failure::BadRequest => "The request is not valid HTTP.",
            Failure::SlowRequest => "The request took too long to arrive.",
            Failure::ClientGone => "The client has closed the connection.",
            Failure::Internal => "Something went wrong in the gateway.",
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'p> {
    r#type: String,
    title: &'p str,
    status: u16,
    detail: &'p str,
    instance: &'p str,
    code: &'p str,
    request_id: &'p str,
}

/// Answers with a refusal.
///
/// # Errors
/// The client cannot be written to.
pub async fn refuse(session: &mut Session, ctx: &mut RequestCtx, refusal: &Refusal) -> Result<()> {
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
    let body = document(status, code, detail, session.req_header().uri.path(), ctx.request_id.to_str().unwrap_or("-"));
    let code = (X_GATEWAY_ERROR, HeaderValue::from_static(code));
    let fields = std::iter::once(code).chain(extra);
    send(session, ctx, status, PROBLEM_JSON, fields, body.into()).await
}

fn document(status: StatusCode, code: &str, detail: &str, instance: &str, request_id: &str) -> Vec<u8> {
    let problem = Problem {
        r#type: format!("urn:aegis:problem:{code}"),
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail,
        instance,
        code,
        request_id,
    };
    serde_json::to_vec(&problem).unwrap_or_default()
}

/// The whole answer to bytes that are no request, ready to be written. The connection is of no use after
/// it: where a next request would begin is anybody's guess.
pub fn bad_request(request_id: &str) -> Vec<u8> {
    let failure = Failure::BadRequest;
    let body = document(StatusCode::BAD_REQUEST, failure.code(), failure.detail(), "/", request_id);
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         {X_REQUEST_ID}: {request_id}\r\n{X_GATEWAY_ERROR}: {}\r\ndate: {}\r\nconnection: close\r\n\r\n",
        body.len(),
        failure.code(),
        httpdate::fmt_http_date(SystemTime::now()),
    );
    [head.into_bytes(), body].concat()
}

/// Answers with `body`, `fields`, and what belongs to every answer.
///
/// # Errors
/// The client cannot be written to.
pub async fn send(
    session: &mut Session,
    ctx: &RequestCtx,
    status: StatusCode,
    content_type: &'static str,
    fields: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    body: Bytes,
) -> Result<()> {
    let mut response = ResponseHeader::build(status, Some(12))?;
    response.insert_header(header::CONTENT_TYPE, content_type)?;
    response.insert_header(header::CONTENT_LENGTH, body.len())?;
    response.insert_header(header::CACHE_CONTROL, "no-store")?;
    decorate(&mut response, ctx)?;
    for (name, value) in fields {
        response.insert_header(name, value)?;
    }
    keep_connection_if_cheap(session);
    let bodiless = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(response), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}

/// Adds what every answer carries, whoever gives it: the request id and what plugins noted.
///
/// # Errors
/// Should the header map refuse a field, which it does at tens of thousands.
pub fn decorate(response: &mut ResponseHeader, ctx: &RequestCtx) -> Result<()> {
    response.insert_header(X_REQUEST_ID, ctx.request_id.clone())?;
    for (name, value) in &ctx.notes.answer {
        response.insert_header(name.clone(), value.clone())?;
    }
    Ok(())
}

/// The answer comes before the body was read. A small body is read and thrown away afterwards; with a
/// large one, or one of unknown size, the connection closes.
fn keep_connection_if_cheap(session: &mut Session) {
    let length = session
        .req_header()
        .headers
        .get(header::CONTENT_LENGTH)
        .map(|length| length.to_str().ok()?.parse::<u64>().ok());
    if let Some(Some(0..=DRAINED_BODY_BYTES)) = length {
        session.as_downstream_mut().set_close_on_response_before_downstream_finish(false);
        session.as_downstream_mut().set_total_drain_timeout(Some(std::time::Duration::from_secs(5)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_the_failure_that_the_client_should_hear_of() {
        use ErrorSource::{Downstream, Internal, Unset, Upstream};
        for (source, etype, failure) in [
            (Upstream, ErrorType::ConnectRefused, Failure::Connect),
            (Upstream, ErrorType::ConnectTimedout, Failure::Timeout),
            (Upstream, ErrorType::ReadTimedout, Failure::Timeout),
            (Upstream, ErrorType::ConnectionClosed, Failure::Reset),
            (Upstream, ErrorType::ReadError, Failure::Reset),
            (Upstream, ErrorType::InvalidHTTPHeader, Failure::BadAnswer),
            (Upstream, ErrorType::InternalError, Failure::Internal),
            (Downstream, ErrorType::ConnectionClosed, Failure::ClientGone),
            (Downstream, ErrorType::ReadTimedout, Failure::SlowRequest),
            (Downstream, ErrorType::InvalidHTTPHeader, Failure::BadRequest),
            (Unset, ErrorType::WriteError, Failure::ClientGone),
            (Internal, ErrorType::InternalError, Failure::Internal),
        ] {
            let mut error = Error::new(etype);
            error.esource = source;
            assert_eq!(Failure::of(&error), failure, "{error}");
        }
    }

    #[test]
    fn every_failure_has_its_own_code_and_says_something() {
        use Failure as F;
        let all =
            [F::Connect, F::Timeout, F::Reset, F::BadAnswer, F::BadRequest, F::SlowRequest, F::ClientGone, F::Internal];
        let statuses = all.map(F::status);
        assert_eq!(statuses, [502, 504, 502, 502, 400, 408, 499, 500]);
        let codes: std::collections::HashSet<&str> = all.iter().map(|failure| failure.code()).collect();
        assert_eq!(codes.len(), all.len());
        assert!(all.iter().all(|failure| failure.detail().ends_with('.')));
    }
}
