//! `resolve:`

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::words::Positive;
use crate::config::located::{Located, OneOrMany};
use crate::config::units::{NameServer, Period};

/// `resolve:`, a block, or a duration that is its `max`.
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ResolveBlock {
    /// Whom to ask; one or a list. Default: whom the system asks, and the system itself.
    #[serde(default)]
    pub nameservers: OneOrMany<NameServer>,
    /// A name is not looked up again before, whatever its time to live; 100ms or more, and no more than `max`. Default:
    /// `1s`.
    pub min: Option<Located<Positive>>,
    /// It is looked up again after so long at the latest. Default: `30s`.
    pub max: Option<Located<Positive>>,
    /// How long one answer may take. Default: `2s`.
    pub timeout: Option<Positive>,
}

/// See [`ResolveBlock`].
#[derive(Clone, Debug)]
pub enum Resolve {
    /// Its `max`.
    Max(Positive),
    /// All of it.
    Block(ResolveBlock),
}

impl Located<Resolve> {
    /// All that it says.
    pub fn block(&self) -> ResolveBlock {
        let Located { at, index, is_filled, ref value } = *self;
        match value {
            Resolve::Max(max) => {
                ResolveBlock { max: Some(Located { at, index, is_filled, value: *max }), ..Default::default() }
            }
            Resolve::Block(block) => block.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Resolve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PeriodOrBlock;

        impl<'de> Visitor<'de> for PeriodOrBlock {
            type Value = Resolve;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 10s, or a block such as { nameservers: 10.0.0.2, max: 10s }")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<Resolve, E> {
                self.visit_str(&seconds.to_string())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Resolve, E> {
                let period: Period = text.parse().map_err(E::custom)?;
                if period.0.is_zero() {
                    return Err(E::custom("must be longer than 0; write 250ms or 60s, say"));
                }
                Ok(Resolve::Max(Positive(period)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Resolve, A::Error> {
                ResolveBlock::deserialize(MapAccessDeserializer::new(map)).map(Resolve::Block)
            }
        }

        deserializer.deserialize_any(PeriodOrBlock)
    }
}
