//! The config file as the user writes it. Every key of the format is known here; a key whose feature has
//! not been built yet is refused as "not available yet" rather than ignored.
//!
//! Only [`super::compile`] reads these types; what runs is [`super::Config`].

#![allow(dead_code, reason = "keys of features to come are there to be refused, and never read")]

use std::fmt;

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::located::{Located, OneOrMany};
use super::units::{Count, ListenAddress, Period, RoutePath, Secret, StatusRange, TargetUrl, Threads, Window};

/// The whole file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct File {
    /// Where to listen; one address or a list. Default: `0.0.0.0:${PORT:-8000}`.
    pub listen: Option<OneOrMany<Located<ListenAddress>>>,
    /// Worker threads. Default: one per core this process may use.
    pub threads: Option<Threads>,
    /// Redis, which makes limits common to all replicas. Default: the URL in `REDIS_URL`, else none.
    pub redis: Option<Redis>,
    /// Networks whose `X-Forwarded-*` headers are believed. Default: none.
    #[serde(default)]
    pub trusted_proxies: OneOrMany<Located<Network>>,
    /// How often host names of targets are looked up again. Default: 5s.
    pub resolve: Option<Located<Period>>,
    /// One line a request. Default: text to standard output.
    #[serde(default)]
    pub access_log: AccessLog,
    /// Who the users are. Needed by routes with `auth: true`.
    #[serde(default)]
    pub auth: Auth,
    /// Blocks that every route inherits unless it brings its own.
    #[serde(default)]
    pub defaults: Policies,
    /// The routes, in the order that the stats show.
    pub routes: Vec<Located<Route>>,
    h2c: Later,
    tls: Later,
    admin: Later,
    limits: Later,
}

/// `redis:`
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Redis {
    /// `redis://[user:password@]host[:port][/db]`. Empty: limits are kept in this process.
    pub url: Option<Located<Secret>>,
    /// The longest one call may take before the request is decided from memory. Default: 50ms.
    pub timeout: Option<Located<Period>>,
    cluster: Later,
}

/// `accessLog:`
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AccessLog {
    /// `text` (default) or `json`.
    #[serde(default)]
    pub format: LogFormat,
    /// A file's name, or `-` (default) for standard output.
    pub file: Option<String>,
}

/// How an access-log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// `[GET] http://a:1/users → 200 (3ms) [id]`
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `auth:` at the top level.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Auth {
    /// Tokens in `Authorization: Bearer`.
    #[serde(default)]
    pub jwt: Jwt,
}

/// `auth.jwt:`
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Jwt {
    /// The key of HS256. Default: the environment's `JWT_SECRET`.
    pub secret: Option<Located<Secret>>,
    /// The algorithms a token may be signed with: `[HS256]`, which is also the default.
    pub algorithms: Option<Located<OneOrMany<Algorithm>>>,
    /// The claim that names the user. Default: `userId`, and `sub` where a token has none.
    pub user_id_claim: Option<String>,
    /// Accepted `iss`; one or a list. Default: any.
    #[serde(default)]
    pub issuer: OneOrMany<String>,
    /// Accepted `aud`, of which a token must name one. Default: any.
    #[serde(default)]
    pub audience: OneOrMany<String>,
    /// How far clocks may be apart when `exp` and `nbf` are checked. Default: 0s.
    pub leeway: Option<Period>,
    /// Claims without which a token is refused, such as `exp`. Default: none.
    #[serde(default)]
    pub required_claims: OneOrMany<String>,
    /// Claims to send upstream, each in the header named: `{ tenant: x-tenant }`.
    #[serde(default)]
    pub claims_to_headers: std::collections::BTreeMap<String, Located<String>>,
    jwks_url: Later,
    jwks_file: Later,
    public_key: Later,
    public_key_file: Later,
    secret_file: Later,
}

/// What a route does with a request. The same blocks may stand under `defaults`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Policies {
    /// How targets take turns: `roundRobin`.
    pub balance: Option<Balance>,
    /// How long to wait for a target.
    pub timeouts: Option<Timeouts>,
    /// When to stop sending to a target: a block, or `off`.
    pub breaker: Option<Located<Switch<Breaker>>>,
    /// What runs before a request is forwarded.
    #[serde(default)]
    pub plugins: Plugins,
    retry: Later,
    health_check: Later,
    on_all_open: Later,
    slow_start: Later,
    concurrency: Later,
    mirror: Later,
}

/// One entry of `routes:`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Route {
    /// The path prefix, matched on whole segments; the longest wins.
    pub path: Located<RoutePath>,
    /// Where its requests go; one URL or a list.
    #[serde(alias = "target")]
    pub targets: Located<OneOrMany<Located<Target>>>,
    /// How targets take turns: `roundRobin`.
    pub balance: Option<Balance>,
    /// How long to wait for a target.
    pub timeouts: Option<Timeouts>,
    /// When to stop sending to a target: a block, or `off`.
    pub breaker: Option<Located<Switch<Breaker>>>,
    /// What runs before a request is forwarded.
    #[serde(default)]
    pub plugins: Plugins,
    name: Later,
    host: Later,
    methods: Later,
    headers: Later,
    strip_prefix: Later,
    rewrite: Later,
    redirect: Later,
    compress: Later,
    groups: Later,
    retry: Later,
    health_check: Later,
    on_all_open: Later,
    slow_start: Later,
    concurrency: Later,
    mirror: Later,
    limits: Later,
}

/// One entry of `targets:`, a URL or a block with one.
#[derive(Debug)]
pub struct Target {
    /// `http://HOST:PORT`
    pub url: TargetUrl,
}

/// `timeouts:`
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Timeouts {
    /// For a connection to be made. Default: 2s.
    pub connect: Option<Positive>,
    /// Between two pieces of an answer, its head included. Default: 60s.
    pub read: Option<Positive>,
    first_byte: Later,
    total: Later,
    idle: Later,
}

/// `breaker:`
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Breaker {
    /// Failures in a row that open it. Default: 3.
    pub failures: Option<Count>,
    /// How long it stays open before one request may try the target again. Default: 60s.
    pub cooldown: Option<Positive>,
    /// Statuses that count as failures. Default: 500-599.
    pub statuses: Option<OneOrMany<StatusRange>>,
    mode: Later,
    failure_ratio: Later,
    window: Later,
    min_requests: Later,
    slower_than: Later,
    slow_ratio: Later,
    backoff: Later,
    probe_timeout: Later,
}

/// `plugins:`
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Plugins {
    /// Whether requests need a valid token: `true` or `false`.
    pub auth: Option<Located<Switch<AuthPlugin>>>,
    /// How many requests a client may make: a block, or `off`.
    pub rate_limit: Option<Switch<RateLimit>>,
    cors: Later,
    headers: Later,
    ip_allow: Later,
    ip_deny: Later,
    security_headers: Later,
    forward_auth: Later,
    api_key: Later,
    basic: Later,
}

/// `plugins.auth:` as a block.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuthPlugin {
    require_scopes: Later,
    roles: Later,
    optional: Later,
    forward_token: Later,
}

/// `plugins.rateLimit:`
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RateLimit {
    /// Requests that one client may make in one window.
    pub max: Count,
    /// How long a window is; it begins with its first request.
    pub window: Window,
    /// How requests are counted: `fixedWindow`.
    pub algorithm: Option<LimitAlgorithm>,
    /// What counts as one client: `ip` (IPv6: its /64).
    pub key: Option<LimitKey>,
    /// What happens while Redis is away: `local`, limits are kept in this process.
    pub on_redis_down: Option<OnRedisDown>,
    burst: Later,
    scope: Later,
    dry_run: Later,
    cost: Later,
    headers: Later,
    sync: Later,
    overrides: Later,
}

/// A key whose feature does not exist yet. It can be left out or empty, and nothing else.
type Later = Option<NotYet>;

/// Refuses whatever value it is given.
#[derive(Clone, Copy, Debug)]
pub struct NotYet;

impl<'de> Deserialize<'de> for NotYet {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("not available yet; remove this key"))
    }
}

/// A duration longer than nothing.
#[derive(Clone, Copy, Debug)]
pub struct Positive(pub Period);

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Period::deserialize(deserializer)? {
            period if period.0.is_zero() => Err(D::Error::custom("must be longer than 0; write 250ms or 60s, say")),
            period => Ok(Positive(period)),
        }
    }
}

/// A network such as `10.0.0.0/8`; a lone address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse().ok().map(|ip: std::net::IpAddr| ip.into()));
        network.map(Network).ok_or_else(|| {
            D::Error::custom(format!("\"{text}\" is no network; write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"))
        })
    }
}

/// A choice with one word so far; the others that are known are answered with "not available yet".
macro_rules! choice {
    ($(#[$doc:meta])* $type:ident { $(#[$value_doc:meta])* $value:ident = $word:literal } later $later:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $(#[$value_doc])* $value }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let later: &[&str] = &$later;
                match String::deserialize(deserializer)?.as_str() {
                    $word => Ok($type::$value),
                    word if later.contains(&word) => {
                        Err(D::Error::custom(format!("\"{word}\" is not available yet; write \"{}\"", $word)))
                    }
                    word => Err(D::Error::unknown_variant(word, &[$word])),
                }
            }
        }
    };
}
choice! {
    /// A signature algorithm of JWTs.
    Algorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256"
    }
    later ["HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
}
choice! {
    /// How targets take turns.
    Balance {
        /// One after the other.
        RoundRobin = "roundRobin"
    }
    later ["leastRequest", "peakEwma", "consistentHash", "random"]
}
choice! {
    /// How requests are counted.
    LimitAlgorithm {
        /// A counter a window.
        FixedWindow = "fixedWindow"
    }
    later ["slidingWindow", "tokenBucket"]
}
choice! {
    /// What counts as one client.
    LimitKey {
        /// Its address, of IPv6 the /64.
        Ip = "ip"
    }
    later ["user", "claim", "header", "route"]
}
choice! {
    /// What decides while Redis is away.
    OnRedisDown {
        /// This process, from memory.
        Local = "local"
    }
    later ["allow", "deny"]
}

/// A block, or a word for on or off.
#[derive(Clone, Debug)]
pub enum Switch<T> {
    /// `false` or `off`.
    Off,
    /// `true`, `on` or a block.
    On(T),
}

/// A block that `true` alone can stand for.
pub trait Block: Sized {
    /// What `true` means, where it means anything.
    const ON: Option<fn() -> Self>;
    /// What to write, for messages.
    const EXPECTED: &'static str;
}

impl Block for AuthPlugin {
    const ON: Option<fn() -> Self> = Some(AuthPlugin::default);
    const EXPECTED: &'static str = "true or false";
}

impl Block for Breaker {
    const ON: Option<fn() -> Self> = Some(Breaker::default);
    const EXPECTED: &'static str = "off, or a block such as { failures: 3, cooldown: 60s }";
}

impl Block for RateLimit {
    const ON: Option<fn() -> Self> = None;
    const EXPECTED: &'static str = "a block such as { max: 10, window: 60 }, or off";
}

impl<'de, T: Block + Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);

        impl<'de, T: Block + Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Switch<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Switch<T>, E> {
                match (on, T::ON) {
                    (false, _) => Ok(Switch::Off),
                    (true, Some(block)) => Ok(Switch::On(block())),
                    (true, None) => Err(E::invalid_value(serde::de::Unexpected::Bool(true), &self)),
                }
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Switch<T>, E> {
                match word {
                    "off" => self.visit_bool(false),
                    "on" => self.visit_bool(true),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Switch<T>, A::Error> {
                Err(A::Error::custom(format!("a list is not available yet here; write {}", T::EXPECTED)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
            }
        }

        deserializer.deserialize_any(Either(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct Full {
            url: TargetUrl,
            #[serde(rename = "weight")]
            _weight: Later,
            #[serde(rename = "breaker")]
            _breaker: Later,
        }
        struct UrlOrBlock;

        impl<'de> Visitor<'de> for UrlOrBlock {
            type Value = Target;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL such as http://users:3001")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Target, E> {
                text.parse().map(|url| Target { url }).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
                Full::deserialize(MapAccessDeserializer::new(map)).map(|full| Target { url: full.url })
            }
        }

        deserializer.deserialize_any(UrlOrBlock)
    }
}
