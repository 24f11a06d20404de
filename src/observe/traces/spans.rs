//! The spans of one request. Names of attributes are OpenTelemetry's semantic conventions for HTTP (1.40).

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::breaker::Outcome;
use crate::trace::Trace;
use crate::trail::{Trail, Verdict};
use crate::upstream::tried::Tried;

/// A request that is over.
#[derive(Debug)]
pub struct Seen<'s> {
    /// Its trace.
    pub trace: Trace,
    /// When it ended.
    pub at: SystemTime,
    /// How long it took.
    pub elapsed: Duration,
    /// Its method.
    pub method: &'s str,
    /// Its path in normal form.
    pub path: &'s str,
    /// How its client wrote its URL: `https` or `http`.
    pub scheme: &'static str,
    /// Its `Host`.
    pub host: Option<Cow<'s, str>>,
    /// The route that took it.
    pub route: Option<&'s str>,
    /// What the client got.
    pub status: u16,
    /// Why, in a word.
    pub reason: &'static str,
    /// Its correlation id.
    pub request_id: &'s str,
    /// Who sent it, as far as that may be written down.
    pub client: String,
    /// What happened.
    pub trail: &'s Trail,
}

/// Spans of attempts are numbered from 0 on, those of plugins from here on.
const PLUGINS: u64 = 1 << 32;

/// All of them, the request's own last.
pub fn of<'s>(seen: &'s Seen<'_>, scope: &'s InstrumentationScope) -> impl Iterator<Item = SpanData> + 's {
    let plugins =
        seen.trail.verdicts.iter().zip(PLUGINS..).map(|(verdict, number)| plugin(seen, verdict, number, scope));
    let attempts = seen.trail.attempts.iter().zip(0..).map(|(tried, number)| attempt(seen, tried, number, scope));
    plugins.chain(attempts).chain(std::iter::once(request(seen, scope)))
}

fn span(
    seen: &Seen<'_>,
    scope: &InstrumentationScope,
    (id, parent): (u64, u64),
    (at, took): (Duration, Duration),
) -> SpanData {
    let trace = TraceId::from_bytes(seen.trace.id.to_be_bytes());
    let begun = seen.at.checked_sub(seen.elapsed).unwrap_or(seen.at) + at;
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
    let mut attributes = vec![
        KeyValue::new("http.request.method", seen.method.to_owned()),
        KeyValue::new("url.path", seen.path.to_owned()),
        KeyValue::new("url.scheme", seen.scheme),
        KeyValue::new("http.response.status_code", i64::from(seen.status)),
        KeyValue::new("client.address", seen.client.clone()),
        KeyValue::new("aegis.request_id", seen.request_id.to_owned()),
        KeyValue::new("aegis.reason", seen.reason),
    ];
    attributes.extend(seen.host.as_ref().map(|host| KeyValue::new("server.address", host.to_string())));
    attributes.extend(seen.route.map(|route| KeyValue::new("http.route", route.to_owned())));
    let mut status = Status::Unset;
    if seen.status >= 500 {
        attributes.push(KeyValue::new("error.type", seen.status.to_string()));
        status = Status::error(seen.reason);
    }
    SpanData {
        name: seen.route.map_or_else(|| seen.method.to_owned(), |route| format!("{} {route}", seen.method)).into(),
        span_kind: SpanKind::Server,
        parent_span_is_remote: seen.trace.parent.is_some(),
        attributes,
        status,
        ..span(seen, scope, (seen.trace.span, seen.trace.parent.unwrap_or(0)), (Duration::ZERO, seen.elapsed))
    }
}

fn plugin(seen: &Seen<'_>, verdict: &Verdict, number: u64, scope: &InstrumentationScope) -> SpanData {
    let attributes = verdict.refused.iter().map(|(code, _)| KeyValue::new("aegis.refused", *code)).collect();
    let ids = (seen.trace.part(number), seen.trace.span);
    SpanData { name: verdict.plugin.into(), attributes, ..span(seen, scope, ids, (verdict.at, verdict.took)) }
}

fn attempt(seen: &Seen<'_>, tried: &Tried, number: u64, scope: &InstrumentationScope) -> SpanData {
    let mut attributes = vec![
        KeyValue::new("http.request.method", seen.method.to_owned()),
        KeyValue::new("url.full", tried.target.to_string()),
    ];
    if number > 0 {
        attributes.push(KeyValue::new("http.request.resend_count", number as i64));
    }
    if let Some(address) = tried.address {
        attributes.push(KeyValue::new("network.peer.address", address.ip().to_string()));
        attributes.push(KeyValue::new("network.peer.port", i64::from(address.port())));
    }
    attributes.extend(tried.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status))));
    attributes.extend(tried.connected.map(|connected| KeyValue::new("aegis.connection_reused", connected.reused)));
    let mut status = Status::Unset;
    if tried.outcome == Outcome::Failure {
        let cause = tried.cause.as_deref().unwrap_or("failure").to_owned();
        attributes.push(KeyValue::new("error.type", cause.clone()));
        status = Status::error(cause);
    }
    let ids = (seen.trace.part(number), seen.trace.span);
    SpanData {
        name: seen.method.to_owned().into(),
        span_kind: SpanKind::Client,
        attributes,
        status,
        ..span(seen, scope, ids, (tried.at, tried.took))
    }
}
