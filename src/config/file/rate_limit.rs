//! `plugins.rateLimit:`

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess};
use serde::{Serialize, Serializer};

use super::words::{Block, Switch, Word, one};
use crate::config::located::{Located, OneOrMany};
use crate::config::model::{LimitAlgorithm, LimitHeaders, LimitSync, OnRedisDown};
use crate::config::units::{Count, FieldName, Prefix, ScopeName, Window};

/// One limit, or several.
#[derive(Clone, Debug)]
pub struct RateLimits {
    /// At least one.
    pub rules: Vec<Located<RateLimit>>,
    /// They stand in a list.
    pub listed: bool,
}

/// One limit.
#[derive(Clone, Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { max: 10, window: 60 }")]
pub struct RateLimit {
    /// Requests that one client may make in one window.
    pub max: Located<Count>,
    /// How long a window is.
    pub window: Window,
    /// How requests are counted. Default: `fixedWindow`.
    #[serde(default)]
    pub algorithm: LimitAlgorithm,
    /// Requests that may come at once, of `tokenBucket`. Default: as many as `max`.
    pub burst: Option<Located<Count>>,
    /// Who is counted together: `ip`, `user`, `{ claim: NAME }`, `{ header: NAME }`, `route` (all are one), or a list
    /// of these. Who lacks a part is counted by address in its place. Default: `ip`.
    pub key: Option<Located<OneOrMany<Located<KeyPart>>>>,
    /// How many bits of an address make one client. Default: `{ ipv4: 32, ipv6: 64 }`.
    #[serde(default)]
    pub prefixes: Prefixes,
    /// Quotas of single values of the key's first part: a block, or `off`. Default: none.
    #[serde(default)]
    pub overrides: Option<Located<BTreeMap<String, Switch<Override>>>>,
    /// What is counted together: each `route` for itself, or `{ shared: NAME }`, all routes that name it and say the
    /// same otherwise. Default: `route`.
    pub scope: Option<Located<Scope>>,
    /// Whether it only counts and tells, and refuses nobody. Default: `false`.
    #[serde(default)]
    pub dry_run: bool,
    /// What a request takes of the quota: a number; or `{ responseHeader: NAME }`, one before and the rest when the
    /// upstream has said it. Default: `1`.
    pub cost: Option<Located<Cost>>,
    /// What clients are told. Default: `legacy`.
    #[serde(default)]
    pub headers: LimitHeaders,
    /// How replicas keep in step; the same in all limits of a list. Default: `exact`.
    #[serde(default)]
    pub sync: Located<LimitSync>,
    /// Who decides while Redis, though configured, is away. Default: `local`.
    #[serde(default)]
    pub on_redis_down: OnRedisDown,
}

/// `prefixes:`
#[derive(Clone, Copy, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { ipv4: 24, ipv6: 56 }")]
pub struct Prefixes {
    /// 1 to 32. Default: `32`.
    pub ipv4: Option<Located<Prefix>>,
    /// 1 to 128. Default: `64`.
    pub ipv6: Option<Located<Prefix>>,
}

/// One entry of `overrides:`.
#[derive(Clone, Copy, Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Override {
    /// In place of the limit's.
    pub max: Located<Count>,
    /// In place of the limit's. Default: as many as `max`.
    pub burst: Option<Located<Count>>,
}

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The address.
    Ip,
    /// The user of the token.
    User,
    /// All requests are one.
    Route,
    /// A claim of the token.
    Claim(String),
    /// A header field.
    Header(FieldName),
}

/// `scope:`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Each route for itself.
    #[default]
    Route,
    /// All routes that name it.
    Shared(ScopeName),
}

/// `cost:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The same for every request.
    Fixed(Count),
    /// What the upstream says in this header.
    ResponseHeader(FieldName),
}

impl Cost {
    /// What a request takes where nothing is said.
    pub const ONE: Cost = Cost::Fixed(Count(NonZeroU32::MIN));
}

impl Block for RateLimits {
    const ON: Option<fn() -> Self> = None;
    const EXPECTED: &'static str = "a block such as { max: 10, window: 60 }, a list of them, or off";

    fn from_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut rules = Vec::new();
        while let Some(rule) = list.next_element()? {
            rules.push(rule);
        }
        match rules.is_empty() {
            true => Err(A::Error::custom("the list is empty; write off for no limit")),
            false => Ok(RateLimits { rules, listed: true }),
        }
    }
}

impl<'de> Deserialize<'de> for RateLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = RateLimit::deserialize(deserializer)?;
        let rule = Located { at: value.max.at, index: 0, is_filled: false, value };
        Ok(RateLimits { rules: vec![rule], listed: false })
    }
}

impl Block for Override {
    const ON: Option<fn() -> Self> = None;
    const EXPECTED: &'static str = "a block such as { max: 1000 }, or off";
}

impl<'de> Deserialize<'de> for KeyPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "ip, user, route, { claim: NAME } or { header: NAME }";
        match Word::read(deserializer, EXPECTED)? {
            Word::Alone(word) if word == "ip" => Ok(KeyPart::Ip),
            Word::Alone(word) if word == "user" => Ok(KeyPart::User),
            Word::Alone(word) if word == "route" => Ok(KeyPart::Route),
            Word::Of(key, claim) if key == "claim" && !claim.is_empty() => Ok(KeyPart::Claim(claim)),
            Word::Of(key, name) if key == "header" => name.parse().map(KeyPart::Header).map_err(D::Error::custom),
            Word::Alone(word) | Word::Of(word, _) => {
                Err(D::Error::custom(format!("\"{word}\" is no key; write {EXPECTED}")))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "route or { shared: NAME }";
        match Word::read(deserializer, EXPECTED)? {
            Word::Alone(word) if word == "route" => Ok(Scope::Route),
            Word::Of(key, name) if key == "shared" => name.parse().map(Scope::Shared).map_err(D::Error::custom),
            Word::Alone(word) | Word::Of(word, _) => {
                Err(D::Error::custom(format!("\"{word}\" is no scope; write {EXPECTED}")))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a whole number or { responseHeader: NAME }";
        match Word::read(deserializer, EXPECTED)? {
            Word::Alone(number) => number.parse().map(Cost::Fixed).map_err(D::Error::custom),
            Word::Of(key, name) if key == "responseHeader" => {
                name.parse().map(Cost::ResponseHeader).map_err(D::Error::custom)
            }
            Word::Of(word, _) => Err(D::Error::custom(format!("\"{word}\" is no cost; write {EXPECTED}"))),
        }
    }
}

impl Serialize for KeyPart {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            KeyPart::Ip => serializer.serialize_str("ip"),
            KeyPart::User => serializer.serialize_str("user"),
            KeyPart::Route => serializer.serialize_str("route"),
            KeyPart::Claim(claim) => one(serializer, "claim", claim),
            KeyPart::Header(name) => one(serializer, "header", name),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Scope::Route => serializer.serialize_str("route"),
            Scope::Shared(name) => one(serializer, "shared", name),
        }
    }
}

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cost::Fixed(count) => serializer.serialize_u32(count.0.get()),
            Cost::ResponseHeader(name) => one(serializer, "responseHeader", name),
        }
    }
}
