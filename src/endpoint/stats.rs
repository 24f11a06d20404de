//! `GET /gateway/stats`: a row for each route and target, in the order of the config.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use serde::Serialize;

use crate::breaker::window::Counts;
use crate::config::OnRedisDown;
use crate::plugin::rate_limit::redis::Health as RedisHealth;
use crate::plugin::rate_limit::rule::{Limits, Rule};
use crate::snapshot::{Route, Snapshot};
use crate::upstream::discovery::source::Source;
use crate::upstream::health;
use crate::upstream::roster::{Entry, Terms};
use crate::upstream::target::Target;

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    path: String,
    target_url: String,
    /// In a row; while open or half-open, those that opened the circuit.
    failures: u32,
    state: &'static str,
    /// Since when the circuit is in this state.
    since: String,
    last_failure: Option<LastFailure>,
    /// While open: when one request may try again.
    retry_at: Option<String>,
    /// Attempts sent.
    requests: u64,
    /// How they ended: those still under way are in none of the three.
    succeeded: u64,
    failed: u64,
    neutral: u64,
    /// After how many of them the request went out again.
    retried: u64,
    /// Requests under way.
    in_flight: u32,
    /// How often the circuit opened.
    trips: u64,
    /// What came in the window that the breaker goes by, if it goes by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    recent: Option<Recent>,
    /// Whether the circuit is kept in its state by hand.
    held: bool,
    /// Where it is, as far as is known.
    addresses: Vec<SocketAddr>,
    /// What knows of it, if that is not the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    discovery: Option<Discovery>,
    /// What its checks say, if it is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    /// Where the limit of the route is counted; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<Counting>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastFailure {
    at: String,
    cause: String,
    request_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    source: String,
    /// Why the last look-up failed; what was known before stays in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Since when look-ups have been failing, or working.
    since: String,
    /// When its targets changed the last time.
    changed: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Recent {
    requests: u32,
    failed: u32,
    slow: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counting {
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

/// The rows as JSON.
pub fn json(snapshot: &Snapshot) -> Bytes {
    let clock = Clock { now: Instant::now(), wall: SystemTime::now() };
    let rows: Vec<Row> = snapshot.routes.iter().flat_map(|route| rows(snapshot, route, &clock)).collect();
    serde_json::to_vec(&rows).unwrap_or_default().into()
}

fn rows(snapshot: &Snapshot, route: &Route, clock: &Clock) -> Vec<Row> {
    let of = |(entry, _): &(Entry, Terms)| match entry {
        Entry::Target(target) => vec![row(snapshot, route, target, None, clock)],
        Entry::Source(source) => match source.found() {
            found if found.is_empty() => vec![nowhere(route, source)],
            found => found.iter().map(|found| row(snapshot, route, &found.target, Some(source), clock)).collect(),
        },
    };
    route.roster.entries.iter().flat_map(of).collect()
}

/// The row of a source that has no target.
fn nowhere(route: &Route, source: &Source) -> Row {
    let status = source.status();
    Row {
        path: route.path.to_string(),
        target_url: source.url.as_str().to_owned(),
        state: "OPEN",
        since: timestamp(status.since),
        discovery: Some(discovery(source)),
        ..Row::default()
    }
}

fn discovery(source: &Source) -> Discovery {
    let status = source.status();
    Discovery {
        source: source.url.as_str().to_owned(),
        since: timestamp(status.since),
        changed: status.changed.map(timestamp),
        error: status.error,
    }
}

fn row(snapshot: &Snapshot, route: &Route, target: &Target, source: Option<&Source>, clock: &Clock) -> Row {
    let (view, totals) = (target.view(clock.now), target.record.totals());
    Row {
        path: route.path.to_string(),
        target_url: target.url.as_str().to_owned(),
        failures: view.failures,
        state: view.phase.name(),
        since: clock.show(view.since),
        last_failure: target.record.last_failure().map(|failure| LastFailure {
            at: timestamp(failure.at),
            cause: failure.cause.to_string(),
            request_id: failure.request_id.to_str().unwrap_or("-").to_owned(),
        }),
        retry_at: view.retry_at.map(|at| clock.show(at)),
        requests: totals.requests,
        succeeded: totals.successes,
        failed: totals.failures,
        neutral: totals.neutrals,
        retried: totals.retries,
        in_flight: target.in_flight(),
        trips: view.trips,
        recent: view.recent.map(|Counts { total, failed, slow }| Recent { requests: total, failed, slow }),
        held: view.held,
        discovery: source.map(discovery),
        addresses: target.addresses.all(),
        health: target.checks.as_ref().map(|checks| health(checks.view())),
        rate_limit: route.limits.as_ref().map(|limits| counting(limits, snapshot.store.redis_health(), clock)),
    }
}

fn health(view: health::View) -> Health {
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

fn counting(limits: &Limits, redis: Option<Vec<RedisHealth>>, clock: &Clock) -> Counting {
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

/// Tells times of day for moments of the monotonic clock.
struct Clock {
    now: Instant,
    wall: SystemTime,
}

impl Clock {
    fn show(&self, at: Instant) -> String {
        timestamp(match at.checked_duration_since(self.now) {
            Some(ahead) => self.wall + ahead,
            None => self.wall - self.now.duration_since(at),
        })
    }
}

/// RFC 3339, in UTC, to the millisecond.
fn timestamp(at: SystemTime) -> String {
    match jiff::Timestamp::try_from(at) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config;
    use crate::plugin::rate_limit::Store;

    #[test]
    fn rows_stand_in_config_order_and_begin_with_the_four_members() {
        let text = concat!(
            "routes:\n",
            "  - { path: /users, targets: [http://b:1, http://a:1], plugins: { rateLimit: { max: 1, window: 60 } } }\n",
            "  - { path: /product, targets: http://a:1 }\n",
        );
        let loaded = config::parse("test.yaml", text, &|_| None).expect("a valid config");
        let snapshot = Snapshot::new(&loaded.config, Arc::new(Store::new(None, Instant::now())));
        let body = json(&snapshot);
        let text = std::str::from_utf8(&body).expect("UTF-8");
        let first = r#"[{"path":"/users","targetUrl":"http://b:1","failures":0,"state":"CLOSED","since":""#;
        assert!(text.starts_with(first), "{text}");
        let rows: Vec<serde_json::Value> = serde_json::from_str(text).expect("JSON");
        let order: Vec<_> = rows.iter().map(|row| (row["path"].as_str(), row["targetUrl"].as_str())).collect();
        assert_eq!(
            order,
            [
                (Some("/users"), Some("http://b:1")),
                (Some("/users"), Some("http://a:1")),
                (Some("/product"), Some("http://a:1"))
            ]
        );
        assert_eq!(rows[0]["rateLimit"]["store"], "memory");
        assert!(rows[2].get("rateLimit").is_none());
    }

    #[test]
    fn moments_are_shown_as_times_of_day() {
        let now = Instant::now() + Duration::from_secs(100);
        let clock = Clock { now, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000) };
        assert_eq!(clock.show(now + Duration::from_millis(500)), "1970-01-01T00:16:40.500Z");
        assert_eq!(clock.show(now - Duration::from_secs(40)), "1970-01-01T00:16:00.000Z");
    }
}
