//! `plugins:`

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::auth_route::AuthPlugin;
use super::compression::Compression;
use super::cors::Cors;
use super::forward_auth::ForwardAuth;
use super::headers::HeaderRules;
use super::ip_rules::Networks;
use super::rate_limit::RateLimits;
use super::security_headers::SecurityHeaders;
use super::words::{Later, Switch};
use crate::config::located::Located;

/// `plugins:`
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { auth: true }")]
pub struct Plugins {
    /// The only networks whose requests are served, others get 403; one or a list, or `off`. Default: all.
    pub ip_allow: Option<Networks>,
    /// Networks whose requests are refused with 403, whatever `ipAllow` says; one or a list, or `off`. Default: none.
    pub ip_deny: Option<Networks>,
    /// Whose pages may read answers: a block, or `off`. Default: `off`.
    pub cors: Option<Switch<Cors>>,
    /// Whether requests need a valid token: `true`, `false`, or a block that says more. Default: `false`.
    pub auth: Option<Located<Switch<AuthPlugin>>>,
    /// A service that is asked about each request: a block, or `off`. Default: `off`.
    pub forward_auth: Option<Switch<ForwardAuth>>,
    /// Plugins of this program's own, by name, with what they want to know; in this order. Default: none.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, Value>>")]
    pub custom: Option<CustomPlugins>,
    /// How many requests a client may make: a block, a list of them that decide together, or `off`. Default: `off`.
    pub rate_limit: Option<Switch<RateLimits>>,
    /// What is changed in the fields of requests and answers: a block, or `off`. Default: `off`.
    pub headers: Option<Switch<HeaderRules>>,
    /// What browsers are told for the sake of security: `true`, a block, or `off`. Default: `off`.
    pub security_headers: Option<Switch<SecurityHeaders>>,
    /// Which answers are compressed: `true`, a block, or `off`. Default: `off`.
    pub compression: Option<Switch<Compression>>,
    #[serde(rename = "(later)")]
    #[schemars(skip)]
    later: Later,
    #[schemars(skip)]
    api_key: Later,
}

/// `plugins.custom:`
#[derive(Clone, Debug)]
pub struct CustomPlugins(pub Vec<(String, Located<Value>)>);

impl<'de> Deserialize<'de> for CustomPlugins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ordered;

        impl<'de> Visitor<'de> for Ordered {
            type Value = CustomPlugins;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a block with the name of a plugin and its settings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CustomPlugins, A::Error> {
                let mut plugins = Vec::new();
                while let Some(plugin) = map.next_entry()? {
                    plugins.push(plugin);
                }
                Ok(CustomPlugins(plugins))
            }
        }

        deserializer.deserialize_map(Ordered)
    }
}
