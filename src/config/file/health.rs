//! `healthCheck:`

use super::words::{Block, Positive};
use crate::config::located::{Located, OneOrMany};
use crate::config::model::CheckKind;
use crate::config::units::{Count, Port, StatusRange};
use crate::ratio::Ratio;

/// `healthCheck:`
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HealthCheck {
    /// How it is asked. Default: `http`.
    #[serde(default, rename = "type")]
    pub kind: CheckKind,
    /// What is asked for, of `http`. Default: `/`.
    pub path: Option<Located<String>>,
    /// The `Host` that it is asked with, of `http` and `grpc`. Default: the target's own.
    pub host: Option<Located<String>>,
    /// The statuses that are well, of `http`; one or a list. Default: `200-399`.
    pub statuses: Option<Located<OneOrMany<StatusRange>>>,
    /// The service that is asked about, of `grpc`. Default: the server as a whole.
    pub service: Option<Located<String>>,
    /// The port that is asked. Default: the target's.
    pub port: Option<Port>,
    /// How often; 50ms or more. Default: `5s`.
    pub interval: Option<Located<Positive>>,
    /// By how much shorter or longer the interval is by chance. Default: `10%`.
    pub jitter: Option<Ratio>,
    /// How long an answer may take. Default: `2s`.
    pub timeout: Option<Positive>,
    /// Good checks in a row that make an ill target well. Default: `2`.
    pub healthy_after: Option<Count>,
    /// Bad checks in a row that make a well target ill. Default: `3`.
    pub unhealthy_after: Option<Count>,
    /// Whether `healthyAfter` good checks let an open circuit probe early. Default: `false`.
    #[serde(default)]
    pub reopens: bool,
}

impl Block for HealthCheck {
    const ON: Option<fn() -> Self> = Some(HealthCheck::default);
    const EXPECTED: &'static str = "off, or a block such as { path: /health, interval: 5s }";
}
