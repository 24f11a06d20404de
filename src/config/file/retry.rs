//! `retry:`

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::words::{Block, Positive};
use crate::config::located::{Located, OneOrMany};
use crate::config::units::{Count, Repeatable, RetryOn};
use crate::ratio::Ratio;

/// `retry:`
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Retry {
    /// How often a request may be sent in all, each time to another target. Default: `2`.
    pub attempts: Option<Located<Count>>,
    /// After what it is sent again; one or a list. Default: `[connect, reset]`.
    pub on: Option<OneOrMany<RetryOn>>,
    /// The methods that may be sent twice; one or a list. Default: `[GET, HEAD, OPTIONS]`.
    pub methods: Option<OneOrMany<Located<Repeatable>>>,
    /// Whether a request with an `Idempotency-Key` may be, whatever its method. Default: `false`.
    #[serde(default)]
    pub idempotency_key: bool,
    /// How long an attempt may take to begin to answer while there is another target; no longer than
    /// `timeouts.firstByte` and `total`. Default: as long as these let it.
    pub per_try_timeout: Option<Located<Positive>>,
    /// How many retries there may be, for so many requests: a share, or a block. Default: `{ share: 20%, min: 10 }`.
    pub budget: Option<Budget>,
}

/// `budget:`, a share or a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetBlock {
    /// Of the requests of the last ten seconds.
    pub share: Ratio,
    /// And so many more in ten seconds, so that few requests are not left alone. Default: `10`.
    #[serde(default = "floor")]
    pub min: u32,
}

/// See [`BudgetBlock`].
#[derive(Clone, Copy, Debug)]
pub struct Budget(pub BudgetBlock);

/// Retries that a budget allows whatever its share.
pub fn floor() -> u32 {
    10
}

impl Block for Retry {
    const ON: Option<fn() -> Self> = Some(Retry::default);
    const EXPECTED: &'static str = "off, or a block such as { attempts: 3, on: [connect, reset, timeout, 503] }";
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShareOrBlock;

        impl<'de> Visitor<'de> for ShareOrBlock {
            type Value = Budget;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as 20%, or { share: 20%, min: 10 }")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Budget, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Budget, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Budget, E> {
                if matches!(text, "off" | "none") {
                    let message = format!("\"{text}\" could mean no retry or any number; write retry: off, or 100%");
                    return Err(E::custom(message));
                }
                let share = text.parse().map_err(E::custom)?;
                Ok(Budget(BudgetBlock { share, min: floor() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Budget, A::Error> {
                BudgetBlock::deserialize(MapAccessDeserializer::new(map)).map(Budget)
            }
        }

        deserializer.deserialize_any(ShareOrBlock)
    }
}
