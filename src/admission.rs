//! Whether a request may go on: its route, then the route's plugins in their order.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, HeaderValue, header};
use pingora::http::RequestHeader;

use crate::clock;
use crate::context::RequestCtx;
use crate::downstream::headers;
use crate::plugin::{Request, cors};
use crate::refusal::Refusal;
use crate::routing::path;
use crate::routing::table::{Asked, Miss};
use crate::snapshot::{Route, Snapshot};
use crate::trail::Verdict;

/// How long a body is said to be.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The route of a request. A preflight belongs to the request that it is about, where that one's route answers it.
fn find<'s>(snapshot: &'s Snapshot, asked: &Asked<'_>) -> Result<&'s Arc<Route>, Miss> {
    if let Some(method) = cors::announced(asked.method, asked.headers)
        && let Ok(route) = snapshot.route(&Asked { method: &method, ..*asked })
        && route.answers_preflights
    {
        return Ok(route);
    }
    snapshot.route(asked)
}

/// What a request is told that no route takes.
fn missed(Miss { allow }: Miss) -> Refusal {
    if allow.is_empty() { Refusal::NoRoute } else { Refusal::MethodNotAllowed { allow } }
}

/// Finds the route of a request that is clean, and asks its plugins.
///
/// # Errors
/// There is no route, a plugin refuses, or there is no path to be sent on.
pub async fn admit(header: &RequestHeader, ctx: &mut RequestCtx) -> Result<(), Refusal> {
    decide(header, ctx, Mode::InEarnest).await
}

/// What [`admit`] would say. Nothing is counted, and no service is asked.
///
/// # Errors
/// As [`admit`].
pub async fn preview(header: &RequestHeader, ctx: &mut RequestCtx) -> Result<(), Refusal> {
    decide(header, ctx, Mode::Preview).await
}

/// Whether a request is there, or only asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    InEarnest,
    Preview,
}

async fn decide(header: &RequestHeader, ctx: &mut RequestCtx, mode: Mode) -> Result<(), Refusal> {
    let path = header.uri.path();
    let authority = header.headers.get(header::HOST).map(HeaderValue::as_bytes);
    let asked = Asked { authority, path, method: &header.method, headers: &header.headers };
    let route = find(&ctx.snapshot, &asked);
    // A server that decodes separators or cuts off parameters must not end up behind another route's rules.
    let leads_elsewhere = |other: &String| {
        find(&ctx.snapshot, &Asked { path: other, ..asked }).map(Arc::as_ptr) != route.map(Arc::as_ptr)
    };
    if path::other_readings(path).iter().any(leads_elsewhere) {
        return Err(Refusal::PathInvalid(path::Reject::Ambiguous));
    }
    let route = route.map_err(missed)?.clone();
    ctx.route = Some(route.clone());
    if let (Some(most), Some(length)) = (route.max_body, content_length(&header.headers))
        && length > most
    {
        return Err(Refusal::BodyTooLarge { most });
    }
    if !route.plugins.is_empty() {
        ask_plugins(&route, header, ctx, mode).await?;
    }
    if let Some(rewrite) = &route.rewrite {
        ctx.rewritten = Some(rewrite.apply(path, &route.path).map_err(Refusal::RewriteInvalid)?);
    }
    Ok(())
}

async fn ask_plugins(route: &Route, header: &RequestHeader, ctx: &mut RequestCtx, mode: Mode) -> Result<(), Refusal> {
    let entrance = ctx.link.as_ref().map(|link| link.entrance.clone());
    let connection = entrance.as_ref().map_or("http", |entrance| entrance.scheme());
    let mut request = Request {
        id: &ctx.request_id,
        scheme: headers::scheme(&header.headers, ctx.from_trusted, connection),
        method: &header.method,
        path: header.uri.path(),
        query: header.uri.query(),
        headers: &header.headers,
        certificate: entrance.as_ref().and_then(|entrance| entrance.certificate.as_ref()),
        client_ip: ctx.client,
        now: ctx.started,
        wall: SystemTime::now(),
        notes: &mut ctx.notes,
    };
    request.notes.is_explained = ctx.trail.is_some();
    // The end of one is the beginning of the next.
    let mut asked = ctx.trail.is_some().then(Instant::now);
    for plugin in &route.plugins {
        // The one before may have asked somebody, and waited.
        request.now = clock::now();
        let said = match mode {
            Mode::InEarnest => plugin.on_request(&mut request).await,
            Mode::Preview => plugin.preview(&mut request).await,
        };
        if let (Some(trail), Some(asked)) = (&mut ctx.trail, &mut asked) {
            let began = std::mem::replace(asked, Instant::now());
            trail.verdicts.push(Verdict {
                plugin: plugin.name(),
                at: began.saturating_duration_since(ctx.started),
                took: asked.saturating_duration_since(began),
                refused: said.as_ref().err().map(|refusal| (refusal.code(), refusal.detail())),
                facts: request.notes.take_facts(),
            });
        }
        said?;
    }
    Ok(())
}
