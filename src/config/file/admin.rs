//! `admin:`

use super::OrOff;
use crate::config::located::{Located, OneOrMany};
use crate::config::units::{Count, ListenAddress};

/// `admin:`
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { listen: 127.0.0.1:8001 }")]
pub struct Admin {
    /// Where it listens; beyond loopback only with a token or `tls.clientCaFile`. Default: `127.0.0.1:8001`.
    pub listen: Option<Located<ListenAddress>>,
    /// A file with the token of those who may do everything, of at least 16 bytes. Default: no token is asked for.
    pub token_file: Option<Located<String>>,
    /// A file with the token of those who may only look, another one. Default: none.
    pub read_token_file: Option<Located<String>>,
    /// How it speaks TLS, and whose certificates are good. Default: it does not.
    pub tls: Option<Located<AdminTls>>,
    /// Of how many requests is remembered what became of them, 1 KiB each, at most 100000; or `off`. Default: `4096`.
    pub explain: Option<Located<OrOff<Count>>>,
}

/// `admin.tls:`
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { certFile: cert.pem, keyFile: key.pem, clientCaFile: operators.pem }"
)]
pub struct AdminTls {
    /// A file with the certificate of the listener and after it that of its issuer, as PEM.
    pub cert_file: Located<String>,
    /// A file with its key, as PEM.
    pub key_file: Located<String>,
    /// A file with the authorities of operators' certificates, which they have to show then, as PEM. Default: none is
    /// asked for.
    pub client_ca_file: Option<Located<String>>,
    /// The common names or DNS names of those whose certificate lets them do everything; others may look. Needs
    /// `clientCaFile`. One or a list. Default: nobody.
    #[serde(default)]
    pub writers: Option<Located<OneOrMany<String>>>,
}
