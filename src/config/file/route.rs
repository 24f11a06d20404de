//! `routes:` and `defaults:`, but for the plugins.

use std::collections::BTreeMap;

use super::answer::{Redirect, Respond};
use super::balance::{Balance, Concurrency};
use super::breaker::Breaker;
use super::health::HealthCheck;
use super::limits::RouteLimits;
use super::matching::{FieldTest, Rewrite};
use super::plugins::Plugins;
use super::retry::Retry;
use super::split::{Group, Mirror, Sticky};
use super::target::Targets;
use super::timeouts::Timeouts;
use super::upstream_tls::UpstreamTls;
use super::words::{PositiveOrOff, Switch};
use crate::config::located::{Located, OneOrMany};
use crate::config::model::OnAllOpen;
use crate::config::units::{HostHeader, RoutePath, ScopeName};
use crate::routing::host::HostPattern;
use crate::routing::methods::Methods;

/// What a route does with a request. The same blocks may stand under `defaults`.
#[derive(Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { breaker: { preset: busy } }")]
pub struct Policies {
    /// How targets are chosen: a word, or a block. Default: `roundRobin`.
    pub balance: Option<Balance>,
    /// How many requests a target may have under way: a number; `adaptive`, or a block with the bounds of that; or
    /// `off`. Default: `off`.
    pub concurrency: Option<Located<Switch<Concurrency>>>,
    /// How long a target that has come back gets fewer requests than the others, or `off`; not with `consistentHash`.
    /// Default: `off`.
    pub slow_start: Option<Located<PositiveOrOff>>,
    /// What happens while no circuit lets anything through. Default: `fail`.
    pub on_all_open: Option<OnAllOpen>,
    /// How long to wait for a target.
    pub timeouts: Option<Timeouts>,
    /// The `Host` that targets get. Default: `client`.
    pub host_header: Option<Located<HostHeader>>,
    /// How targets are spoken to by TLS.
    pub upstream_tls: Option<UpstreamTls>,
    /// When to stop sending to a target: a block, or `off`. Routes that share a target have to say the same. Default:
    /// the preset `standard`.
    pub breaker: Option<Located<Switch<Breaker>>>,
    /// When a request is sent again: a block, or `off`. Default: what only reads, once, when a connection breaks.
    pub retry: Option<Located<Switch<Retry>>>,
    /// How targets are asked whether they are well: a block, or `off`. Routes that share a target have to say the same.
    /// Default: `off`.
    pub health_check: Option<Located<Switch<HealthCheck>>>,
    /// Where copies of requests go: a block, or `off`. Default: `off`.
    pub mirror: Option<Located<Switch<Mirror>>>,
    /// What clients may ask of it.
    pub limits: Option<RouteLimits>,
    /// What runs before a request is forwarded.
    #[serde(default)]
    pub plugins: Plugins,
}

/// One entry of `routes:`.
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { path: /users, targets: [http://users:3001] }"
)]
pub struct Route {
    /// What it is called in stats, logs and limits, and known by when the config is read again; no two may have the
    /// same. Default: what it takes, which is mostly its path.
    pub name: Option<Located<ScopeName>>,
    /// The path prefix, matched on whole segments; the longest wins. `/gateway` is the gateway's own.
    pub path: Located<RoutePath>,
    /// The hosts that it takes; one or a list. Default: every host.
    pub host: Option<Located<OneOrMany<Located<HostPattern>>>>,
    /// The methods that it takes; one or a list. Default: every method.
    pub methods: Option<Located<OneOrMany<Located<Methods>>>>,
    /// Header fields that a request has to have: a value each, `"*"` for any, `{ prefix: … }` or `{ regex: … }`.
    /// Default: none.
    pub match_headers: Option<Located<BTreeMap<String, Located<FieldTest>>>>,
    /// Whether `path` is taken away before requests are sent on. Default: `false`.
    pub strip_prefix: Option<Located<bool>>,
    /// In place of `stripPrefix`: what becomes of the path; either `prefix`, or `regex` and `replacement`.
    pub rewrite: Option<Located<Rewrite>>,
    /// Where its requests go; one or a list. A route has one of `targets`, `groups`, `redirect` and `respond`.
    pub targets: Option<Targets>,
    /// The same as `targets`.
    pub target: Option<Targets>,
    /// In place of `targets`: groups of them, each of which gets its share of the requests.
    pub groups: Option<Located<Vec<Located<Group>>>>,
    /// In place of `targets`: where its clients are to go.
    pub redirect: Option<Located<Redirect>>,
    /// In place of `targets`: what they are answered.
    pub respond: Option<Located<Respond>>,
    /// What keeps requests with the group that they had before: `{ header: NAME }` or `{ cookie: NAME }`. Default:
    /// nothing.
    pub sticky: Option<Located<Sticky>>,
    /// How targets are chosen: a word, or a block. Default: `roundRobin`.
    pub balance: Option<Balance>,
    /// How many requests a target may have under way: a number; `adaptive`, or a block with the bounds of that; or
    /// `off`. Default: `off`.
    pub concurrency: Option<Located<Switch<Concurrency>>>,
    /// How long a target that has come back gets fewer requests than the others, or `off`; not with `consistentHash`.
    /// Default: `off`.
    pub slow_start: Option<Located<PositiveOrOff>>,
    /// What happens while no circuit lets anything through. Default: `fail`.
    pub on_all_open: Option<OnAllOpen>,
    /// How long to wait for a target.
    pub timeouts: Option<Timeouts>,
    /// The `Host` that targets get. Default: `client`.
    pub host_header: Option<Located<HostHeader>>,
    /// How targets are spoken to by TLS.
    pub upstream_tls: Option<UpstreamTls>,
    /// When to stop sending to a target: a block, or `off`. Routes that share a target have to say the same. Default:
    /// the preset `standard`.
    pub breaker: Option<Located<Switch<Breaker>>>,
    /// When a request is sent again: a block, or `off`. Default: what only reads, once, when a connection breaks.
    pub retry: Option<Located<Switch<Retry>>>,
    /// How targets are asked whether they are well: a block, or `off`. Routes that share a target have to say the same.
    /// Default: `off`.
    pub health_check: Option<Located<Switch<HealthCheck>>>,
    /// Where copies of requests go: a block, or `off`. Default: `off`.
    pub mirror: Option<Located<Switch<Mirror>>>,
    /// What clients may ask of it.
    pub limits: Option<RouteLimits>,
    /// What runs before a request is forwarded.
    #[serde(default)]
    pub plugins: Plugins,
}
