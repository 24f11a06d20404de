//! `tls:`

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use crate::tls::certificate::Certificate;
use crate::tls::terminator::{self, MinVersion, Terminator};

/// Where and how clients are served by TLS.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Where to listen; at least one.
    pub listen: Vec<SocketAddr>,
    /// Whence certificates are.
    pub certificates: Vec<CertificateFiles>,
    /// And what was in there.
    #[serde(skip)]
    pub loaded: Vec<Certificate>,
    /// Whom clients' certificates come from, if they are asked for any.
    #[serde(flatten)]
    pub clients: Option<Clients>,
    /// The least version that is spoken.
    #[serde(serialize_with = "version")]
    pub min_version: MinVersion,
    /// Where requests are sent to https from, if anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
}

impl Tls {
    /// What ends the TLS of clients so, in place of what did `before`.
    ///
    /// # Errors
    /// Something in it does not go together.
    pub fn terminator(&self, before: Option<&Terminator>) -> Result<Terminator, rustls::Error> {
        let clients = self.clients.as_ref().map(|clients| &clients.auth);
        Terminator::new(&self.loaded, clients, self.min_version, before)
    }

    /// All addresses that are listened on for its sake.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listen.iter().copied().chain(self.redirect.as_ref().map(|redirect| redirect.listen))
    }
}

/// Two files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateFiles {
    /// The chain.
    pub cert_file: String,
    /// The key.
    pub key_file: String,
}

/// Clients' certificates.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Clients {
    /// Whence their authorities are.
    pub client_ca_file: String,
    /// And what was in there.
    #[serde(rename = "clientAuth", serialize_with = "client_auth")]
    pub auth: terminator::ClientAuth,
}

/// Where plain HTTP is answered with where to go.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Redirect {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The port of https.
    pub port: u16,
}

fn version<S: Serializer>(version: &MinVersion, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match version {
        MinVersion::Tls12 => "1.2",
        MinVersion::Tls13 => "1.3",
    })
}

fn client_auth<S: Serializer>(auth: &terminator::ClientAuth, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if auth.is_required { "required" } else { "optional" })
}
