//! How targets are asked whether they are well, as it runs.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::{UpstreamTls, period};
use crate::config::conceal;
use crate::config::units::StatusRange;
use crate::ratio::Ratio;

/// How a target is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// How it is asked.
    #[serde(rename = "type")]
    pub kind: CheckKind,
    /// What is asked for, of [`CheckKind::Http`].
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "path")]
    pub path: Option<String>,
    /// The `Host` it is asked with, if not its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The statuses that are well, of [`CheckKind::Http`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<StatusRange>,
    /// The service that is asked about, of [`CheckKind::Grpc`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The port that is asked, if not the target's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How often.
    #[serde(serialize_with = "period")]
    pub interval: Duration,
    /// By how much shorter or longer by chance.
    pub jitter: Ratio,
    /// How long an answer may take.
    #[serde(serialize_with = "period")]
    pub timeout: Duration,
    /// Good checks in a row that make an ill target well.
    pub healthy_after: NonZeroU32,
    /// Bad checks in a row that make a well target ill.
    pub unhealthy_after: NonZeroU32,
    /// Whether good checks let an open circuit probe early.
    pub reopens: bool,
    /// How it is spoken to by TLS, as with requests.
    #[serde(skip)]
    pub tls: UpstreamTls,
}

/// Without the query, in which there may be a secret.
fn path<S: Serializer>(path: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| conceal::bare(path).unwrap_or_else(|| path.clone())).serialize(serializer)
}

/// How a target is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckKind {
    /// By a `GET`.
    #[default]
    Http,
    /// By connecting.
    Tcp,
    /// By gRPC's own protocol for it.
    Grpc,
}
