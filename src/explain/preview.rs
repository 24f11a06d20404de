//! How a request would go that nobody sends: the same code decides, and nothing is counted, taken or asked of others.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderName, HeaderValue, Method, header};
use pingora::http::RequestHeader;
use serde::{Deserialize, Serialize};

use super::routes::{self, SkippedRoute};
use super::{PluginVerdict, RouteName, SkippedTarget, skipped, verdicts};
use crate::context::{InFlight, RequestCtx};
use crate::downstream::http2;
use crate::refusal::Refusal;
use crate::routing::answer::Answer;
use crate::routing::table::Asked;
use crate::snapshot::Snapshot;
use crate::{admission, endpoint, forward, intake};

/// A request that is asked about.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Question {
    /// Its method.
    pub method: String,
    /// Its URL, or the path and query of one.
    pub url: String,
    /// Its header fields, by name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The address that it comes from: 127.0.0.1 if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// A token to send as `Authorization: Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// How it would go.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Its method.
    pub method: String,
    /// Its path, in normal form if it has one.
    pub path: String,
    /// Who it would be from, seen through trusted proxies.
    pub client: String,
    /// The generation of the config that decides.
    pub config: u64,
    /// The route that would take it.
    pub route: Option<RouteName>,
    /// The routes that its path is under, and that would not take it.
    pub skipped_routes: Vec<SkippedRoute>,
    /// What the route's plugins say, in their order.
    pub plugins: Vec<PluginVerdict>,
    /// The targets that would be passed over.
    pub skipped: Vec<SkippedTarget>,
    /// What would become of it.
    pub outcome: Outcome,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub enum Outcome {
    /// A target gets it.
    Forwarded {
        /// The URL of the target.
        target: String,
        /// The path that the target sees.
        path: String,
        /// The group of the target, where the route has several.
        #[serde(skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    /// The gateway says no.
    Refused {
        /// The status.
        status: u16,
        /// Why, in a word for programs.
        code: &'static str,
        /// Why, for people.
        why: String,
    },
    /// The route answers in place of a target.
    Answered {
        /// With this status, where that is always the same.
        status: Option<u16>,
    },
    /// It is for the gateway itself.
    Own,
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Outcome::Refused { status: refusal.status().as_u16(), code: refusal.code(), why: refusal.detail().into_owned() }
    }
}

/// How the request that `question` is about would go at `now`.
///
/// # Errors
/// There can be no such request; for people.
pub async fn preview(question: &Question, snapshot: Arc<Snapshot>, now: Instant) -> Result<Preview, String> {
    let mut head = head(question)?;
    let mut ctx = RequestCtx::new(snapshot.clone(), InFlight::enter(&Arc::default()));
    ctx.started = now;
    ctx.trail = Some(Box::default());
    intake::find_sender(question.ip.unwrap_or(Ipv4Addr::LOCALHOST.into()), &head.headers, &mut ctx);
    let within = http2::is_within(&head, &snapshot.limits.head);
    let outcome = match within.and_then(|()| intake::clean_head(&mut head, &ctx)) {
        Err(refusal) => Err(refusal),
        Ok(()) if endpoint::is_ours(head.uri.path()) => Ok(Outcome::Own),
        Ok(()) => decide(&head, &mut ctx, now).await,
    };
    let authority = head.headers.get(header::HOST).map(HeaderValue::as_bytes);
    let asked = Asked { authority, path: head.uri.path(), method: &head.method, headers: &head.headers };
    let trail = ctx.trail.take().unwrap_or_default();
    Ok(Preview {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        client: ctx.client.to_string(),
        config: snapshot.generation,
        route: ctx.route.as_deref().map(RouteName::from),
        skipped_routes: match &outcome {
            Ok(Outcome::Own) => Vec::new(),
            _ => routes::skipped(&snapshot, &asked, ctx.route.as_ref()),
        },
        plugins: verdicts(&trail),
        skipped: skipped(&trail),
        outcome: outcome.unwrap_or_else(Outcome::from),
    })
}

async fn decide(head: &RequestHeader, ctx: &mut RequestCtx, now: Instant) -> Result<Outcome, Refusal> {
    admission::preview(head, ctx).await?;
    let route = ctx.route.clone().ok_or(Refusal::NoRoute)?;
    match &route.answer {
        Some(Answer::Fixed { status, .. }) => return Ok(Outcome::Answered { status: Some(status.as_u16()) }),
        Some(Answer::Redirect(_)) => return Ok(Outcome::Answered { status: None }),
        None => {}
    }
    let member = forward::preview(head, ctx, now)?;
    let several = route.split.groups.len() > 1;
    Ok(Outcome::Forwarded {
        target: member.target.url.as_str().to_owned(),
        path: ctx.rewritten.clone().unwrap_or_else(|| head.uri.path().to_owned()),
        group: route.split.groups.get(ctx.group).filter(|_| several).map(|group| group.name.to_string()),
    })
}

/// The head of the request, as it would have been read.
fn head(question: &Question) -> Result<RequestHeader, String> {
    let Question { method, url, headers, token, .. } = question;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| format!("\"{method}\" is no method; write GET"))?;
    let (host, target) = match url.split_once("://") {
        Some(("http" | "https", rest)) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (rest.get(..end).unwrap_or_default(), rest.get(end..).unwrap_or_default())
        }
        _ if url.starts_with('/') => ("localhost", url.as_str()),
        _ => return Err(format!("\"{url}\" is no URL; write http://localhost:8000/users, or /users")),
    };
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    let no_target = |_| format!("\"{target}\" can be no path of a request");
    let mut head = RequestHeader::build(method, target.as_bytes(), Some(headers.len() + 2)).map_err(no_target)?;
    let bad = |name: &str| format!("{name}: no header field; write NAME: VALUE");
    let mut add = |name: &str, value: &str| {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let (name, value) = parsed.ok_or_else(|| bad(name))?;
        head.append_header(name, value).map(drop).map_err(|_| "there are too many header fields".to_owned())
    };
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        add("host", host)?;
    }
    headers.iter().try_for_each(|(name, value)| add(name, value))?;
    token.iter().try_for_each(|token| add("authorization", &format!("Bearer {token}")))?;
    Ok(head)
}
