//! `shutdown:`

use crate::config::units::Period;

/// `shutdown:`
#[derive(Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { drain: 5s, timeout: 30s }")]
pub struct Shutdown {
    /// How long clients are served on that come after `readyz` says no. Default: `5s`.
    pub drain: Option<Period>,
    /// How long requests may go on that are under way after that. Default: `30s`.
    pub timeout: Option<Period>,
}
