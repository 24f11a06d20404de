//! `upstreamTls:`

use crate::config::located::Located;

/// `upstreamTls:`
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { caFile: ca.pem }")]
pub struct UpstreamTls {
    /// A file with the authorities that targets' certificates may come from, as PEM. Default: those of the system.
    pub ca_file: Option<Located<String>>,
    /// A file with the certificate to show to targets, as PEM; with `keyFile`. Default: none.
    pub cert_file: Option<Located<String>>,
    /// A file with its key, as PEM.
    pub key_file: Option<Located<String>>,
    /// The name to ask for and to look for in the certificate. Default: the host of the target.
    pub server_name: Option<Located<String>>,
    /// Whether any certificate is taken, which is warned of. Default: `false`.
    #[serde(default)]
    pub insecure_skip_verify: Located<bool>,
}
