//! `shutdown:`

use std::time::Duration;

use serde::Serialize;

use super::period;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shutdown {
    /// How long clients are served on that come after `readyz` says no.
    #[serde(serialize_with = "period")]
    pub drain: Duration,
    /// How long requests may go on that are under way after that.
    #[serde(serialize_with = "period")]
    pub timeout: Duration,
}
