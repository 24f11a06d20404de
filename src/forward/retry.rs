//! Whether a request goes out again, and to whom.

use std::time::{Duration, Instant};

use http::HeaderName;
use pingora_proxy::Session;

use super::pick;
use crate::context::RequestCtx;
use crate::upstream::retry::{Request, Trouble};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Chooses another target after a trouble with the last one, if the request may go out again and somebody takes
/// it: the attempt is in `ctx` then. Whether there is one.
pub fn after(trouble: Trouble, session: &Session, ctx: &mut RequestCtx, now: Instant) -> bool {
    let Some(route) = ctx.route.clone() else { return false };
    if route.timeouts.total.is_some_and(|total| now >= ctx.started + total) {
        return false;
    }
    let Some(retries) = &route.retries else { return false };
    let Some(attempt) = retries.again(trouble, &seen(session, ctx), now, || pick(ctx, &route, now).ok()) else {
        return false;
    };
    if let Some(last) = &ctx.member {
        last.target.record.retried();
    }
    ctx.attempt = Some(attempt);
    true
}

/// Chooses another target in place of handing on an answer with such a status. The attempt that got it is over then.
pub fn instead_of(status: u16, session: &Session, ctx: &mut RequestCtx, now: Instant) -> bool {
    let retries = ctx.route.as_ref().and_then(|route| route.retries.as_ref());
    if !retries.is_some_and(|retries| retries.covers(Trouble::Status(status))) {
        return false;
    }
    let answered = ctx.attempt.take();
    ctx.again = after(Trouble::Status(status), session, ctx, now);
    match answered {
        Some(answered) if ctx.again => ctx.end(answered, now, |attempt, _| attempt.finish(now)),
        answered => ctx.attempt = answered,
    }
    ctx.again
}

/// The request as far as retries go by it.
fn seen<'s>(session: &'s Session, ctx: &RequestCtx) -> Request<'s> {
    let request = session.req_header();
    let mut keys = request.headers.get_all(&IDEMPOTENCY_KEY).iter();
    Request {
        method: &request.method,
        has_key: keys.next().is_some_and(|key| !key.is_empty()) && keys.next().is_none(),
        sent: ctx.sent,
        is_kept: !session.as_ref().retry_buffer_truncated(),
        is_answered: session.response_written().is_some(),
    }
}

/// How long an attempt may take where the route says so, unless it is the last one that the request has.
pub fn per_try_timeout(trouble: Trouble, session: &Session, ctx: &RequestCtx, now: Instant) -> Option<Duration> {
    let route = ctx.route.as_ref()?;
    let has_another = || route.split.has_another(ctx.group, &ctx.tried, now);
    route.retries.as_ref()?.per_try_timeout(trouble, &seen(session, ctx), now, has_another)
}
