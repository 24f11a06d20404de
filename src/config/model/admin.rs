//! `admin:`

use std::net::SocketAddr;

use serde::Serialize;

use super::{CertificateFiles, or_off};
use crate::config::units::Secret;
use crate::tls::certificate::Certificate;
use crate::tls::terminator::{ClientAuth, MinVersion, Terminator};

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the token is of those who may do everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    /// What they have to show; there if there is a file.
    #[serde(skip)]
    pub token: Option<Secret>,
    /// Where the token is of those who may look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_token_file: Option<String>,
    /// What they have to show; there if there is a file.
    #[serde(skip)]
    pub read_token: Option<Secret>,
    /// TLS, if it is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<AdminTls>,
    /// Of how many requests is remembered what became of them.
    #[serde(serialize_with = "or_off")]
    pub explain: Option<u32>,
}

/// How the admin listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminTls {
    /// Whence its certificate is.
    #[serde(flatten)]
    pub files: CertificateFiles,
    /// And what was in there.
    #[serde(skip)]
    pub loaded: Option<Certificate>,
    /// Whence the authorities of operators are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<String>,
    /// And what was in there.
    #[serde(skip)]
    pub clients: Option<ClientAuth>,
    /// Whose certificate lets them do everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub writers: Vec<String>,
}

impl AdminTls {
    /// What ends the TLS of operators, in place of what did `before`.
    ///
    /// # Errors
    /// Something in it does not go together.
    pub fn terminator(&self, before: Option<&Terminator>) -> Result<Terminator, rustls::Error> {
        let terminator = Terminator::new(self.loaded.as_slice(), self.clients.as_ref(), MinVersion::Tls12, before)?;
        Ok(terminator.http1_only())
    }
}
