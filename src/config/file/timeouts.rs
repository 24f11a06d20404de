//! `timeouts:`

use serde::de::{Deserialize, Deserializer, IntoDeserializer};

use super::words::{Positive, PositiveOrOff};
use crate::config::located::Located;

/// `timeouts:`
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { connect: 500ms, firstByte: 5s }")]
pub struct Timeouts {
    /// For a connection to be made; then 504. Default: `2s`.
    pub connect: Option<Located<Connect>>,
    /// From the end of the request to the head of its answer; then 504. Default: `30s`.
    pub first_byte: Option<Located<Positive>>,
    /// Between two pieces of an answer, or of a request. Default: `60s`.
    pub read: Option<Located<Positive>>,
    /// For all of a request, its retries included, but for tunnels; no shorter than `connect` and `firstByte`; or
    /// `off`. Default: `off`.
    pub total: Option<Located<PositiveOrOff>>,
    /// How long a connection to a target is kept unused. Default: `60s`.
    pub idle: Option<Positive>,
}

/// `connect:`, of which it is known whether a unit is written.
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    /// How long.
    pub period: Positive,
    /// A number alone says so.
    pub bare: bool,
}

impl<'de> Deserialize<'de> for Connect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bare = text.bytes().all(|byte| byte.is_ascii_digit());
        let text: serde::de::value::StringDeserializer<D::Error> = text.into_deserializer();
        Positive::deserialize(text).map(|period| Connect { period, bare })
    }
}
