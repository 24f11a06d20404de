//! What remains of a request when it is over.

pub mod access_log;
pub mod answers;
pub mod exposition;
pub mod tally;

use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;
use pingora::Error;
use pingora_proxy::Session;

use self::access_log::{AccessLog, Entry};
use self::tally::{Ended, Tally};
use crate::context::RequestCtx;
use crate::failure::Failure;

/// Counts a request, among `unrouted` if no route took it, and writes its log line.
pub fn finish(
    session: &Session,
    error: Option<&Error>,
    ctx: &RequestCtx,
    (log, unrouted): (&AccessLog, &Tally),
    now: Instant,
) {
    let header = session.req_header();
    let failure = || ctx.failure.or(error.map(Failure::of)).map_or(0, Failure::status);
    let status = ctx.meant.or_else(|| final_status(session)).unwrap_or_else(failure);
    let elapsed = now.duration_since(ctx.started);
    let tally = ctx.route.as_ref().map_or(unrouted, |route| &route.tally);
    tally.ended(&Ended {
        method: &header.method,
        status,
        // What a route says by itself is nobody else's failure.
        code: ctx.code.or(ctx.route.as_ref().and_then(|route| route.answer.as_ref()).map(|_| "route")),
        elapsed,
        within: elapsed.saturating_sub(ctx.away),
    });
    log.write(&Entry {
        method: header.method.as_str(),
        target: ctx.member.as_ref().map(|member| member.target.url.as_str()),
        path: header.uri.path(),
        forwarded: ctx.rewritten.as_deref(),
        route: ctx.route.as_ref().map(|route| &*route.name),
        status,
        elapsed,
        request_id: ctx.request_id.to_str().unwrap_or("-"),
        client: ctx.client,
        attempts: ctx.tries,
        code: ctx.code,
    });
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
