//! A certificate with its chain and its key, as files have them, looked at before a client does.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::plugin::auth::pem::what_is_wrong;

/// One that can be shown to clients.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The names that it is for, in small letters; `*.example.com` is for one label more.
    pub names: Vec<String>,
    /// The chain and what signs with its key.
    pub key: Arc<CertifiedKey>,
    /// When it ends, in seconds since 1970.
    pub ends: i64,
    /// What is odd about it and no error.
    pub warning: Option<String>,
}

impl Certificate {
    /// One whose chain and key are in two PEM files, called so in messages.
    ///
    /// # Errors
    /// What is wrong with it, and with which file.
    pub fn read(
        (cert_file, cert): (&str, &[u8]),
        (key_file, key): (&str, &[u8]),
        now: SystemTime,
    ) -> Result<Self, String> {
        let chain = chain(cert_file, cert)?;
        let Looked { names, ends, warning } = look(&chain, cert_file, now)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| format!("there is no private key in {key_file} that could be read without a password"))?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => format!("the key in {key_file} is not that of {cert_file}"),
            error => format!("the key in {key_file} cannot be used: {error}"),
        })?;
        Ok(Certificate { names, ends, warning, key: Arc::new(key) })
    }
}

/// By the chain, which goes with one key.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

/// What a chain says of itself.
struct Looked {
    names: Vec<String>,
    ends: i64,
    warning: Option<String>,
}

fn look(chain: &[CertificateDer<'_>], file: &str, now: SystemTime) -> Result<Looked, String> {
    let parsed = chain.iter().map(|der| parse(der, file)).collect::<Result<Vec<_>, _>>()?;
    let Some(leaf) = parsed.first() else { return Err(format!("there is no certificate in {file}")) };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let (begins, ends) = (leaf.validity().not_before, leaf.validity().not_after);
    if ends.timestamp() <= now {
        return Err(format!("the certificate in {file} has expired, on {ends}"));
    }
    if begins.timestamp() > now {
        return Err(format!("the certificate in {file} is not valid before {begins}"));
    }
    if let Some(pair) = parsed.windows(2).find(|pair| pair[0].issuer() != pair[1].subject()) {
        return Err(format!(
            "in {file} the certificate of {} is followed by that of {}, which is not its issuer; write the \
             certificate of the server first and after each that of its issuer",
            pair[0].subject(),
            pair[1].subject()
        ));
    }
    let names = names(leaf);
    let is_alone = parsed.len() == 1 && leaf.issuer() != leaf.subject();
    let warning = if names.is_empty() {
        Some(format!("the certificate in {file} has no name that clients would look for (subjectAltName)"))
    } else if is_alone {
        Some(format!(
            "{file} has a certificate and none of its issuer, {}; clients that do not know that one will \
             refuse it, unless it follows in the file",
            leaf.issuer()
        ))
    } else {
        None
    };
    Ok(Looked { names, ends: ends.timestamp(), warning })
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
/// There is none, or one that cannot be read.
pub fn chain(file: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if !chain.is_empty() => {
            chain.iter().try_for_each(|der| parse(der, file).map(drop))?;
            Ok(chain)
        }
        Ok(_) => Err(format!("there is no certificate in {file}; write the name of a PEM file")),
        Err(error) => Err(format!("a certificate in {file} cannot be read: {}", what_is_wrong(&error))),
    }
}

fn parse<'d>(der: &'d CertificateDer<'_>, file: &str) -> Result<X509Certificate<'d>, String> {
    let parsed = X509Certificate::from_der(der).map_err(|error| format!("a certificate in {file} is none: {error}"));
    parsed.map(|(_, certificate)| certificate)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => ip(bytes),
        _ => None,
    });
    dns.collect()
}

fn ip(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};

    use super::*;

    /// One that signs itself.
    pub fn made(names: &[&str]) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let certificate = params.and_then(|params| params.self_signed(&key)).expect("a certificate");
        load(&certificate.pem(), &key.serialize_pem(), SystemTime::now()).expect("good")
    }

    fn load(cert: &str, key: &str, now: SystemTime) -> Result<Certificate, String> {
        Certificate::read(("cert.pem", cert.as_bytes()), ("key.pem", key.as_bytes()), now)
    }

    #[test]
    fn names_are_those_of_the_alternative_names() {
        let certificate = made(&["A.example", "*.a.example", "127.0.0.1"]);
        assert_eq!(certificate.names, ["a.example", "*.a.example", "127.0.0.1"]);
        assert_eq!(certificate.warning, None);
        assert!(made(&[]).warning.is_some_and(|warning| warning.contains("no name")));
    }

    #[test]
    fn what_clients_would_refuse_is_refused_here() {
        let (key, other) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("params");
        let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
        (params.not_before, params.not_after) = ((now - 9 * day).into(), (now + 9 * day).into());
        let certificate = params.self_signed(&key).expect("a certificate");
        let load = |cert: &str, key: &str, now: SystemTime| load(cert, key, now).map(|certificate| certificate.names);
        let (cert, pem) = (certificate.pem(), key.serialize_pem());
        assert_eq!(load(&cert, &pem, now), Ok(vec!["a.example".to_owned()]));
        for (cert, key, now, what) in [
            (cert.as_str(), pem.as_str(), now + 10 * day, "has expired, on "),
            (&cert, &pem, now - 10 * day, "is not valid before "),
            (&cert, &other.serialize_pem(), now, "is not that of "),
            (&cert, &cert, now, "there is no private key in "),
            ("", &pem, now, "there is no certificate in "),
            (&pem, &pem, now, "there is no certificate in "),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &pem, now, "cert.pem"),
        ] {
            let error = load(cert, key, now).expect_err(what);
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn a_chain_is_in_order_and_a_lone_leaf_is_warned_of() {
        let params = |name: &str| {
            let mut params = CertificateParams::new([name.to_owned()]).expect("params");
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params
        };
        let authority = |name| {
            let mut params = params(name);
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
        };
        let (ours, stranger) = (authority("ours"), authority("stranger"));
        let key = KeyPair::generate().expect("a key");
        let leaf = params("leaf").signed_by(&key, &ours).expect("a leaf").pem();
        let load = |cert: &str| load(cert, &key.serialize_pem(), SystemTime::now());
        assert_eq!(load(&(leaf.clone() + &ours.pem())).map(|good| good.warning), Ok(None));
        let alone = load(&leaf).expect("good").warning.expect("a warning");
        assert!(alone.contains("CN=ours"), "{alone}");
        let error = load(&(leaf + &stranger.pem())).expect_err("another's");
        assert!(error.contains("is followed by that of CN=stranger"), "{error}");
    }
}
