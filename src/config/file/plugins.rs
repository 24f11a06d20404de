//! `plugins:`

use super::rate_limit::RateLimits;
use super::words::{Block, Later, Switch};
use crate::config::located::Located;

/// `plugins:`
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { auth: true }")]
pub struct Plugins {
    /// Whether requests need a valid token: `true` or `false`.
    pub auth: Option<Located<Switch<AuthPlugin>>>,
    /// How many requests a client may make: a block, a list of them that decide together, or `off`.
    pub rate_limit: Option<Switch<RateLimits>>,
    #[serde(rename = "(later)")]
    later: Later,
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
    #[serde(rename = "(later)")]
    later: Later,
    require_scopes: Later,
    roles: Later,
    optional: Later,
    forward_token: Later,
}

impl Block for AuthPlugin {
    const ON: Option<fn() -> Self> = Some(AuthPlugin::default);
    const EXPECTED: &'static str = "true or false";
}
