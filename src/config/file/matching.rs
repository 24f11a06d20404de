//! `matchHeaders:`, `rewrite:`

use serde::de::{Deserialize, Deserializer, Error};

use super::words::Word;
use crate::config::located::Located;
use crate::config::units::RoutePath;
use crate::routing::fields::Test;
use crate::routing::pattern::Pattern;

/// `rewrite:`
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a block such as { prefix: /v2 } or { regex: ^/old/(.*), replacement: /new/$$1 }"
)]
pub struct Rewrite {
    /// What takes the place of the route's path.
    pub prefix: Option<RoutePath>,
    /// In place of that: what is looked for in the whole path.
    pub regex: Option<Pattern>,
    /// And what takes its place: text, and `$1` or `${name}` for what groups of `regex` have found; a dollar sign is
    /// written twice.
    pub replacement: Option<Located<String>>,
}

/// What a header field has to be: a value, `"*"`, or a block with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTest(pub Test);

impl<'de> Deserialize<'de> for FieldTest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a value, \"*\" for any, { prefix: … } or { regex: … }";
        let (test, text) = match Word::read(deserializer, EXPECTED)? {
            Word::Alone(word) if word == "*" => return Ok(FieldTest(Test::Present)),
            Word::Alone(text) => (Test::Exact(text.clone()), text),
            Word::Of(key, text) if key == "exact" => (Test::Exact(text.clone()), text),
            Word::Of(key, text) if key == "prefix" && text.is_empty() => {
                return Err(D::Error::custom(format!("every value begins with {text:?}; write \"*\"")));
            }
            Word::Of(key, text) if key == "prefix" => (Test::Prefix(text.clone()), text),
            Word::Of(key, text) if key == "regex" => (Test::Regex(text.parse().map_err(D::Error::custom)?), text),
            Word::Of(key, _) => {
                return Err(D::Error::custom(format!("\"{key}\" is no way to look at a value; write {EXPECTED}")));
            }
        };
        match text.trim() == text && http::HeaderValue::from_str(&text).is_ok() {
            true => Ok(FieldTest(test)),
            false => Err(D::Error::custom(format!("no field has {text:?}; write it without spaces around it"))),
        }
    }
}
