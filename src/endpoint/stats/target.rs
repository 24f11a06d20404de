//! What is known of a target besides how requests to it ended.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::clock::timestamp;
use crate::upstream::discovery::source::Source;
use crate::upstream::health;
use crate::upstream::quantiles::Taken;
use crate::upstream::target::Target;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Discovery {
    source: String,
    /// Why the last look-up failed; what was known before stays in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Since when look-ups have been failing, or working.
    since: String,
    /// When its targets changed the last time.
    changed: Option<String>,
    /// Targets that it names and whose own names lead nowhere yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Health {
    /// `HEALTHY`, `UNHEALTHY`, or `UNKNOWN` before the first check.
    state: &'static str,
    since: String,
    last_check: Option<String>,
    /// Why the last check was bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    checks: u64,
    failed: u64,
}

/// Of the last minute, in milliseconds, to an eighth.
#[derive(Serialize)]
pub(super) struct Latency {
    count: u64,
    p50: f64,
    p95: f64,
    p99: f64,
}

pub(super) fn discovery(source: &Source) -> Discovery {
    let status = source.status();
    Discovery {
        source: source.url.as_str().to_owned(),
        since: timestamp(status.since),
        changed: status.changed.map(timestamp),
        error: status.error,
        waiting: source.waiting().iter().map(|target| target.url.as_str().to_owned()).collect(),
    }
}

pub(super) fn health(view: health::View) -> Health {
    Health {
        state: match view.healthy {
            Some(true) => "HEALTHY",
            Some(false) => "UNHEALTHY",
            None => "UNKNOWN",
        },
        since: timestamp(view.since),
        last_check: view.last.map(timestamp),
        reason: view.reason,
        checks: view.checks,
        failed: view.failed,
    }
}

pub(super) fn latency(target: &Target, now: Instant) -> Option<Latency> {
    let millis = |took: Duration| took.as_micros() as f64 / 1_000.0;
    let Taken { count, p50, p95, p99 } = target.taken.taken(now)?;
    Some(Latency { count, p50: millis(p50), p95: millis(p95), p99: millis(p99) })
}
