//! What operators are answered.

use std::fmt::Display;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::{OrErr, Result};
use pingora_core::protocols::http::ServerSession;
use serde::Serialize;

use crate::observe::exposition;
use crate::problem::{self, Problem};

/// What a request is answered.
pub enum Answer {
    /// JSON.
    Json(Vec<u8>),
    /// The same, of what did not go well.
    Failed(Vec<u8>),
    /// Lines for people.
    Text(String),
    /// Lines for Prometheus.
    Metrics(String),
    /// A page for browsers, and what it may load and run (Content Security Policy, level 3).
    Page(Bytes, HeaderValue),
    /// Where to go.
    Elsewhere(&'static str),
    /// Why not.
    Denied(Denial),
}

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The status of the answer.
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub detail: String,
}

impl Denial {
    /// One with these.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Denial { status, code, detail: detail.into() }
    }

    fn to_json(&self) -> Vec<u8> {
        let Denial { status, code, detail } = self;
        Problem { status: *status, code, detail, instance: None, request_id: None }.to_json()
    }
}

impl Answer {
    /// JSON of `value`.
    pub fn of(value: &impl Serialize) -> Self {
        Answer::Json(json(value))
    }

    /// Lines for people where they are asked for, else JSON.
    pub fn as_asked<T: Serialize + Display>(headers: &HeaderMap, value: &T) -> Self {
        let accept = headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
        match accept.is_some_and(|accept| accept.starts_with(b"text/plain")) {
            true => Answer::Text(value.to_string()),
            false => Answer::of(value),
        }
    }

    fn parts(self) -> (StatusCode, &'static str, Bytes) {
        match self {
            Answer::Json(body) => (StatusCode::OK, "application/json", body.into()),
            Answer::Failed(body) => (StatusCode::UNPROCESSABLE_ENTITY, "application/json", body.into()),
            Answer::Text(text) => (StatusCode::OK, "text/plain; charset=utf-8", text.into()),
            Answer::Metrics(page) => (StatusCode::OK, exposition::MEDIA_TYPE, page.into()),
            Answer::Page(page, _) => (StatusCode::OK, "text/html; charset=utf-8", page),
            Answer::Elsewhere(_) => (StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::new()),
            Answer::Denied(denial) => (denial.status, problem::MEDIA_TYPE, denial.to_json().into()),
        }
    }
}

/// `value` as JSON.
pub fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Writes an answer.
///
/// # Errors
/// Nobody takes it.
pub async fn write(session: &mut ServerSession, answer: Answer) -> Result<()> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(8))?;
    match &answer {
        Answer::Page(_, policy) => head.insert_header(header::CONTENT_SECURITY_POLICY, policy.clone())?,
        Answer::Elsewhere(place) => head.insert_header(header::LOCATION, *place)?,
        _ => {}
    }
    let (status, content_type, body) = answer.parts();
    head.set_status(status)?;
    head.insert_header(header::CONTENT_LENGTH, body.len())?;
    if status == StatusCode::UNAUTHORIZED {
        head.insert_header(header::WWW_AUTHENTICATE, "Bearer realm=\"aegis admin\"")?;
    }
    common(&mut head, content_type)?;
    session.write_response_header(Box::new(head)).await?;
    if session.req_header().method != Method::HEAD && !body.is_empty() {
        session.write_response_body(body, true).await?;
    }
    Ok(())
}

/// Begins an answer that has no end of its own.
///
/// # Errors
/// Nobody takes it.
pub async fn begin(session: &mut ServerSession, content_type: &'static str) -> Result<()> {
    let mut head = ResponseHeader::build(StatusCode::OK, Some(6))?;
    head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    common(&mut head, content_type)?;
    session.write_response_header(Box::new(head)).await.or_err(pingora::ErrorType::WriteError, "a head")
}

fn common(head: &mut ResponseHeader, content_type: &'static str) -> Result<()> {
    head.insert_header(header::CONTENT_TYPE, content_type)?;
    head.insert_header(header::CACHE_CONTROL, "no-store")?;
    head.insert_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    head.insert_header(header::REFERRER_POLICY, "no-referrer")?;
    head.insert_header(header::X_FRAME_OPTIONS, "DENY")
}
