//! `forwardAuth:`, a service that is asked about each request and decides.
//!
//! It gets the request's fields by GET, and its method and target in fields of their own; never its body. 2xx lets the
//! request pass; whatever else it says is what the client is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;
use serde_json::json;
use url::Url;

use super::{Plugin, Request};
use crate::config;
use crate::config::conceal::named;
use crate::downstream::headers::X_USER_ID;
use crate::downstream::hop_by_hop;
use crate::downstream::request_id::X_REQUEST_ID;
use crate::outbound::{self, Answer};
use crate::refusal::{Refusal, Verdict};

/// An answer is no longer.
const MOST_BYTES: usize = 64 * 1024;
/// What is about the body, about the way, or done anew.
const LEFT_OUT: [HeaderName; 8] = [
    header::ACCEPT_ENCODING,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// What of an answer goes to the client.
const HANDED_ON: [HeaderName; 4] =
    [header::WWW_AUTHENTICATE, header::LOCATION, header::SET_COOKIE, header::RETRY_AFTER];

/// Asks a service.
#[derive(Debug)]
pub struct ForwardAuth {
    url: Url,
    timeout: Duration,
    /// Fields of its answer that go upstream.
    response_headers: Vec<HeaderName>,
    is_down: AtomicBool,
}

impl ForwardAuth {
    /// As `config` says.
    pub fn new(config: &config::ForwardAuth) -> Self {
        let config::ForwardAuth { url, timeout, response_headers } = config.clone();
        ForwardAuth { url, timeout, response_headers, is_down: AtomicBool::new(false) }
    }

    async fn ask(&self, request: &Request<'_>) -> Result<Answer, String> {
        let question = question(&self.url, request).map_err(|error| error.to_string())?;
        match tokio::time::timeout(self.timeout, outbound::exchange(&self.url, question, None, MOST_BYTES)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    /// It is told once that the service is away, and once that it is back.
    fn tell(&self, trouble: Option<&str>) {
        let was_down = self.is_down.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(why) if !was_down => log::warn!("{}: {why}; requests that need it are refused", named(&self.url)),
            None if was_down => log::info!("{}: answers again", named(&self.url)),
            _ => {}
        }
    }
}

#[async_trait]
impl Plugin for ForwardAuth {
    fn name(&self) -> &'static str {
        "forwardAuth"
    }

    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        let asked = self.ask(request).await;
        self.tell(asked.as_ref().err().map(String::as_str));
        request.notes.explain(|| {
            let (url, said) =
                (named(&self.url), asked.as_ref().map(|answer| answer.status.as_u16()).map_err(Clone::clone));
            move || match &said {
                Ok(status) => json!({ "asked": url, "status": status }),
                Err(why) => json!({ "asked": url, "error": why }),
            }
        });
        let answer = asked.map_err(|_| Refusal::AuthUnavailable)?;
        match answer.status.as_u16() {
            200..=299 => {
                for name in &self.response_headers {
                    let value = answer.headers.get(name).cloned().filter(|value| !value.is_empty());
                    let Some(value) = value else { continue };
                    match *name == X_USER_ID {
                        true => request.notes.user_id = Some(value),
                        false => request.notes.upstream.push((name.clone(), value)),
                    }
                }
                Ok(())
            }
            // These are about conditions of the question, which is not the client's.
            0..=199 | 304 => Err(Refusal::AuthUnavailable),
            _ => Err(Refusal::Denied(Box::new(verdict(answer)))),
        }
    }

    async fn preview(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        // Whoever is asked may well count.
        let url = named(&self.url);
        request.notes.explain(|| move || json!({ "notAsked": url }));
        Ok(())
    }
}

/// What is asked about a request.
fn question(url: &Url, request: &Request<'_>) -> pingora::Result<RequestHeader> {
    let mut fields: HeaderMap = request.headers.clone();
    hop_by_hop::strip(&mut fields);
    LEFT_OUT.iter().for_each(|name| drop(fields.remove(name)));
    let mut question = RequestHeader::build("GET", outbound::target(url).as_bytes(), Some(fields.len() + 8))?;
    for (name, value) in &fields {
        question.append_header(name.clone(), value.clone())?;
    }
    for (name, value) in &request.notes.upstream {
        question.insert_header(name, value.clone())?;
    }
    if let Some(user_id) = &request.notes.user_id {
        question.insert_header(X_USER_ID.clone(), user_id.clone())?;
    }
    // What a trusted proxy says stands; from anybody else it has been taken.
    if let Some(host) = request.headers.get(header::HOST).filter(|_| !fields.contains_key("x-forwarded-host")) {
        question.insert_header("x-forwarded-host", host.clone())?;
    }
    question.insert_header(X_REQUEST_ID.clone(), request.id.clone())?;
    question.insert_header("x-forwarded-method", request.method.as_str())?;
    question.insert_header("x-forwarded-proto", HeaderValue::from_static(request.scheme))?;
    question.insert_header("x-forwarded-for", request.client_ip.to_string())?;
    question.insert_header("x-forwarded-uri", uri(request))?;
    Ok(question)
}

/// The request's target, without a token in it.
fn uri(request: &Request<'_>) -> Vec<u8> {
    let query = request.query.and_then(|query| request.notes.visible_query(query));
    query.map_or_else(|| request.path.into(), |query| [request.path.as_bytes(), b"?", &query].concat())
}

fn verdict(answer: Answer) -> Verdict {
    let Answer { status, mut headers, body } = answer;
    hop_by_hop::strip(&mut headers);
    let fields = headers.iter().filter(|(name, _)| HANDED_ON.contains(name));
    let fields = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    let plain = HeaderValue::from_static("application/octet-stream");
    Verdict { status, content_type: headers.get(header::CONTENT_TYPE).cloned().unwrap_or(plain), fields, body }
}
