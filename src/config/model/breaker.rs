//! When a target's circuit opens, and for how long, as it runs.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::period;
use crate::config::units::{Factor, GrpcStatus, Period, StatusRange};
use crate::ratio::Ratio;

/// When a target's circuit opens, and for how long. There is something that opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Failures in a row that open it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<NonZeroU32>,
    /// The share of failures in the window that opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_ratio: Option<Ratio>,
    /// With both of these: how they go together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What takes longer to answer is slow: a failure, unless there is a share for it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "period_shown")]
    pub slower_than: Option<Duration>,
    /// The share of slow answers in the window that opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_ratio: Option<Ratio>,
    /// What shares are counted of; there if there is a share.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "period_shown")]
    pub window: Option<Duration>,
    /// Fewer in a window say nothing; there if there is a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<NonZeroU32>,
    /// How long it stays open.
    #[serde(serialize_with = "period")]
    pub cooldown: Duration,
    /// How that grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// How long a probe may take. Default: what the time-outs allow, and a little.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "period_shown")]
    pub probe_timeout: Option<Duration>,
    /// Statuses that count as failures.
    pub statuses: Vec<StatusRange>,
    /// And those of gRPC.
    pub grpc_statuses: Vec<GrpcStatus>,
}

impl Breaker {
    /// What counts as a failure where nothing else is said: 500 to 599.
    pub fn default_statuses() -> Vec<StatusRange> {
        vec![StatusRange { first: 500, last: 599 }]
    }

    /// And of gRPC: what says that the server failed, and no client can bring about at will, as it can
    /// `UNIMPLEMENTED` or, by a short deadline, `DEADLINE_EXCEEDED`.
    pub fn default_grpc_statuses() -> Vec<GrpcStatus> {
        vec![GrpcStatus::UNKNOWN, GrpcStatus::INTERNAL, GrpcStatus::UNAVAILABLE, GrpcStatus::DATA_LOSS]
    }
}

/// How failures in a row and their share go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// Either opens the circuit.
    Any,
    /// Both are needed.
    All,
}

/// How a cooldown grows while a target does not get well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// By so much each time.
    pub factor: Factor,
    /// Up to this.
    #[serde(serialize_with = "period")]
    pub max: Duration,
    /// By chance so much shorter or longer.
    pub jitter: Ratio,
}

pub(super) fn period_shown<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(Period).serialize(serializer)
}
