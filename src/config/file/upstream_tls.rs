//! `upstreamTls:`

use crate::config::located::Located;

/// `upstreamTls:`
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { caFile: ca.pem }")]
pub struct UpstreamTls {
    /// The authorities that targets' certificates may come from, as PEM. Default: those of the system.
    pub ca_file: Option<Located<String>>,
    /// The certificate to show to targets, as PEM.
    pub cert_file: Option<Located<String>>,
    /// And its key.
    pub key_file: Option<Located<String>>,
    /// The name to ask for and to look for in the certificate. Default: the host of the target.
    pub server_name: Option<Located<String>>,
    /// Whether any certificate is taken. Default: no.
    #[serde(default)]
    pub insecure_skip_verify: Located<bool>,
}
