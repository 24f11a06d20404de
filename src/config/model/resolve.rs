//! How names of targets are looked up, as it runs.

use std::time::Duration;

use serde::Serialize;

use super::period;
use crate::config::units::NameServer;

/// How names of targets are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolve {
    /// Whom to ask; empty: whom the system asks, and the system itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<NameServer>,
    /// A name is not looked up again before.
    #[serde(serialize_with = "period")]
    pub min: Duration,
    /// Nor later, whatever its time to live.
    #[serde(serialize_with = "period")]
    pub max: Duration,
    /// For one answer.
    #[serde(serialize_with = "period")]
    pub timeout: Duration,
}
