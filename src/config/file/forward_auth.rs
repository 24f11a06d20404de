//! `plugins.forwardAuth:`

use super::words::{Block, Positive};
use crate::config::located::{Located, OneOrMany};

/// `plugins.forwardAuth:`
#[derive(Clone, Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { url: http://auth:9000/check }")]
pub struct ForwardAuth {
    /// What is asked about each request; a 2xx lets it pass, any other answer is the client's.
    pub url: Located<String>,
    /// All that its answer may take; then 503. Default: `2s`.
    pub timeout: Option<Positive>,
    /// Fields of its answer that go upstream, such as x-user-id, which clients cannot set; one or a list. Default:
    /// none.
    #[serde(default)]
    pub response_headers: OneOrMany<Located<String>>,
}

impl Block for ForwardAuth {
    const ON: Option<fn() -> Self> = None;
    const EXPECTED: &'static str = "off, or a block such as { url: http://auth:9000/check }";
}
