//! Where the limit of a route is counted, and what it let through.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::clock::{Clock, timestamp};
use crate::config::OnRedisDown;
use crate::plugin::rate_limit::redis::Health as RedisHealth;
use crate::plugin::rate_limit::rule::{Limits, Rule};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counting {
    /// `redis`; `memory`; `none`: Redis is away, and what comes is let through or refused uncounted; or `mixed`:
    /// some nodes of the cluster are away.
    store: &'static str,
    /// Since when, where Redis is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Why it is not Redis although it is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The servers of Redis.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    redis: Vec<Server>,
    /// Requests let through, and refused, by a count.
    allowed: u64,
    refused: u64,
    /// And without one, for want of Redis.
    uncounted: u64,
    rules: Vec<Limit>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    address: String,
    connected: bool,
    /// Of the breaker that guards the link to it.
    state: &'static str,
    failures: u32,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// While open: when connecting is tried again.
    retry_at: Option<String>,
    trips: u64,
    /// Round trips, and those of them that failed.
    calls: u64,
    failed: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Limit {
    name: String,
    max: u32,
    window_seconds: f64,
    dry_run: bool,
    /// By this one; where it is a dry run, it would have been.
    refused: u64,
}

pub(super) fn counting(limits: &Limits, redis: Option<Vec<RedisHealth>>, clock: &Clock) -> Counting {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let stands_in = limits.rules.iter().any(|rule| rule.on_redis_down == OnRedisDown::Local);
    let limit = |(rule, refused): (&Rule, &AtomicU64)| Limit {
        name: rule.label.to_string(),
        max: rule.quota.max.get(),
        window_seconds: rule.quota.window.as_secs_f64(),
        dry_run: rule.dry_run,
        refused: count(refused),
    };
    let servers = redis.as_deref().unwrap_or_default();
    let is_up = |health: &&RedisHealth| health.up == Some(true);
    Counting {
        store: match servers.iter().filter(is_up).count() {
            up if up > 0 && up == servers.len() => "redis",
            1.. => "mixed",
            0 if redis.is_some() && !stands_in => "none",
            0 => "memory",
        },
        since: servers.iter().map(|health| health.since).max().map(timestamp),
        reason: servers.iter().find_map(|health| health.reason.clone()),
        allowed: count(&limits.tally.allowed),
        refused: count(&limits.tally.refused),
        uncounted: count(&limits.tally.uncounted),
        rules: limits.rules.iter().zip(&limits.tally.by_rule).map(limit).collect(),
        redis: servers.iter().map(|health| server(health, clock)).collect(),
    }
}

fn server(health: &RedisHealth, clock: &Clock) -> Server {
    Server {
        address: health.address.clone(),
        connected: health.up == Some(true),
        state: health.breaker.phase.name(),
        failures: health.breaker.failures,
        since: timestamp(health.since),
        reason: health.reason.clone(),
        retry_at: health.breaker.retry_at.map(|at| clock.show(at)),
        trips: health.breaker.trips,
        calls: health.calls,
        failed: health.failed,
    }
}
