//! The admin listener: what operators see and do, apart from what clients reach.
//!
//! On loopback unless the config says otherwise, and then for those who show a token or a certificate (`guard`); to look and to
//! change something are two rights.

mod answer;
mod circuits;
mod dashboard;
mod explain;
mod guard;
mod keys;
mod listener;
mod live;
mod metrics;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};
use pingora::Result;
use pingora_core::protocols::http::ServerSession;

use self::answer::{Answer, Denial, json};
use self::guard::Right;
use self::live::Live;
use self::waiting::Waiting;
use crate::endpoint::stats;
use crate::reload::report::{Cause, Outcome};
use crate::shared::Shared;
use crate::tls::client::ClientCertificate;

/// Connections that have asked for nothing yet.
const MOST_WAITING: usize = 128;

/// The application behind the listener.
pub struct Admin {
    shared: Arc<Shared>,
    /// Whether only this machine can reach it.
    is_local: bool,
    waiting: Waiting,
    live: Live,
}

/// Who is connected.
#[derive(Debug, Default)]
pub struct Operator {
    /// The certificate that was shown, which has been checked.
    certificate: Option<ClientCertificate>,
    /// Whether TLS is spoken.
    by_tls: bool,
}

const OVERVIEW: &str = "\
GET  /dashboard                    all of it in a browser
GET  /events                       how things stand, once a second, as server-sent events
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

/// Whether there is something at `path`, by whatever method.
fn is_known(path: &str) -> bool {
    let mut known = OVERVIEW.lines().filter_map(|line| line.split_whitespace().nth(1)?.split('?').next());
    path == "/" || known.any(|known| known == path)
}

fn is_get_of(session: &ServerSession, path: &str) -> bool {
    let request = session.req_header();
    request.method == Method::GET && request.uri.path() == path
}

impl Admin {
    /// One that listens there, for those who are operators by the config.
    pub fn new(shared: Arc<Shared>, listens: SocketAddr) -> Self {
        Admin {
            shared,
            is_local: listens.ip().is_loopback(),
            waiting: Waiting::new(MOST_WAITING),
            live: Live::default(),
        }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Nobody takes the answer.
    async fn respond(&self, session: &mut ServerSession, operator: &Operator) -> Result<()> {
        let answer = match self.admit(session, operator) {
            Ok(()) if is_get_of(session, "/events") => match self.live.join(&self.shared) {
                Ok(viewer) => return viewer.tell(session, &self.shared).await,
                Err(denial) => Answer::Denied(denial),
            },
            Ok(()) => self.answer(session).await,
            Err(denial) => Answer::Denied(denial),
        };
        answer::write(session, answer).await
    }

    fn admit(&self, session: &ServerSession, operator: &Operator) -> Result<(), Denial> {
        let snapshot = self.shared.snapshot.load();
        let operators = snapshot.operators.as_deref().filter(|operators| self.is_local || operators.are_known());
        let Some(operators) = operators else {
            let why = "The config does not say any more who may use this listener; write admin.tokenFile again.";
            return Err(Denial::new(StatusCode::FORBIDDEN, "token_unset", why));
        };
        let request = session.req_header();
        let right = match (request.uri.path(), &request.method) {
            ("/" | "/dashboard", _) => Right::Open,
            (_, &(Method::GET | Method::HEAD)) | ("/explain", _) => Right::Read,
            _ => Right::Write,
        };
        guard::admit(operators, operator, right, &request.method, &request.headers)
    }

    async fn answer(&self, session: &mut ServerSession) -> Answer {
        let (snapshot, now) = (self.shared.snapshot.load_full(), Instant::now());
        let request = session.req_header();
        let (path, query) = (request.uri.path(), request.uri.query().unwrap_or_default());
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        let writes = request.method == Method::POST;
        let answer = match path {
            "/" if reads && dashboard::is_wanted(&request.headers) => Ok(Answer::Elsewhere("/dashboard")),
            "/" if reads => Ok(Answer::Text(OVERVIEW.to_owned())),
            "/dashboard" if reads => Ok(dashboard::page()),
            "/metrics" if reads => Ok(Answer::Metrics(metrics::page(&self.shared, now))),
            "/keys" if reads => Ok(Answer::Json(keys::json(&snapshot))),
            "/stats" if reads => Ok(Answer::Json(stats::json(&snapshot, self.shared.reloads.rejected()).into())),
            "/config" if reads => Ok(Answer::of(&self.shared.reloads.last())),
            "/explain" if reads => explain::past(query, &request.headers, &self.shared),
            "/explain" if writes => explain::preview(session, &self.shared).await,
            "/reload" if writes => self.reload().await,
            "/circuits/open" | "/circuits/close" | "/circuits/reset" if writes => {
                circuits::act(path, query, &snapshot, now).map(Answer::Json)
            }
            path if is_known(path) => {
                let why = "This is not done by that method; GET / lists what there is.";
                Err(Denial::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", why))
            }
            _ => {
                let why = "There is no such thing here; GET / lists what there is.";
                Err(Denial::new(StatusCode::NOT_FOUND, "not_found", why))
            }
        };
        answer.unwrap_or_else(Answer::Denied)
    }

    async fn reload(&self) -> Result<Answer, Denial> {
        match self.shared.reloads.ask(Cause::Admin).await {
            Some(report) if report.outcome == Outcome::Rejected => Ok(Answer::Failed(json(&report))),
            Some(report) => Ok(Answer::of(&report)),
            None => {
                let why = "The process is about to end.";
                Err(Denial::new(StatusCode::SERVICE_UNAVAILABLE, "draining", why))
            }
        }
    }
}
