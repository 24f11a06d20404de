//! The admin listener: what operators see and do, apart from what clients reach.
//!
//! On loopback unless the config says otherwise, and then with a token. What runs there is guarded against pages
//! of other sites in an operator's browser (`guard`).

mod circuits;
mod explain;
mod guard;
mod keys;
mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use http::{HeaderValue, Method, Response, StatusCode, header};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use serde::Serialize;

use crate::endpoint::stats;
use crate::observe::exposition;
use crate::problem::{self, Problem};
use crate::reload::report::{Cause, Outcome};
use crate::shared::Shared;

/// The application behind the listener.
pub struct Admin {
    shared: Arc<Shared>,
    /// Whether only this machine can reach it.
    is_local: bool,
}

/// What a request is answered.
enum Answer {
    /// JSON.
    Json(Vec<u8>),
    /// The same, of what did not go well.
    Failed(Vec<u8>),
    /// Lines for people.
    Text(String),
    /// Lines for Prometheus.
    Metrics(String),
    /// Why not.
    Denied(Denial),
}

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    status: StatusCode,
    /// A stable word for programs.
    code: &'static str,
    /// A sentence for people.
    detail: String,
}

impl Denial {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Denial { status, code, detail: detail.into() }
    }
}

impl Answer {
    fn of(value: &impl Serialize) -> Self {
        Answer::Json(Answer::json(value))
    }

    fn json(value: &impl Serialize) -> Vec<u8> {
        serde_json::to_vec(value).unwrap_or_default()
    }
}

const OVERVIEW: &str = "\
GET  /stats                        routes and targets, as on the main port
GET  /metrics                      all that is counted, for Prometheus
GET  /keys                         the keys of tokens that are fetched
GET  /explain?request_id=ID        why a request went as it did that has ended not long ago
POST /explain                      how one would go, by the method, url, headers, ip and token in a JSON object
GET  /config                       what came of reading the config the last time
POST /reload                       reads it again
POST /circuits/open?target=URL     sends nothing more to a target
POST /circuits/close?target=URL    sends to it whatever comes of it
POST /circuits/reset?target=URL    lets its circuit decide again, from the beginning
";

impl Admin {
    /// One that listens there, for whoever knows the token of the config, if there is one; else for whoever is on this
    /// machine.
    pub fn new(shared: Arc<Shared>, listens: SocketAddr) -> Self {
        Admin { shared, is_local: listens.ip().is_loopback() }
    }

    async fn answer(&self, session: &mut ServerSession) -> Answer {
        let request = session.req_header();
        let snapshot = self.shared.snapshot.load_full();
        if !self.is_local && snapshot.admin_token.is_none() {
            // The config takes both away, the token and the address, and the address stays until the process ends.
            let why = "admin.tokenFile is gone from the config; write it again, or restart the gateway.";
            return Answer::Denied(Denial::new(StatusCode::FORBIDDEN, "token_unset", why));
        }
        if let Err(denial) = guard::admit(snapshot.admin_token.as_ref(), &request.method, &request.headers) {
            return Answer::Denied(denial);
        }
        let (path, query) = (request.uri.path(), request.uri.query().unwrap_or_default());
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        match (path, path.strip_prefix("/circuits/").and_then(circuits::Action::named)) {
            ("/", _) if reads => Answer::Text(OVERVIEW.to_owned()),
            ("/metrics", _) if reads => Answer::Metrics(metrics::page(&self.shared, Instant::now())),
            ("/keys", _) if reads => Answer::Json(keys::json(&snapshot)),
            ("/stats", _) if reads => Answer::Json(stats::json(&snapshot, self.shared.reloads.rejected()).into()),
            ("/config", _) if reads => Answer::of(&self.shared.reloads.last()),
            ("/reload", _) if request.method == Method::POST => match self.shared.reloads.ask(Cause::Admin).await {
                Some(report) if report.outcome == Outcome::Rejected => Answer::Failed(Answer::json(&report)),
                Some(report) => Answer::of(&report),
                None => Answer::Denied(Denial::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "draining",
                    "The process is about to end.",
                )),
            },
            ("/explain", _) if reads => {
                explain::past(query, &request.headers, &self.shared).unwrap_or_else(Answer::Denied)
            }
            ("/explain", _) if request.method == Method::POST => {
                explain::preview(session, &self.shared).await.unwrap_or_else(Answer::Denied)
            }
            (_, Some(action)) if request.method == Method::POST => {
                circuits::act(action, query, &snapshot, Instant::now()).map_or_else(Answer::Denied, Answer::Json)
            }
            ("/" | "/config" | "/explain" | "/keys" | "/metrics" | "/reload" | "/stats", _) | (_, Some(_)) => {
                Answer::Denied(Denial::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    "This is not done by that method; GET / lists what there is.",
                ))
            }
            _ => Answer::Denied(Denial::new(
                StatusCode::NOT_FOUND,
                "not_found",
                "There is no such thing here; GET / lists what there is.",
            )),
        }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let (status, content_type, body) = match self.answer(session).await {
            Answer::Json(body) => (StatusCode::OK, "application/json", body),
            Answer::Failed(body) => (StatusCode::UNPROCESSABLE_ENTITY, "application/json", body),
            Answer::Text(text) => (StatusCode::OK, "text/plain; charset=utf-8", text.into_bytes()),
            Answer::Metrics(page) => (StatusCode::OK, exposition::MEDIA_TYPE, page.into_bytes()),
            Answer::Denied(denial) => (denial.status, problem::MEDIA_TYPE, problem(&denial)),
        };
        let mut response = Response::new(Vec::new());
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        fields.insert(header::CONTENT_LENGTH, body.len().into());
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if status == StatusCode::UNAUTHORIZED {
            fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"aegis admin\""));
        }
        if session.req_header().method != Method::HEAD {
            *response.body_mut() = body;
        }
        response
    }
}

fn problem(denial: &Denial) -> Vec<u8> {
    let Denial { status, code, detail } = denial;
    Problem { status: *status, code, detail, instance: None, request_id: None }.to_json()
}
