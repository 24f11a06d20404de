//! The spans of one request. Names of attributes are OpenTelemetry's semantic conventions for HTTP (1.40).

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::breaker::Outcome;
use crate::observe::recent::Recent;
use crate::trace::Trace;
use crate::trail::Verdict;
use crate::upstream::tried::Tried;

/// A request that is over, and what else is told of it.
#[derive(Debug)]
pub struct Seen<'s> {
    /// It.
    pub request: &'s Recent,
    /// Its trace.
    pub trace: Trace,
    /// How its client wrote its URL: `https` or `http`.
    pub scheme: &'static str,
    /// Its `Host`.
    pub host: Option<Cow<'s, str>>,
    /// Who sent it, as far as that may be written down.
    pub client: IpAddr,
}

/// Spans of attempts are numbered from 0 on, those of plugins from here on.
const PLUGINS: u64 = 1 << 32;

/// All of them, the request's own last.
pub fn of<'s>(seen: &'s Seen<'_>, scope: &'s InstrumentationScope) -> impl Iterator<Item = SpanData> + 's {
    let plugins =
        seen.request.trail.verdicts.iter().zip(PLUGINS..).map(|(verdict, number)| plugin(seen, verdict, number, scope));
    let attempts =
        seen.request.trail.attempts.iter().zip(0..).map(|(tried, number)| attempt(seen, tried, number, scope));
    plugins.chain(attempts).chain(std::iter::once(request(seen, scope)))
}

fn span(
    seen: &Seen<'_>,
    scope: &InstrumentationScope,
    (id, parent): (u64, u64),
    (at, took): (Duration, Duration),
) -> SpanData {
    let trace = TraceId::from_bytes(seen.trace.id.to_be_bytes());
    let begun = seen.request.at.checked_sub(seen.request.elapsed).unwrap_or(seen.request.at) + at;
    let id = SpanId::from_bytes(id.to_be_bytes());
    SpanData {
        span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: SpanId::from_bytes(parent.to_be_bytes()),
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: Cow::Borrowed(""),
        start_time: begun,
        end_time: begun + took,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.clone(),
    }
}

fn request(seen: &Seen<'_>, scope: &InstrumentationScope) -> SpanData {
    let &Recent { ref method, ref path, ref route, status, reason, ref request_id, elapsed, .. } = seen.request;
    let mut attributes = vec![
        KeyValue::new("http.request.method", method.to_string()),
        KeyValue::new("url.path", path.to_string()),
        KeyValue::new("url.scheme", seen.scheme),
        KeyValue::new("http.response.status_code", i64::from(status)),
        KeyValue::new("client.address", seen.client.to_string()),
        KeyValue::new("aegis.request_id", request_id.to_string()),
        KeyValue::new("aegis.reason", reason),
    ];
    attributes.extend(seen.host.as_ref().map(|host| KeyValue::new("server.address", host.to_string())));
    attributes.extend(route.as_ref().map(|(name, _)| KeyValue::new("http.route", name.to_string())));
    let mut outcome = Status::Unset;
    if status >= 500 {
        attributes.push(KeyValue::new("error.type", status.to_string()));
        outcome = Status::error(reason);
    }
    SpanData {
        name: route.as_ref().map_or_else(|| method.to_string(), |(name, _)| format!("{method} {name}")).into(),
        span_kind: SpanKind::Server,
        parent_span_is_remote: seen.trace.parent.is_some(),
        attributes,
        status: outcome,
        ..span(seen, scope, (seen.trace.span, seen.trace.parent.unwrap_or(0)), (Duration::ZERO, elapsed))
    }
}

fn plugin(seen: &Seen<'_>, verdict: &Verdict, number: u64, scope: &InstrumentationScope) -> SpanData {
    let attributes = verdict.refused.iter().map(|(code, _)| KeyValue::new("aegis.refused", *code)).collect();
    let ids = (seen.trace.part(number), seen.trace.span);
    SpanData { name: verdict.plugin.into(), attributes, ..span(seen, scope, ids, (verdict.at, verdict.took)) }
}

fn attempt(seen: &Seen<'_>, tried: &Tried, number: u64, scope: &InstrumentationScope) -> SpanData {
    let mut attributes = vec![
        KeyValue::new("http.request.method", seen.request.method.to_string()),
        KeyValue::new("url.full", tried.target.to_string()),
    ];
    if number > 0 {
        attributes.push(KeyValue::new("http.request.resend_count", number as i64));
    }
    if let Some(address) = tried.course.address {
        attributes.push(KeyValue::new("network.peer.address", address.ip().to_string()));
        attributes.push(KeyValue::new("network.peer.port", i64::from(address.port())));
    }
    attributes.extend(tried.course.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status))));
    attributes
        .extend(tried.course.connected.map(|connected| KeyValue::new("aegis.connection_reused", connected.reused)));
    let mut status = Status::Unset;
    if tried.course.outcome == Some(Outcome::Failure) {
        let cause = tried.course.cause.as_deref().unwrap_or("failure").to_owned();
        attributes.push(KeyValue::new("error.type", cause.clone()));
        status = Status::error(cause);
    }
    let ids = (seen.trace.part(number), seen.trace.span);
    SpanData {
        name: seen.request.method.to_string().into(),
        span_kind: SpanKind::Client,
        attributes,
        status,
        ..span(seen, scope, ids, (tried.at, tried.took))
    }
}
