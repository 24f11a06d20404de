//! `/explain`: why a request went as it did, and how one would go.

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use pingora_core::protocols::http::ServerSession;
use serde::Serialize;

use super::{Answer, Denial};
use crate::explain::past::Explanation;
use crate::explain::preview::{self, Question};
use crate::shared::Shared;

/// A question is no longer.
const MOST_BYTES: usize = 64 * 1024;
/// And takes no longer to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of so many requests of one name is told.
const MOST_NAMED: usize = 10;

#[derive(Serialize)]
struct Found {
    requests: Vec<Explanation>,
}

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.requests.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("\n"))
    }
}

/// What became of the requests of that name.
///
/// # Errors
/// None is known.
pub fn past(query: &str, headers: &HeaderMap, shared: &Shared) -> Result<Answer, Denial> {
    let snapshot = shared.snapshot.load();
    let Some(recents) = &snapshot.recent else {
        let why = "Nothing is remembered of requests, since admin.explain is off.";
        return Err(Denial::new(StatusCode::NOT_FOUND, "explain_off", why));
    };
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let Some((_, id)) = pairs.find(|(name, _)| name == "request_id") else {
        let why = "Write /explain?request_id= and the id of the request.";
        return Err(Denial::new(StatusCode::BAD_REQUEST, "request_id_missing", why));
    };
    let found = recents.named(&id);
    if found.is_empty() {
        let why = format!("No request of this id is among the last {} that have ended.", recents.capacity());
        return Err(Denial::new(StatusCode::NOT_FOUND, "request_unknown", why));
    }
    let requests = found.iter().take(MOST_NAMED).map(|recent| Explanation::from(&**recent)).collect();
    let found = Found { requests };
    Ok(Answer::as_asked(headers, &found))
}

/// How the request would go that the body describes.
///
/// # Errors
/// It describes none.
pub async fn preview(session: &mut ServerSession, shared: &Shared) -> Result<Answer, Denial> {
    let invalid = |why: String| Denial::new(StatusCode::BAD_REQUEST, "question_invalid", why);
    let body = match tokio::time::timeout(PATIENCE, body(session)).await {
        Ok(body) => body?,
        Err(_) => return Err(Denial::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "The body did not come.")),
    };
    let question: Question = serde_json::from_slice(&body).map_err(|error| {
        // What serde says of it would repeat what is in there, such as a token.
        let (line, column) = (error.line(), error.column());
        invalid(format!("Line {line}, column {column}: not {{\"method\": …, \"url\": …, \"headers\": [[…]], \"ip\": …, \"token\": …}}."))
    })?;
    let preview = preview::preview(&question, shared.snapshot.load_full(), Instant::now()).await.map_err(invalid)?;
    Ok(Answer::as_asked(&session.req_header().headers, &preview))
}

async fn body(session: &mut ServerSession) -> Result<Bytes, Denial> {
    let mut body = BytesMut::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(part)) if body.len() + part.len() <= MOST_BYTES => body.extend_from_slice(&part),
            Ok(Some(_)) => {
                return Err(Denial::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The question is too long."));
            }
            Ok(None) => return Ok(body.freeze()),
            Err(_) => return Err(Denial::new(StatusCode::BAD_REQUEST, "bad_request", "The body broke off.")),
        }
    }
}
