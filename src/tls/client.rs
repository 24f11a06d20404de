//! Who a client is by the certificate that it has shown, which was checked before.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a client's certificate says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject as text: `CN=billing, O=Example` (RFC 4514).
    pub subject: String,
    /// Its common name, if it has just one.
    pub common_name: Option<String>,
    /// Its first name of DNS, if it has any.
    pub dns: Option<String>,
    /// Its first URI, as SPIFFE has it.
    pub uri: Option<String>,
    /// Its first address of mail.
    pub email: Option<String>,
    /// SHA-256 of all of it, in hexadecimal.
    pub fingerprint: String,
}

impl ClientCertificate {
    /// What `der` says. `None` where it is no certificate.
    pub fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut found = ClientCertificate {
            subject: certificate.subject().to_string(),
            fingerprint: hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der).as_ref()),
            ..ClientCertificate::default()
        };
        let mut common_names = certificate.subject().iter_common_name();
        if let (Some(name), None) = (common_names.next(), common_names.next()) {
            found.common_name = name.as_str().ok().map(str::to_owned);
        }
        if let Ok(Some(names)) = certificate.subject_alternative_name() {
            for name in &names.value.general_names {
                let (place, value) = match name {
                    GeneralName::DNSName(value) => (&mut found.dns, value),
                    GeneralName::URI(value) => (&mut found.uri, value),
                    GeneralName::RFC822Name(value) => (&mut found.email, value),
                    _ => continue,
                };
                place.get_or_insert_with(|| (*value).to_owned());
            }
        }
        Some(found)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_certificate_says_who_somebody_is() {
        let mut params = CertificateParams::new(["billing.example".to_owned()]).expect("params");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "billing");
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        let uri = "spiffe://example/billing";
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        let found = ClientCertificate::of(certificate.der()).expect("a certificate");
        assert_eq!(found.subject, "CN=billing, O=Example");
        assert_eq!(found.common_name.as_deref(), Some("billing"));
        assert_eq!((found.dns.as_deref(), found.uri.as_deref()), (Some("billing.example"), Some(uri)));
        assert_eq!((found.email, found.fingerprint.len()), (None, 64));
        assert_eq!(ClientCertificate::of(&CertificateDer::from(vec![0; 9])), None);
    }
}
