//! Which target gets a request, as it runs.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize, Serializer};

use crate::config::file::HashKey;
use crate::config::units::Factor;

/// How targets are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// In which way.
    pub algorithm: BalanceAlgorithm,
    /// By what requests go to the same target, of [`BalanceAlgorithm::ConsistentHash`].
    pub key: HashKey,
    /// How many times its fair share a target may have under way before it is passed over then.
    pub load_factor: Factor,
}

/// In which way targets are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BalanceAlgorithm {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Of two the one with fewer requests under way.
    LeastRequest,
    /// Of two the one that will most likely answer first.
    PeakEwma,
    /// By a hash of the request.
    ConsistentHash,
    /// By chance.
    Random,
}

/// As short as it can be written.
impl Serialize for Balance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Block<'b> {
            algorithm: BalanceAlgorithm,
            key: &'b HashKey,
            load_factor: Factor,
        }
        match self {
            Balance { algorithm: BalanceAlgorithm::ConsistentHash, key, load_factor } => {
                Block { algorithm: self.algorithm, key, load_factor: *load_factor }.serialize(serializer)
            }
            Balance { algorithm, .. } => algorithm.serialize(serializer),
        }
    }
}

/// What happens to a request that no circuit lets through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OnAllOpen {
    /// It is refused at once.
    #[default]
    Fail,
    /// It is sent as if all were closed.
    TryAnyway,
}

/// How many requests a target may have under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Concurrency {
    /// So many.
    Fixed(NonZeroU32),
    /// As many as it answers in good time: between `min` and `max`, beginning with `initial`.
    Adaptive {
        /// At least.
        min: NonZeroU32,
        /// At first.
        initial: NonZeroU32,
        /// At most.
        max: NonZeroU32,
    },
}
