//! `tls:`

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::config::located::{Located, OneOrMany};
use crate::config::units::{ListenAddress, Port};

/// `tls:`
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { certificates: [{ certFile: cert.pem, keyFile: key.pem }] }"
)]
pub struct Tls {
    /// Where to listen; one address or a list. Default: `0.0.0.0:8443`.
    pub listen: Option<OneOrMany<Located<ListenAddress>>>,
    /// What clients are shown: the first whose name they ask for, else the first of all; one or a list.
    pub certificates: OneOrMany<Located<CertificateFiles>>,
    /// A file with the authorities that clients' certificates may come from, as PEM. Default: clients are not asked for
    /// any.
    pub client_ca_file: Option<Located<String>>,
    /// Whether clients have to show a certificate; needs `clientCaFile`. Default: required, with a `clientCaFile`.
    pub client_auth: Option<Located<ClientAuth>>,
    /// The oldest version that is spoken. Default: `1.2`.
    pub min_version: Option<MinVersion>,
    /// Where requests are sent to https from: an address, or a block. Default: nowhere.
    pub redirect: Option<Located<Redirect>>,
}

/// One of `tls.certificates`.
#[derive(Clone, Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { certFile: cert.pem, keyFile: key.pem }"
)]
pub struct CertificateFiles {
    /// A file with the certificate of the server and after it that of its issuer, as PEM; read again when it changes.
    pub cert_file: Located<String>,
    /// A file with its key, as PEM.
    pub key_file: Located<String>,
}

/// `clientAuth:`
#[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientAuth {
    /// Without one there is no connection.
    Required,
    /// Who shows one is known by it.
    Optional,
}

/// `minVersion:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinVersion(pub crate::tls::terminator::MinVersion);

impl<'de> Deserialize<'de> for MinVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use crate::tls::terminator::MinVersion::{Tls12, Tls13};
        match String::deserialize(deserializer)?.as_str() {
            "1.2" => Ok(MinVersion(Tls12)),
            "1.3" => Ok(MinVersion(Tls13)),
            other => {
                Err(D::Error::custom(format!("\"{other}\" is no version of TLS that is spoken; write 1.2 or 1.3")))
            }
        }
    }
}

/// `redirect:`, an address, or a block.
#[derive(Clone, Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { listen: 0.0.0.0:8080, port: 443 }"
)]
pub struct RedirectBlock {
    /// Where plain HTTP comes.
    pub listen: ListenAddress,
    /// The port that clients reach https by. Default: that of `tls.listen`.
    pub port: Option<Port>,
}

/// See [`RedirectBlock`].
#[derive(Clone, Debug)]
pub struct Redirect(pub RedirectBlock);

impl<'de> Deserialize<'de> for Redirect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressOrBlock;

        impl<'de> Visitor<'de> for AddressOrBlock {
            type Value = Redirect;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as 0.0.0.0:8080, or a block such as { listen: 0.0.0.0:8080, port: 443 }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Redirect, E> {
                let listen = text.parse().map_err(E::custom)?;
                Ok(Redirect(RedirectBlock { listen, port: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Redirect, A::Error> {
                RedirectBlock::deserialize(MapAccessDeserializer::new(map)).map(Redirect)
            }
        }

        deserializer.deserialize_any(AddressOrBlock)
    }
}
