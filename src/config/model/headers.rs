//! `plugins.headers:`

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::config::units::Secret;

/// What is changed in requests and in answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HeaderRules {
    /// In what is sent to targets.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub request: HeaderEdits,
    /// In answers.
    #[serde(skip_serializing_if = "HeaderEdits::is_empty")]
    pub response: HeaderEdits,
}

/// Changes of fields, in this order. Values that may be credentials, and those with variables in them, are marked as sensitive.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderEdits {
    /// Fields that are left out.
    pub remove: Vec<HeaderName>,
    /// Fields in place of those of the same name.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields beside those of the same name.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderEdits {
    /// Whether they change nothing.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

impl Serialize for HeaderEdits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut added: BTreeMap<&str, Vec<Shown<'_>>> = BTreeMap::new();
        for (name, value) in &self.add {
            added.entry(name.as_str()).or_default().push(Shown(value));
        }
        let set: BTreeMap<&str, Shown<'_>> =
            self.set.iter().map(|(name, value)| (name.as_str(), Shown(value))).collect();
        let removed: Vec<&str> = self.remove.iter().map(HeaderName::as_str).collect();
        let mut map = serializer.serialize_map(None)?;
        if !removed.is_empty() {
            map.serialize_entry("remove", &removed)?;
        }
        if !set.is_empty() {
            map.serialize_entry("set", &set)?;
        }
        if !added.is_empty() {
            map.serialize_entry("add", &added)?;
        }
        map.end()
    }
}

struct Shown<'v>(&'v HeaderValue);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.to_str() {
            Ok(text) if !self.0.is_sensitive() => serializer.serialize_str(text),
            _ => Secret::new("").serialize(serializer),
        }
    }
}
