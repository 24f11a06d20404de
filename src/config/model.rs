//! What runs: every reference resolved, every default filled in, every value in its range.
//!
//! Written out as YAML it has the shape of a config file, with secrets masked: `check --print`.

mod access_log;
mod admin;
mod auth;
mod balance;
mod breaker;
mod compression;
mod cors;
mod forward_auth;
mod headers;
mod health;
mod limits;
mod rate_limit;
mod resolve;
mod retry;
mod security_headers;
mod shutdown;
mod split;
mod timeouts;
mod tls;
mod tracing;
mod upstream_tls;

use std::net::SocketAddr;
use std::time::Duration;

use http::header::HeaderName;
use ipnet::IpNet;
use serde::{Serialize, Serializer};

pub use self::access_log::AccessLog;
pub use self::admin::{Admin, AdminTls};
pub use self::auth::{ApiKey, ApiKeys, Auth, AuthPolicy, Basic, Jwt, KeySource};
pub use self::balance::{Balance, BalanceAlgorithm, Concurrency, OnAllOpen};
pub use self::breaker::{Backoff, Breaker, Mode};
pub use self::compression::Compression;
pub use self::cors::{Among, Cors};
pub use self::forward_auth::ForwardAuth;
pub use self::headers::{HeaderEdits, HeaderRules};
pub use self::health::{CheckKind, HealthCheck};
pub use self::limits::{Limits, RouteLimits};
pub use self::rate_limit::{
    LimitAlgorithm, LimitHeaders, LimitSync, OnRedisDown, Override, Prefixes, RateLimit, Whose,
};
pub use self::resolve::Resolve;
pub use self::retry::Retry;
pub use self::security_headers::{Hsts, SecurityHeaders};
pub use self::shutdown::Shutdown;
pub use self::split::{Destinations, Group, Mirror, Respond, Target};
pub use self::timeouts::Timeouts;
pub use self::tls::{CertificateFiles, Clients, Redirect, Tls};
pub use self::tracing::Tracing;
pub use self::upstream_tls::UpstreamTls;
use super::conceal;
use super::redis::Redis;
use super::units::{HostHeader, Period, RouteName};
use crate::plugin::custom::Custom;
use crate::routing::matcher::Matcher;
use crate::routing::rewrite::Rewrite;

/// A whole gateway.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Where to listen; at least one, or TLS.
    pub listen: Vec<SocketAddr>,
    /// Whether HTTP/2 is spoken there, too.
    pub h2c: bool,
    /// Where to listen for TLS, if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Worker threads.
    pub threads: usize,
    /// Where limits are kept, if not in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// Networks whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How names of targets are looked up.
    pub resolve: Resolve,
    /// What clients may ask.
    pub limits: Limits,
    /// Where access-log lines go.
    pub access_log: AccessLog,
    /// Where spans of requests are sent, if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// What operators see and do, if there is a listener for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<Admin>,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// Who the users are; empty if no route asks.
    #[serde(skip_serializing_if = "Auth::is_empty")]
    pub auth: Auth,
    /// Headers that say who the user is, whether or not any route looks for that: nobody else may set them.
    #[serde(skip)]
    pub identity_headers: Vec<HeaderName>,
    /// The routes in the order of the file.
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// What it is known by; no other has the same.
    #[serde(skip_serializing_if = "RouteName::is_derived")]
    pub name: RouteName,
    /// Which requests it takes.
    #[serde(flatten)]
    pub matcher: Matcher,
    /// What becomes of their paths before they are sent on; `None`: nothing.
    #[serde(flatten)]
    pub rewrite: Option<Rewrite>,
    /// Where its requests go.
    #[serde(flatten)]
    pub destinations: Destinations,
    /// How targets are chosen.
    pub balance: Balance,
    /// What happens while no circuit lets anything through.
    pub on_all_open: OnAllOpen,
    /// How many requests a target may have under way; `None`: any number.
    #[serde(serialize_with = "or_off")]
    pub concurrency: Option<Concurrency>,
    /// How long a target that has come back gets fewer requests; `None`: it does not.
    #[serde(serialize_with = "period_or_off")]
    pub slow_start: Option<Duration>,
    /// How long to wait for a target.
    pub timeouts: Timeouts,
    /// The `Host` that targets get.
    #[serde(skip_serializing_if = "HostHeader::is_clients")]
    pub host_header: HostHeader,
    /// How targets are spoken to by TLS.
    #[serde(skip_serializing_if = "UpstreamTls::is_default")]
    pub upstream_tls: UpstreamTls,
    /// When a request is sent again; `None`: never.
    #[serde(serialize_with = "or_off")]
    pub retry: Option<Retry>,
    /// When to stop sending to targets that do not say; `None`: never.
    #[serde(serialize_with = "or_off")]
    pub breaker: Option<Breaker>,
    /// How targets are asked whether they are well; `None`: they are not.
    #[serde(serialize_with = "or_off")]
    pub health_check: Option<HealthCheck>,
    /// What its clients may ask for.
    pub limits: RouteLimits,
    /// Where copies of requests go; `None`: nowhere.
    #[serde(serialize_with = "or_off")]
    pub mirror: Option<Mirror>,
    /// What runs before a request is forwarded.
    pub plugins: Plugins,
}

/// The plugins of a route.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plugins {
    /// The only networks whose requests are served; none: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_allow: Vec<IpNet>,
    /// Networks whose requests are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_deny: Vec<IpNet>,
    /// Whose pages may read answers; `None`: nothing is said of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// What is asked of requests; `None`: nothing.
    #[serde(serialize_with = "auth::policy")]
    pub auth: Option<AuthPolicy>,
    /// Who is asked about them, if anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_auth: Option<ForwardAuth>,
    /// Plugins of the program's own, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "custom")]
    pub custom: Vec<Custom>,
    /// How many requests a client may make, by all of these; none: any number.
    #[serde(serialize_with = "list_or_off")]
    pub rate_limit: Vec<RateLimit>,
    /// What is changed in the fields of requests and answers; `None`: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<HeaderRules>,
    /// What browsers are told for the sake of security; `None`: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_headers: Option<SecurityHeaders>,
    /// Which answers are compressed; `None`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
}

/// Which there are; what is said of them may be a secret.
fn custom<S: Serializer>(plugins: &[Custom], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(plugins.iter().map(|plugin| (&plugin.name, conceal::MASK)))
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

fn period_or_off<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    or_off(&duration.map(Period), serializer)
}

fn list_or_off<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() { serializer.serialize_str("off") } else { list.serialize(serializer) }
}
