//! What runs: every reference resolved, every default filled in, every value in its range.
//!
//! Written out as YAML it has the shape of a config file, with secrets masked: `check --print`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use http::header::HeaderName;
use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use super::file::{Cost, KeyPart, LogFormat, Scope};
use super::redis::Redis;
use super::units::{Period, Secret, StatusRange, TargetUrl};

/// A whole gateway.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Where to listen; at least one.
    pub listen: Vec<SocketAddr>,
    /// Worker threads.
    pub threads: usize,
    /// Where limits are kept, if not in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// Networks whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How often host names of targets are looked up again.
    #[serde(serialize_with = "period")]
    pub resolve: Duration,
    /// Where access-log lines go.
    pub access_log: AccessLog,
    /// How tokens are checked; there is one if any route needs it.
    #[serde(rename = "auth", serialize_with = "under_jwt", skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// Headers that say who the user is, whether or not any route looks for that: nobody else may set them.
    #[serde(skip)]
    pub identity_headers: Vec<HeaderName>,
    /// The routes in the order of the file.
    pub routes: Vec<Route>,
}

/// The access log.
#[derive(Clone, Debug, Serialize)]
pub struct AccessLog {
    /// How a line is written.
    pub format: LogFormat,
    /// The file's name; `-` is standard output.
    pub file: String,
}

/// How tokens are checked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// The key of HS256.
    pub secret: Secret,
    /// The claim that names the user, before `sub`.
    pub user_id_claim: String,
    /// Accepted `iss`; empty: any.
    pub issuer: Vec<String>,
    /// Accepted `aud`; empty: any.
    pub audience: Vec<String>,
    /// How far clocks may be apart.
    #[serde(serialize_with = "period")]
    pub leeway: Duration,
    /// Claims that a token must have.
    pub required_claims: Vec<String>,
    /// Claims to send upstream, and in which header.
    #[serde(serialize_with = "header_map")]
    pub claims_to_headers: Vec<(String, HeaderName)>,
}

impl Jwt {
    /// What a config without an `auth` block means, its secret left empty.
    pub fn minimal() -> Self {
        Jwt {
            secret: Secret::new(""),
            user_id_claim: "userId".into(),
            issuer: Vec::new(),
            audience: Vec::new(),
            leeway: Duration::ZERO,
            required_claims: Vec::new(),
            claims_to_headers: Vec::new(),
        }
    }
}

/// One route.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// The path prefix, `/` or without a trailing slash.
    pub path: String,
    /// Where its requests go; at least one, none twice.
    pub targets: Vec<TargetUrl>,
    /// How long to wait for a target.
    pub timeouts: Timeouts,
    /// When to stop sending to a target; `None`: never.
    #[serde(serialize_with = "or_off")]
    pub breaker: Option<Breaker>,
    /// What runs before a request is forwarded.
    pub plugins: Plugins,
}

/// The plugins of a route.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plugins {
    /// Whether requests need a valid token.
    pub auth: bool,
    /// How many requests a client may make, by all of these; none: any number.
    #[serde(serialize_with = "list_or_off")]
    pub rate_limit: Vec<RateLimit>,
}

/// How long to wait for a target.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timeouts {
    /// For a connection to be made.
    #[serde(serialize_with = "period")]
    pub connect: Duration,
    /// Between two pieces of an answer.
    #[serde(serialize_with = "period")]
    pub read: Duration,
}

/// When a target's circuit opens, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failures: NonZeroU32,
    /// How long it stays open.
    #[serde(serialize_with = "period")]
    pub cooldown: Duration,
    /// Statuses that count as failures.
    pub statuses: Vec<StatusRange>,
}

impl Breaker {
    /// What counts as a failure where nothing else is said: 500 to 599.
    pub fn default_statuses() -> Vec<StatusRange> {
        vec![StatusRange { first: 500, last: 599 }]
    }
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// How they are counted.
    pub algorithm: LimitAlgorithm,
    /// In one window.
    pub max: NonZeroU32,
    /// How long a window is.
    #[serde(serialize_with = "period")]
    pub window: Duration,
    /// At once, where that is not `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
    /// What counts as one client; at least one part, none twice.
    pub key: Vec<KeyPart>,
    /// How many bits of an address make one client.
    pub prefixes: Prefixes,
    /// Quotas of single clients; `None`: any number.
    #[serde(serialize_with = "overrides")]
    pub overrides: BTreeMap<String, Option<Override>>,
    /// What is counted together.
    pub scope: Scope,
    /// It counts and tells, and refuses nobody.
    pub dry_run: bool,
    /// What a request takes.
    pub cost: Cost,
    /// What clients are told.
    pub headers: LimitHeaders,
    /// How replicas keep in step.
    pub sync: LimitSync,
    /// What decides while Redis is away.
    pub on_redis_down: OnRedisDown,
}

/// How many bits of an address make one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Prefixes {
    /// 1 to 32.
    pub ipv4: u8,
    /// 1 to 128.
    pub ipv6: u8,
}

/// A quota of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Override {
    /// In one window.
    pub max: NonZeroU32,
    /// At once, where that is not `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
}

/// What clients are told of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitHeaders {
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    #[default]
    Legacy,
    /// `RateLimit-Policy` and `RateLimit`.
    Ietf,
    /// All of these.
    Both,
    /// Nothing.
    Off,
}

/// How replicas keep in step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitSync {
    /// Every request is decided by Redis.
    #[default]
    Exact,
    /// A replica takes several at once, and spends them by itself.
    Leased,
}

impl LimitHeaders {
    /// Whether the `X-RateLimit-*` fields are sent.
    pub fn legacy(self) -> bool {
        matches!(self, LimitHeaders::Legacy | LimitHeaders::Both)
    }

    /// Whether `RateLimit` and `RateLimit-Policy` are sent.
    pub fn ietf(self) -> bool {
        matches!(self, LimitHeaders::Ietf | LimitHeaders::Both)
    }
}

/// What decides on a request while Redis, though configured, is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OnRedisDown {
    /// This process, from memory.
    #[default]
    Local,
    /// Nobody: it passes.
    Allow,
    /// Nobody: it is refused.
    Deny,
}

/// How requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitAlgorithm {
    /// By windows that begin with their first request.
    #[default]
    FixedWindow,
    /// By this window and the part of the one before that is still in view.
    SlidingWindow,
    /// By a bucket that drains steadily.
    TokenBucket,
}

impl LimitAlgorithm {
    /// All there are.
    pub const ALL: [LimitAlgorithm; 3] =
        [LimitAlgorithm::FixedWindow, LimitAlgorithm::SlidingWindow, LimitAlgorithm::TokenBucket];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            LimitAlgorithm::FixedWindow => "fixedWindow",
            LimitAlgorithm::SlidingWindow => "slidingWindow",
            LimitAlgorithm::TokenBucket => "tokenBucket",
        }
    }
}

fn period<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    Period(*duration).serialize(serializer)
}

fn or_off<T: Serialize, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => value.serialize(serializer),
        None => serializer.serialize_str("off"),
    }
}

fn list_or_off<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { serializer.serialize_str("off") } else { list.serialize(serializer) }
}

fn overrides<S: Serializer>(overrides: &BTreeMap<String, Option<Override>>, serializer: S) -> Result<S::Ok, S::Error> {
    struct OrOff<'o>(&'o Option<Override>);

    impl Serialize for OrOff<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            or_off(self.0, serializer)
        }
    }

    serializer.collect_map(overrides.iter().map(|(value, quota)| (value, OrOff(quota))))
}

fn under_jwt<S: Serializer>(jwt: &Option<Jwt>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry("jwt", jwt)?;
    map.end()
}

fn header_map<S: Serializer>(pairs: &[(String, HeaderName)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(claim, header)| (claim, header.as_str())))
}
