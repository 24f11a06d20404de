//! The config file as the user writes it. Every key of the format is known here; a key whose feature has
//! not been built yet is refused as "not available yet" rather than ignored.
//!
//! Only [`super::compile`] reads these types; what runs is [`super::Config`].

#![allow(dead_code, reason = "keys of features to come are there to be refused, and never read")]

mod access_log;
mod admin;
mod answer;
mod auth;
mod auth_route;
mod balance;
mod breaker;
mod compression;
mod cors;
mod forward_auth;
mod headers;
mod health;
mod ip_rules;
mod limits;
mod matching;
mod plugins;
mod rate_limit;
mod redis;
mod resolve;
mod retry;
mod route;
mod security_headers;
mod shutdown;
mod split;
mod target;
mod timeouts;
mod tls;
mod tracing;
mod upstream_tls;
mod words;

pub use self::access_log::{AccessLog, LogFormat, Masked};
pub use self::admin::{Admin, AdminTls};
pub use self::answer::{Redirect as RouteRedirect, Respond, plain_text};
pub use self::auth::{ApiKey, ApiKeys, Auth, Basic, CertificateName, Jwt, KeyFile};
pub use self::auth_route::{AuthPlugin, Credential, TokenFrom};
pub use self::balance::{Balance, BalanceBlock, Bounds, Concurrency, HashKey};
pub use self::breaker::{Backoff, Breaker, Preset};
pub use self::compression::{Coding, Compression, Level};
pub use self::cors::Cors;
pub use self::forward_auth::ForwardAuth;
pub use self::headers::{HeaderEdits, HeaderRules};
pub use self::health::HealthCheck;
pub use self::ip_rules::Networks;
pub use self::limits::{Limits, RouteLimits};
pub use self::matching::{FieldTest, Rewrite};
pub use self::plugins::{CustomPlugins, Plugins};
pub use self::rate_limit::{Cost, KeyPart, Prefixes, RateLimit, RateLimits, Scope};
pub use self::redis::Redis;
pub use self::resolve::{Resolve, ResolveBlock};
pub use self::retry::{Budget, BudgetBlock, Retry, floor};
pub use self::route::{Policies, Route};
pub use self::security_headers::{Hsts, SecurityHeaders};
pub use self::shutdown::Shutdown;
pub use self::split::{Group, Mirror, Sticky};
pub(super) use self::target::TargetBlock;
pub use self::target::{FileTarget, Target, Targets};
pub use self::timeouts::{Connect, Timeouts};
pub use self::tls::{CertificateFiles, ClientAuth, MinVersion, Redirect, RedirectBlock, Tls};
pub use self::tracing::Tracing;
pub use self::upstream_tls::UpstreamTls;
pub use self::words::{Block, Network, OrOff, Positive, PositiveOrOff, Switch};

use super::located::Located;
pub use super::located::OneOrMany;
use super::units::{ListenAddress, Threads};

/// The whole file.
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block with routes")]
pub struct File {
    /// Where to listen for plain HTTP: one address or a list, which may be empty beside `tls`. Default: `0.0.0.0:8000`,
    /// or the port in the environment's `PORT`.
    pub listen: Option<OneOrMany<Located<ListenAddress>>>,
    /// Whether HTTP/2 is spoken there, too, with clients that begin with it. Default: `false`.
    #[serde(default)]
    pub h2c: bool,
    /// Where to listen for TLS, and with which certificates. Default: nowhere.
    pub tls: Option<Tls>,
    /// Worker threads. Default: one for each core that the process may use.
    pub threads: Option<Threads>,
    /// Redis, which makes limits common to all replicas. Default: the URL in the environment's `REDIS_URL`; without one
    /// limits are kept in the process.
    pub redis: Option<Redis>,
    /// Networks whose `X-Forwarded-*` headers are believed; behind a proxy that is not among them all clients have its
    /// address. One or a list. Default: none.
    #[serde(default)]
    pub trusted_proxies: OneOrMany<Located<Network>>,
    /// How names of targets are looked up: a block, or its `max` alone.
    pub resolve: Option<Located<Resolve>>,
    /// One line a request.
    #[serde(default)]
    pub access_log: AccessLog,
    /// Where spans of requests are sent. Default: nowhere.
    pub tracing: Option<Located<Tracing>>,
    /// Who the users are. Routes with `auth` need it.
    #[serde(default)]
    pub auth: Auth,
    /// What clients may ask of the gateway.
    #[serde(default)]
    pub limits: Limits,
    /// What operators see and do, on a listener of its own; `{}` will do. Default: there is none.
    #[serde(default, deserialize_with = "words::something")]
    #[schemars(with = "Admin")]
    pub admin: Option<Located<Admin>>,
    /// How the process ends.
    pub shutdown: Option<Shutdown>,
    /// Blocks that every route inherits, each as a whole, unless it has its own.
    #[serde(default)]
    pub defaults: Policies,
    /// The routes, in the order that the stats show. At least one.
    pub routes: Vec<Located<Route>>,
}
