//! `tracing:`

use std::collections::BTreeMap;

use crate::config::located::Located;
use crate::config::units::Secret;
use crate::ratio::Ratio;

/// `tracing:`
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { endpoint: http://collector:4318/v1/traces }"
)]
pub struct Tracing {
    /// Where spans are sent by OTLP over HTTP, with the path.
    pub endpoint: Located<String>,
    /// How many of the requests are recorded, of which no trusted proxy has decided. Default: `100%`.
    pub sample: Option<Ratio>,
    /// Header fields to send along, such as a token. Default: none.
    #[serde(default)]
    pub headers: BTreeMap<String, Located<Secret>>,
    /// What the gateway is called. Default: `aegis`.
    pub service_name: Option<String>,
}
