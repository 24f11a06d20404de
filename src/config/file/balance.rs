//! `balance:`, `concurrency:`

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

use super::words::{Block, Word, one};
use crate::config::located::Located;
use crate::config::model::BalanceAlgorithm;
use crate::config::units::{CookieName, Count, Factor, FieldName};

/// `balance:`, a word or a block.
#[derive(Clone, Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BalanceBlock {
    /// How a target is chosen.
    pub algorithm: BalanceAlgorithm,
    /// What goes to the same target, of `consistentHash`: `ip`, `user`, `{ claim: NAME }`, `{ header: NAME }` or `{
    /// cookie: NAME }`. Default: `ip`.
    pub key: Option<Located<HashKey>>,
    /// How many times its fair share a target may have under way before it is passed over, of `consistentHash`; more
    /// than 1. Default: `1.25`.
    pub load_factor: Option<Located<Factor>>,
}

/// See [`BalanceBlock`].
#[derive(Clone, Debug)]
pub struct Balance(pub BalanceBlock);

/// What goes to the same target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    /// Requests from one address.
    #[default]
    Ip,
    /// Those of one user.
    User,
    /// Those whose tokens say the same.
    Claim(String),
    /// Those with the same header field.
    Header(FieldName),
    /// Those with the same cookie.
    Cookie(CookieName),
}

/// `concurrency:`: a number, `adaptive`, or the bounds of that.
#[derive(Clone, Copy, Debug)]
pub enum Concurrency {
    /// So many.
    Fixed(Count),
    /// As many as the target answers in good time.
    Adaptive(Bounds),
}

/// Between what a concurrency is found.
#[derive(Clone, Copy, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Bounds {
    /// So many may always be under way. Default: `4`.
    pub min: Option<Located<Count>>,
    /// So many at first. Default: `20`.
    pub initial: Option<Located<Count>>,
    /// So many at most. Default: `1000`.
    pub max: Option<Located<Count>>,
}

impl<'de> Deserialize<'de> for Balance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrBlock;

        impl<'de> Visitor<'de> for WordOrBlock {
            type Value = Balance;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word such as leastRequest, or a block such as { algorithm: consistentHash, key: user }")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Balance, E> {
                let algorithm = BalanceAlgorithm::deserialize(word.into_deserializer())?;
                Ok(Balance(BalanceBlock { algorithm, key: None, load_factor: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Balance, A::Error> {
                BalanceBlock::deserialize(MapAccessDeserializer::new(map)).map(Balance)
            }
        }

        deserializer.deserialize_any(WordOrBlock)
    }
}

impl<'de> Deserialize<'de> for HashKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "ip, user, { claim: NAME }, { header: NAME } or { cookie: NAME }";
        match Word::read(deserializer, EXPECTED)? {
            Word::Alone(word) if word == "ip" => Ok(HashKey::Ip),
            Word::Alone(word) if word == "user" => Ok(HashKey::User),
            Word::Of(key, claim) if key == "claim" && !claim.is_empty() => Ok(HashKey::Claim(claim)),
            Word::Of(key, name) if key == "header" => name.parse().map(HashKey::Header).map_err(D::Error::custom),
            Word::Of(key, name) if key == "cookie" => name.parse().map(HashKey::Cookie).map_err(D::Error::custom),
            Word::Alone(word) | Word::Of(word, _) => {
                Err(D::Error::custom(format!("\"{word}\" is no key; write {EXPECTED}")))
            }
        }
    }
}

impl Serialize for HashKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            HashKey::Ip => serializer.serialize_str("ip"),
            HashKey::User => serializer.serialize_str("user"),
            HashKey::Claim(claim) => one(serializer, "claim", claim),
            HashKey::Header(name) => one(serializer, "header", name),
            HashKey::Cookie(name) => one(serializer, "cookie", name),
        }
    }
}

impl Block for Concurrency {
    const ON: Option<fn() -> Self> = None;
    const EXPECTED: &'static str = "a number such as 100, adaptive, { min: 4, max: 1000 }, or off";

    fn from_word<E: Error>(word: &str) -> Option<Result<Self, E>> {
        match word {
            "adaptive" => Some(Ok(Concurrency::Adaptive(Bounds::default()))),
            _ => word
                .parse()
                .ok()
                .map(|number: u64| number.to_string().parse().map(Concurrency::Fixed).map_err(E::custom)),
        }
    }
}

impl<'de> Deserialize<'de> for Concurrency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bounds::deserialize(deserializer).map(Concurrency::Adaptive)
    }
}
