//! How attempts end, each once.

use std::time::{Duration, Instant};

use http::StatusCode;
use pingora::{Error, ErrorSource, ErrorType};
use pingora_proxy::Session;

use super::{pick, retry};
use crate::context::RequestCtx;
use crate::downstream::patience::Late;
use crate::failure::Failure;
use crate::observe;
use crate::upstream::attempt::Attempt;
use crate::upstream::record::Cause;
use crate::upstream::retry::Trouble;

/// Connections that were closed while they waited unused can come in a row; after so many the target is
/// given up.
const STALE_CONNECTIONS: u32 = 3;
/// It shows within a round trip, which takes no longer.
const STALE_WITHIN: Duration = Duration::from_secs(1);

/// No connection came about, so nothing was sent: the target's next address may be tried, and when it has no
/// more, the attempt has failed and another target may be.
pub fn connect_failed(session: &Session, ctx: &mut RequestCtx, mut error: Box<Error>, now: Instant) -> Box<Error> {
    let another = ctx.attempt.as_ref().is_some_and(Attempt::has_more_addresses)
        || settle(ctx, &error, now) && retry::after(Trouble::Connect, session, ctx, now);
    error.set_retry(another);
    error
}

/// An attempt broke after the connection was made, or its answer is not handed on.
pub fn broke(
    session: &mut Session,
    ctx: &mut RequestCtx,
    mut error: Box<Error>,
    reused: bool,
    now: Instant,
) -> Box<Error> {
    if std::mem::take(&mut ctx.again) {
        error.set_retry(true);
        return error;
    }
    let begun = has_begun(session);
    if ctx.link.as_ref().is_some_and(|link| link.is_malformed()) {
        error.etype = ErrorType::InvalidHTTPHeader;
        error.as_down();
    }
    if let Some(late) = ctx.link.as_ref().and_then(|link| link.patience().take_late()) {
        is_late(late, begun, ctx, &mut error);
    }
    let is_kept_waiting = || ctx.link.as_ref().is_some_and(|link| link.has_kept_waiting(now));
    if *error.esource() == ErrorSource::Upstream && !session.is_body_done() && is_kept_waiting() {
        // The target waits for a request that the client does not finish, or has given that up.
        error.etype = ErrorType::ReadTimedout;
        error.as_down();
    }
    if begun && ctx.link.as_ref().is_some_and(|link| link.is_slow(now)) {
        // The target may have given up on a client that takes its answer too slowly.
        error.as_down();
    }
    error.retry.decide_reuse(reused);
    let again = match was_stale(&error, reused && !begun, ctx, now) {
        true if may_repeat(session, ctx) => next_connection(ctx, now),
        true => {
            ctx.failure = Some(Failure::of(&error));
            give_back(ctx, now);
            false
        }
        false => {
            settle(ctx, &error, now) && trouble(&error).is_some_and(|trouble| retry::after(trouble, session, ctx, now))
        }
    };
    error.set_retry(again);
    error
}

/// Whether the client has been sent a part of a final answer.
fn has_begun(session: &Session) -> bool {
    let is_final = |status: StatusCode| !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS;
    session.response_written().is_some_and(|response| is_final(response.status))
}

/// Whether an attempt most likely never got to its target, since that closed the connection while it waited
/// unused.
fn was_stale(error: &Error, could_be: bool, ctx: &RequestCtx, now: Instant) -> bool {
    // What is written goes through until the other side says that it is gone, which it does at once.
    let is_new = || ctx.attempt.as_ref().is_some_and(|attempt| attempt.age(now) < STALE_WITHIN);
    let is_closed = || *error.esource() == ErrorSource::Upstream && Failure::of(error) == Failure::Reset;
    could_be && (error.retry() || is_closed() && is_new())
}

/// Whether the request may be sent twice by its nature (RFC 9110, 9.2.2), and can be.
fn may_repeat(session: &Session, ctx: &RequestCtx) -> bool {
    let repeatable = session.req_header().method.is_idempotent() && !session.as_ref().retry_buffer_truncated();
    repeatable && ctx.tries <= STALE_CONNECTIONS
}

/// The attempt says nothing of its target.
fn give_back(ctx: &mut RequestCtx, now: Instant) {
    if let Some(link) = &ctx.link {
        link.patience().rest();
    }
    ctx.end_attempt(now, |attempt, _| attempt.withdraw(now));
}

/// The target may well be fine: it stays a candidate, and what is sent next will tell.
fn next_connection(ctx: &mut RequestCtx, now: Instant) -> bool {
    ctx.tried.pop();
    ctx.sent = ctx.sent.saturating_sub(1);
    give_back(ctx, now);
    let Some(route) = ctx.route.clone() else { return false };
    ctx.attempt = pick(ctx, &route, now).ok();
    ctx.attempt.is_some()
}

/// What went wrong, as far as the policy of retries is concerned.
fn trouble(error: &Error) -> Option<Trouble> {
    match Failure::of(error) {
        Failure::Timeout => Some(Trouble::Timeout),
        Failure::Reset | Failure::BadAnswer => Some(Trouble::Reset),
        _ => None,
    }
}

/// The connection had nothing to say but that it has waited for too long.
fn is_late(late: Late, begun: bool, ctx: &RequestCtx, error: &mut Error) {
    error.etype = if late == Late::Taker { ErrorType::WriteTimedout } else { ErrorType::ReadTimedout };
    match late {
        Late::Client | Late::Taker => error.as_down(),
        // Whoever answers as it should and is cut off for that has done nothing wrong.
        Late::All if begun => error.as_in(),
        Late::All | Late::Target(_) => error.as_up(),
    }
    let Some(timeouts) = ctx.route.as_ref().map(|route| route.timeouts) else { return };
    let (what, within) = match late {
        Late::All => ("no end of its answer", timeouts.total.unwrap_or_default()),
        Late::Target(span) if begun => ("no more of its answer", span),
        Late::Target(span) => ("no answer", span),
        // What is told of it is that it is gone.
        Late::Client | Late::Taker => return,
    };
    error.set_context(format!("{what} within {} ms", within.as_millis()));
}

/// Settles the attempt by what ended it. Whether that was its target.
fn settle(ctx: &mut RequestCtx, error: &Error, now: Instant) -> bool {
    ctx.failure = Some(Failure::of(error));
    if let Some(link) = &ctx.link {
        link.patience().rest();
    }
    let cause = cause(error);
    let its_own = cause.is_some();
    let ended = ctx.end_attempt(now, |attempt, id| match cause {
        Some(cause) => attempt.fail(cause, id, now),
        None => attempt.withdraw(now),
    });
    if ended.is_none() {
        return false;
    }
    if *error.esource() == ErrorSource::Upstream && is_our_own(error) {
        ctx.failure = Some(Failure::Internal);
        observe::own_fault(error, now);
    }
    its_own
}

/// What the target did wrong, if it was the target.
fn cause(error: &Error) -> Option<Cause> {
    if *error.esource() != ErrorSource::Upstream || is_our_own(error) {
        return None;
    }
    let why = match (error.etype(), &error.context) {
        (ErrorType::ReadTimedout, Some(within)) => within.as_str().to_owned(),
        (kind, _) => kind.as_str().to_owned(),
    };
    Some(match Failure::of(error) {
        Failure::Timeout => Cause::Timeout(why),
        Failure::Connect => Cause::Connect(why),
        _ => Cause::Broken(why),
    })
}

/// Whether connecting failed for want of something on this machine: file descriptors, ports, memory.
fn is_our_own(error: &Error) -> bool {
    const OURS: [i32; 6] = [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOMEM, libc::EACCES];
    let code = error.root_cause().downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    matches!(error.etype(), ErrorType::InternalError | ErrorType::SocketError | ErrorType::BindError)
        || code.is_some_and(|code| OURS.contains(&code))
}

/// The request is over. An attempt that is still open ended as it should.
pub fn finish(ctx: &mut RequestCtx, now: Instant) {
    if let Some(link) = &ctx.link {
        link.patience().rest();
    }
    ctx.end_attempt(now, |attempt, _| attempt.finish(now));
}
