//! `plugins.headers:`

use std::collections::BTreeMap;

use super::words::Block;
use crate::config::located::{Located, OneOrMany};

/// `plugins.headers:`
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { response: { remove: [server] } }"
)]
pub struct HeaderRules {
    /// What is changed in what is sent to targets.
    #[serde(default)]
    pub request: HeaderEdits,
    /// What is changed in answers.
    #[serde(default)]
    pub response: HeaderEdits,
}

/// Either half of it, done in this order.
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { set: { x-team: users } }")]
pub struct HeaderEdits {
    /// Fields to leave out, first; one or a list.
    #[serde(default)]
    pub remove: OneOrMany<Located<String>>,
    /// Fields to write in place of those of the same name.
    #[serde(default)]
    pub set: BTreeMap<String, Located<String>>,
    /// Fields to write beside those of the same name, last; each one value or a list.
    #[serde(default)]
    pub add: BTreeMap<String, OneOrMany<Located<String>>>,
}

impl HeaderEdits {
    /// Each name with where it stands: in which key, and at which value.
    pub fn names(&self) -> impl Iterator<Item = (String, &str, &Located<String>)> {
        let removed = self.remove.iter().map(|name| (format!("remove[{}]", name.index), name.value.as_str(), name));
        let set = self.set.iter().map(|(name, value)| (format!("set.{name}"), name.as_str(), value));
        let added =
            self.add.iter().filter_map(|(name, values)| Some((format!("add.{name}"), name.as_str(), values.first()?)));
        removed.chain(set).chain(added)
    }
}

impl Block for HeaderRules {
    const ON: Option<fn() -> Self> = None;
    const EXPECTED: &'static str = "off, or a block such as { response: { remove: [server] } }";
}
