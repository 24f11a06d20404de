//! `timeouts:`

use super::words::{Positive, PositiveOrOff};
use crate::config::located::Located;

/// `timeouts:`
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { connect: 500ms, firstByte: 5s }")]
pub struct Timeouts {
    /// For a connection to be made. Default: 2s.
    pub connect: Option<Located<Positive>>,
    /// From the end of the request to the head of its answer. Default: 30s.
    pub first_byte: Option<Located<Positive>>,
    /// Between two pieces of an answer, or of a request. Default: 60s.
    pub read: Option<Located<Positive>>,
    /// For all of a request, its retries included, but for tunnels. Default: off.
    pub total: Option<Located<PositiveOrOff>>,
    /// How long a connection to a target is kept unused. Default: 60s.
    pub idle: Option<Positive>,
}
