//! What is told: how things stand at one moment, and what came in the second before.

use serde::Serialize;

/// All of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Now {
    /// When (RFC 3339).
    pub at: String,
    /// The config that runs.
    pub config: Config,
    /// Whether the process is about to end.
    pub draining: bool,
    /// Requests under way.
    pub in_flight: usize,
    /// Connections of clients.
    pub connections: u32,
    /// Requests of all routes, and of none.
    pub per_second: f64,
    /// How Redis is, server by server, where it is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Vec<RedisNow>>,
    /// In the order of the config.
    pub routes: Vec<RouteNow>,
    /// The last requests in which something broke, the very last first.
    pub failures: Vec<Failure>,
}

/// The config.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Counted from the start of the process.
    pub generation: u64,
    /// What is wrong with what is written, if that cannot run.
    pub errors: Vec<String>,
    /// What waits for a restart.
    pub needs_restart: Vec<&'static str>,
}

/// A server of Redis.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisNow {
    /// Host and port.
    pub address: String,
    /// Whether it answers; `null` before the first try.
    pub up: Option<bool>,
    /// Why not.
    pub reason: Option<String>,
}

/// A route.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteNow {
    /// Its name.
    pub name: String,
    /// Its path prefix.
    pub path: String,
    /// Requests that have ended.
    pub per_second: f64,
    /// By the first digit of their status: 1xx to 5xx.
    pub by_class: [f64; 5],
    /// How long they took; `null` without any.
    pub took: Option<Took>,
    /// Its limits, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsNow>,
    /// Its targets.
    pub targets: Vec<TargetNow>,
}

/// How long so many parts of some requests took at the most, in milliseconds, as far as buckets tell.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Took {
    /// Half of them.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
}

/// What limits decided.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsNow {
    /// Let through by a count, a second.
    pub allowed: f64,
    /// Refused by a count, a second.
    pub refused: f64,
    /// Decided without one, a second.
    pub uncounted: f64,
    /// Who has sent most of it lately.
    pub busiest: Vec<BusyNow>,
}

/// A client of limits.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BusyNow {
    /// Who.
    pub key: String,
    /// Let through in the last half minute or so.
    pub allowed: u32,
    /// And refused.
    pub refused: u32,
}

/// A target.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetNow {
    /// Its URL.
    pub url: String,
    /// The group of the route that it is in, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `CLOSED`, `OPEN` or `HALF_OPEN`.
    pub state: &'static str,
    /// Whether it is held there by hand.
    pub held: bool,
    /// While open: until a probe may go.
    pub retry_in_ms: Option<u64>,
    /// Failures in a row.
    pub failures: u32,
    /// What its checks say, if it is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// Requests under way.
    pub in_flight: u32,
    /// Answers to requests of the route.
    pub per_second: f64,
    /// How long they took; `null` without any.
    pub took: Option<Took>,
    /// Why it failed the last time.
    pub last_failure: Option<String>,
}

/// A request in which something broke.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// Its correlation id.
    pub request_id: String,
    /// When it ended (RFC 3339).
    pub at: String,
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// What the client got.
    pub status: u16,
    /// Why, in a word.
    pub reason: &'static str,
    /// What went wrong at the last target that failed.
    pub cause: Option<String>,
}
