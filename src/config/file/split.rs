//! `groups:`, `sticky:`, `mirror:`

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

use super::target::Targets;
use super::words::{Block, Word, one};
use crate::config::located::Located;
use crate::config::units::{CookieName, Count, FieldName, ScopeName, TargetUrl, Weight};
use crate::ratio::Ratio;

/// One entry of `groups:`.
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { name: canary, weight: 5, targets: [http://users-next:3001] }"
)]
pub struct Group {
    /// What it is called; no two of a route have the same.
    pub name: Located<ScopeName>,
    /// How many of the requests it gets, beside the others; 0: none.
    pub weight: Weight,
    /// Where they go; one or a list.
    pub targets: Option<Targets>,
    /// The same as `targets`.
    pub target: Option<Targets>,
}

/// `sticky:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// Requests with the same value of a header go to the same group.
    Header(FieldName),
    /// A cookie of ours says which.
    Cookie(CookieName),
}

/// `mirror:`
#[derive(Clone, Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Mirror {
    /// Where copies go.
    pub target: TargetUrl,
    /// How many of the requests are copied. Default: `100%`.
    pub share: Option<Ratio>,
    /// How many copies there may be under way; more are not made. Default: `100`.
    pub concurrency: Option<Count>,
}

impl Block for Mirror {
    const ON: Option<fn() -> Self> = None;
    const EXPECTED: &'static str = "off, or a block such as { target: http://shadow:3001, share: 10% }";
}

impl<'de> Deserialize<'de> for Sticky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "{ header: NAME } or { cookie: NAME }";
        match Word::read(deserializer, EXPECTED)? {
            Word::Of(key, name) if key == "header" => name.parse().map(Sticky::Header).map_err(D::Error::custom),
            Word::Of(key, name) if key == "cookie" => name.parse().map(Sticky::Cookie).map_err(D::Error::custom),
            Word::Alone(word) | Word::Of(word, _) => {
                Err(D::Error::custom(format!("\"{word}\" is nothing to stick to; write {EXPECTED}")))
            }
        }
    }
}

impl Serialize for Sticky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Sticky::Header(name) => one(serializer, "header", name),
            Sticky::Cookie(name) => one(serializer, "cookie", name),
        }
    }
}
