//! What remains of a request when it is over.

pub mod access_log;
pub mod answers;
pub mod diagnostics;
pub mod exposition;
pub mod recent;
pub mod spool;
pub mod tally;
pub mod traces;

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode, header};
use parking_lot::Mutex;
use pingora::Error;
use pingora_proxy::Session;

use self::access_log::AccessLog;
use self::access_log::entry::Entry;
use self::access_log::privacy::QueryShown;
use self::recent::Recent;
use self::tally::{Ended, Tally};
use crate::context::RequestCtx;
use crate::failure::Failure;
use crate::plugin::auth::place;
use crate::trail::Trail;

/// No method that anybody knows is longer.
const METHOD_BYTES: usize = 32;

/// Counts a request, among `unrouted` if no route took it, writes its log line, and keeps what became of it where anybody may ask.
pub fn finish(
    session: &Session,
    error: Option<&Error>,
    ctx: &mut RequestCtx,
    (log, unrouted): (&AccessLog, &Tally),
    now: Instant,
) {
    let failure = || ctx.failure.or(error.map(Failure::of)).map_or(0, Failure::status);
    let status = ctx.meant.or_else(|| final_status(session)).unwrap_or_else(failure);
    let elapsed = now.duration_since(ctx.started);
    let within = elapsed.saturating_sub(ctx.away);
    let route = ctx.route.as_ref();
    let tally = route.map_or(unrouted, |route| &route.tally);
    tally.ended(&Ended {
        method: &session.req_header().method,
        status,
        // What a route says by itself is nobody else's failure.
        code: ctx.code.or_else(|| route.and_then(|route| route.answer.as_ref()).map(|_| "route")),
        elapsed,
        within,
    });
    write_line(session, ctx, log, (status, elapsed));
    if let Some(trail) = ctx.trail.take() {
        keep(session, ctx, log, recent(session, ctx, trail, (status, elapsed, within)));
    }
}

fn write_line(session: &Session, ctx: &RequestCtx, log: &AccessLog, (status, elapsed): (u16, Duration)) {
    let request = session.req_header();
    let shown = request.uri.query().map(|query| (query, log.query())).filter(|(_, shown)| *shown != QueryShown::Omit);
    // What the gateway knows to be a token is nobody's to read.
    let tokens = &ctx.snapshot.query_tokens;
    let visible = shown.and_then(|(query, shown)| Some((place::without_all(query, tokens)?, shown)));
    let visible = visible.as_ref().map(|(query, shown)| (String::from_utf8_lossy(query), *shown));
    log.write(Entry {
        request: Some(request),
        query: visible.as_ref().and_then(|(query, shown)| shown.of(query)),
        user: ctx.notes.user_id.as_ref().map(|user| user.as_bytes()),
        bytes: (session.body_bytes_read() as u64, session.body_bytes_sent() as u64),
        method: told(&request.method).as_str(),
        target: ctx.member.as_ref().map(|member| member.target.url.as_str()),
        path: request.uri.path(),
        forwarded: ctx.rewritten.as_deref(),
        route: ctx.route.as_ref().map(|route| &*route.name),
        status,
        elapsed,
        request_id: ctx.request_id.to_str().unwrap_or("-"),
        client: ctx.client,
        attempts: ctx.tries,
        code: ctx.code,
        reason: reason(ctx),
    });
}

/// A method as it is told: one that no server knows may be of any length.
fn told(method: &Method) -> &Method {
    static OTHER: LazyLock<Method> = LazyLock::new(|| Method::from_bytes(b"OTHER").unwrap_or_default());
    if method.as_str().len() <= METHOD_BYTES { method } else { &OTHER }
}

/// What became of a request, with copies of what belongs to its head.
fn recent(
    session: &Session,
    ctx: &RequestCtx,
    trail: Box<Trail>,
    (status, elapsed, within): (u16, Duration, Duration),
) -> Recent {
    let request = session.req_header();
    Recent {
        request_id: ctx.request_id.to_str().unwrap_or("-").into(),
        at: SystemTime::now(),
        method: told(&request.method).clone(),
        path: recent::beginning(request.uri.path()),
        forwarded: ctx.rewritten.as_deref().map(recent::beginning),
        client: ctx.client,
        peer: ctx.peer,
        route: ctx.route.as_ref().map(|route| (route.name.clone(), route.path.clone())),
        generation: ctx.snapshot.generation,
        status,
        reason: reason(ctx),
        elapsed,
        within,
        trail,
    }
}

/// Sends the spans of a request, if it is recorded, and remembers it, if any are.
fn keep(session: &Session, ctx: &RequestCtx, log: &AccessLog, request: Recent) {
    let host = session.req_header().headers.get(header::HOST);
    if let (Some(tracer), Some(trace)) = (&ctx.snapshot.tracer, ctx.trace.filter(|trace| trace.is_sampled)) {
        tracer.finish(&traces::Seen {
            request: &request,
            trace,
            scheme: ctx.link.as_ref().map_or("http", |link| link.entrance.scheme()),
            host: host.map(|host| String::from_utf8_lossy(host.as_bytes())),
            client: log.masks().client(ctx.client),
        });
    }
    if let Some(recents) = &ctx.snapshot.recent {
        recents.add(request);
    }
}

/// Why a request ended as it did, in a word: the gateway's code where it answered by itself because it had to.
fn reason(ctx: &RequestCtx) -> &'static str {
    match (ctx.code, &ctx.route) {
        (Some(code), _) => code,
        (None, None) => "gateway",
        (None, Some(route)) if route.answer.is_some() => "route",
        (None, Some(_)) if ctx.tries == 0 => "gateway",
        (None, Some(_)) if ctx.tried.len() > 1 => "retried",
        (None, Some(_)) => "forwarded",
    }
}

/// The status of the final response, as far as one has been written.
fn final_status(session: &Session) -> Option<u16> {
    let status = session.response_written()?.status;
    (!status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS).then_some(status.as_u16())
}

/// Logs a fault of this machine or process, at most one a second: when file descriptors run out, they do so
/// for every request.
pub fn own_fault(error: &Error, now: Instant) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock();
    if last.is_none_or(|last| now.saturating_duration_since(last) >= Duration::from_secs(1)) {
        *last = Some(now);
        log::error!("a fault of our own: {error}");
    }
}
