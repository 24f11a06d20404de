//! `upstreamTls:`

use std::fmt;

use rustls_pki_types::CertificateDer;
use serde::Serialize;

/// How targets are spoken to by TLS.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamTls {
    /// Whence the authorities of their certificates are, if not the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Whence the certificate is that they are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<String>,
    /// And its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// The name in their certificates, where it is not their host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whether any certificate is taken.
    pub insecure_skip_verify: bool,
    /// What was in the files: the authorities,
    #[serde(skip)]
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// and the chain with its key.
    #[serde(skip)]
    pub own: Option<(Vec<CertificateDer<'static>>, Vec<u8>)>,
}

impl UpstreamTls {
    /// Whether nothing is said of it.
    pub fn is_default(&self) -> bool {
        let UpstreamTls { ca_file, cert_file, server_name, insecure_skip_verify, .. } = self;
        ca_file.is_none() && cert_file.is_none() && server_name.is_none() && !insecure_skip_verify
    }
}

/// Without the key.
impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTls")
            .field("ca_file", &self.ca_file)
            .field("cert_file", &self.cert_file)
            .finish_non_exhaustive()
    }
}
