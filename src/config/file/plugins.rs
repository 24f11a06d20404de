//! `plugins:`

use serde::de::{Deserialize, Deserializer, Error};

use super::words::{Block, Later, Switch, choice};
use crate::config::located::Located;
use crate::config::model::{LimitAlgorithm, OnRedisDown};
use crate::config::units::{Count, Window};

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
    pub max: Located<Count>,
    /// How long a window is.
    pub window: Window,
    /// How requests are counted: `fixedWindow` (default), `slidingWindow` or `tokenBucket`.
    #[serde(default)]
    pub algorithm: LimitAlgorithm,
    /// Requests that may come at once, of `tokenBucket`. Default: `max`.
    pub burst: Option<Located<Count>>,
    /// What counts as one client: `ip` (IPv6: its /64).
    pub key: Option<LimitKey>,
    /// What happens while Redis is away: `local` (default), `allow` or `deny`.
    #[serde(default)]
    pub on_redis_down: OnRedisDown,
    scope: Later,
    dry_run: Later,
    cost: Later,
    headers: Later,
    sync: Later,
    overrides: Later,
}

impl Block for AuthPlugin {
    const ON: Option<fn() -> Self> = Some(AuthPlugin::default);
    const EXPECTED: &'static str = "true or false";
}

impl Block for RateLimit {
    const ON: Option<fn() -> Self> = None;
    const EXPECTED: &'static str = "a block such as { max: 10, window: 60 }, or off";
}

choice! {
    /// What counts as one client.
    LimitKey {
        /// Its address, of IPv6 the /64.
        Ip = "ip"
    }
    later ["user", "claim", "header", "route"]
}
