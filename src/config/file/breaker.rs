//! `breaker:`

use serde::Deserialize;
use serde::de::{Error, IntoDeserializer};

use super::words::{Block, Positive};
use crate::config::located::{Located, OneOrMany};
use crate::config::model::Mode;
use crate::config::units::{Count, Factor, GrpcStatus, StatusRange};
use crate::ratio::Ratio;

/// `breaker:`
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Breaker {
    /// What the other keys are where they are not written. Default: `standard`.
    #[serde(default)]
    pub preset: Preset,
    /// Failures in a row that open the circuit. Default: `3`, with the preset `standard`.
    pub failures: Option<Located<Count>>,
    /// The share of failures in the window that opens it, more than 0%. Default: none; with the presets `busy` and
    /// `latency` 50%.
    pub failure_ratio: Option<Located<Ratio>>,
    /// Where `failures` and `failureRatio` are both written, and only there: whether `any` or `all` open it.
    pub mode: Option<Located<Mode>>,
    /// What shares are counted of; needs one. Default: 10s.
    pub window: Option<Located<Positive>>,
    /// So many requests in a window are needed for shares to say anything. Default: 20.
    pub min_requests: Option<Located<Count>>,
    /// An answer that takes longer to begin is slow, which is a failure unless there is a `slowRatio`. Default: none;
    /// with the preset `latency` 1s.
    pub slower_than: Option<Located<Positive>>,
    /// The share of slow answers in the window that opens it; needs `slowerThan`. Default: none; with the preset
    /// `latency` 80%.
    pub slow_ratio: Option<Located<Ratio>>,
    /// How long it stays open before one request may try the target again. Default: `60s`, with the preset `standard`;
    /// 10s with `busy` and `latency`, 15s with `patient`.
    pub cooldown: Option<Positive>,
    /// How the cooldown grows while the target does not get well. Default: it does not; with the presets `busy` and
    /// `latency` twofold, to 5m.
    pub backoff: Option<Located<Backoff>>,
    /// How long a probe may take before another may take its place. Default: as long as the timeouts let it.
    pub probe_timeout: Option<Positive>,
    /// Statuses that count as failures; one or a list. Default: `500-599`.
    pub statuses: Option<OneOrMany<StatusRange>>,
    /// Statuses of gRPC that count as failures; one or a list. Default: `[UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS]`.
    pub grpc_statuses: Option<OneOrMany<GrpcStatus>>,
}

/// Values that go well together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, serde::Deserialize)]
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
#[derive(Clone, Copy, Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { factor: 2, max: 5m }")]
pub struct Backoff {
    /// By how much it grows each time. Default: `2`.
    #[serde(default)]
    pub factor: Factor,
    /// Up to this, which is no less than the cooldown.
    pub max: Located<Positive>,
    /// How much shorter or longer it is by chance. Default: `20%`.
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
