//! `redis:`

use crate::config::located::{Located, OneOrMany};
use crate::config::units::{Period, Secret};

/// `redis:`
#[derive(Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { url: redis://redis:6379 }")]
pub struct Redis {
    /// `redis://[user:password@]host[:port][/db]`, `rediss://` for TLS, or
    /// `redis+sentinel://[user:password@]host:port,host:port/SERVICE[/db]`. Empty: limits are kept in the process.
    /// Default: the environment's `REDIS_URL`.
    pub url: Option<Located<Secret>>,
    /// In place of `url`: some nodes of a Redis Cluster, as URLs, of which one has to answer. One or a list.
    pub cluster: Option<Located<OneOrMany<Located<Secret>>>>,
    /// The longest that one call may take before the request is decided from memory. Default: `50ms`.
    pub timeout: Option<Located<Period>>,
    /// A file with the authorities that Redis' certificate may come from, as PEM. Default: those of the system.
    pub ca_file: Option<Located<String>>,
    /// A file with the certificate to show to Redis, as PEM; with `keyFile`. Default: none.
    pub cert_file: Option<Located<String>>,
    /// A file with its key, as PEM.
    pub key_file: Option<Located<String>>,
}
