//! How long to wait for a target, as it runs.

use std::time::Duration;

use serde::Serialize;

use super::{period, period_or_off};

/// How long to wait for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// For a connection to be made.
    #[serde(serialize_with = "period")]
    pub connect: Duration,
    /// From the end of the request to the head of its answer.
    #[serde(serialize_with = "period")]
    pub first_byte: Duration,
    /// Between two pieces of an answer, or of a request.
    #[serde(serialize_with = "period")]
    pub read: Duration,
    /// For all of a request; `None`: as long as it takes.
    #[serde(serialize_with = "period_or_off")]
    pub total: Option<Duration>,
    /// How long a connection is kept unused.
    #[serde(serialize_with = "period")]
    pub idle: Duration,
}

impl Timeouts {
    /// The longest that an attempt can keep its target's answer waiting.
    pub fn attempt(&self) -> Duration {
        let parts = self.connect + self.first_byte;
        self.total.map_or(parts, |total| parts.min(total))
    }
}
