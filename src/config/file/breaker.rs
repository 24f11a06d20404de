//! `breaker:`

use serde::Deserialize;
use serde::de::{Error, IntoDeserializer};

use super::words::{Block, Positive};
use crate::config::located::{Located, OneOrMany};
use crate::config::model::Mode;
use crate::config::units::{Count, Factor, GrpcStatus, StatusRange};
use crate::ratio::Ratio;

/// `breaker:`
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Breaker {
    /// What the other keys are where they are not written: `standard` (default), `busy`, `latency` or `patient`.
    #[serde(default)]
    pub preset: Preset,
    /// Failures in a row that open it. Default: 3.
    pub failures: Option<Located<Count>>,
    /// The share of failures in the window that opens it.
    pub failure_ratio: Option<Located<Ratio>>,
    /// Where both are written, `any` or `all`.
    pub mode: Option<Located<Mode>>,
    /// What shares are counted of. Default: 10s.
    pub window: Option<Located<Positive>>,
    /// Fewer in a window say nothing. Default: 20.
    pub min_requests: Option<Located<Count>>,
    /// What takes longer to answer is slow, which is a failure unless there is a `slowRatio`.
    pub slower_than: Option<Located<Positive>>,
    /// The share of slow answers in the window that opens it.
    pub slow_ratio: Option<Located<Ratio>>,
    /// How long it stays open before one request may try the target again. Default: 60s.
    pub cooldown: Option<Positive>,
    /// How the cooldown grows while the target does not get well.
    pub backoff: Option<Located<Backoff>>,
    /// How long a probe may take before another may take its place.
    pub probe_timeout: Option<Positive>,
    /// Statuses that count as failures. Default: 500-599.
    pub statuses: Option<OneOrMany<StatusRange>>,
    /// Statuses of gRPC that count as failures. Default: UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS.
    pub grpc_statuses: Option<OneOrMany<GrpcStatus>>,
}

/// Values that go well together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Preset {
    /// For any traffic: what fails three times in a row is down.
    #[default]
    Standard,
    /// For many requests a second: a few failures in a row come by chance, shares do not.
    Busy,
    /// For targets that are of no use when they are slow.
    Latency,
    /// For targets whose loss costs more than their failures.
    Patient,
}

/// `backoff:`
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { factor: 2, max: 5m }")]
pub struct Backoff {
    /// By how much it grows each time. Default: 2.
    #[serde(default)]
    pub factor: Factor,
    /// Up to this.
    pub max: Located<Positive>,
    /// How much shorter or longer it is by chance. Default: 20%.
    pub jitter: Option<Ratio>,
}

impl Block for Breaker {
    const ON: Option<fn() -> Self> = Some(Breaker::default);
    const EXPECTED: &'static str = "off, or a block such as { failures: 3, cooldown: 60s }";

    fn from_word<E: Error>(word: &str) -> Option<Result<Self, E>> {
        let preset: Result<Preset, E> = Preset::deserialize(word.into_deserializer());
        preset.ok().map(|_| Err(E::custom(format!("\"{word}\" is a preset; write {{ preset: {word} }}"))))
    }
}
