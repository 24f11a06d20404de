//! `targets:`

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::breaker::Breaker;
use super::words::Switch;
use crate::config::located::{Located, OneOrMany};
use crate::config::units::{Count, Origin, TargetUrl};

/// `targets:`, one or a list; also written `target:`.
pub type Targets = Located<OneOrMany<Located<Target>>>;

/// One entry of `targets:`, a URL or a block with one.
#[derive(Debug)]
pub struct Target {
    /// `http://HOST:PORT`, or what knows targets.
    pub url: Origin,
    /// How much it gets, beside the others. Default: `1`.
    pub weight: Option<Count>,
    /// In place of the route's.
    pub breaker: Option<Located<Switch<Breaker>>>,
}

/// One entry of a file of targets, a URL or a block with one.
#[derive(Debug)]
pub struct FileTarget {
    /// `http://HOST:PORT`
    pub url: TargetUrl,
    /// How much it gets, beside the others. Default: 1.
    pub weight: Option<Count>,
}

/// A target as a block.
#[derive(schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::config) struct TargetBlock {
    /// `http://HOST:PORT`, or what knows targets.
    pub url: Origin,
    /// How many requests it gets, beside the others. Default: `1`.
    pub weight: Option<Count>,
    /// When to stop sending to it, in place of what its route says: a block, or `off`.
    pub breaker: Option<Located<Switch<Breaker>>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FileTargetBlock {
    url: TargetUrl,
    weight: Option<Count>,
}

/// What can be written as a word or as a block.
trait FromWord: Sized {
    fn from_word(word: &str) -> Result<Self, String>;
}

impl FromWord for TargetBlock {
    fn from_word(word: &str) -> Result<Self, String> {
        word.parse().map(|url| TargetBlock { url, weight: None, breaker: None })
    }
}

impl FromWord for FileTargetBlock {
    fn from_word(word: &str) -> Result<Self, String> {
        word.parse().map(|url| FileTargetBlock { url, weight: None })
    }
}

/// Reads either.
struct UrlOrBlock<T>(PhantomData<T>);

impl<'de, T: FromWord + Deserialize<'de>> Visitor<'de> for UrlOrBlock<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as http://users:3001")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_word(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let TargetBlock { url, weight, breaker } = deserializer.deserialize_any(UrlOrBlock(PhantomData))?;
        Ok(Target { url, weight, breaker })
    }
}

impl<'de> Deserialize<'de> for FileTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let FileTargetBlock { url, weight } = deserializer.deserialize_any(UrlOrBlock(PhantomData))?;
        Ok(FileTarget { url, weight })
    }
}
