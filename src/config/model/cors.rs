//! `plugins.cors:`

use std::time::Duration;

use http::{HeaderName, Method};
use serde::{Serialize, Serializer};

use super::period;
use crate::config::units::WebOrigin;

/// Whose pages may do what.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Whose pages; at least one.
    pub origins: Vec<WebOrigin>,
    /// By which methods they may ask.
    pub methods: Among<Method>,
    /// Which fields they may send.
    pub headers: Among<HeaderName>,
    /// Which fields of answers they may read.
    pub expose_headers: Among<HeaderName>,
    /// Whether their requests may come with cookies and certificates.
    pub credentials: bool,
    /// How long a browser need not ask again.
    #[serde(serialize_with = "period")]
    pub max_age: Duration,
}

/// Some of a kind, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Among<T> {
    /// All there are.
    All,
    /// These.
    These(Vec<T>),
}

impl<T: AsRef<str>> Serialize for Among<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Among::All => serializer.serialize_str("*"),
            Among::These(some) => serializer.collect_seq(some.iter().map(AsRef::as_ref)),
        }
    }
}
