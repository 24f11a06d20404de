//! Who a client is by the certificate that it has shown, which was checked before.

use rustls_pki_types::CertificateDer;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

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
            subject: text(certificate.subject()),
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

/// A name as text in the order in which it is written, its values escaped (RFC 4514, section 2.4), so that no two names have the same
/// text.
fn text(name: &X509Name<'_>) -> String {
    let parts = name.iter().map(|part| {
        let pairs = part.iter().map(|pair| {
            let kind = oid2abbrev(pair.attr_type(), oid_registry())
                .map_or_else(|_| pair.attr_type().to_id_string(), str::to_owned);
            // What is no text is written as its encoding.
            let value = match pair.as_str() {
                Ok(value) => escaped(value),
                Err(_) => format!("#{}", hex(pair.attr_value().data)),
            };
            format!("{kind}={value}")
        });
        pairs.collect::<Vec<_>>().join(" + ")
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (place, c) in value.chars().enumerate() {
        let is_at_the_edge = place == 0 && c == '#' || (place == 0 || place == last) && c == ' ';
        if is_at_the_edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
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

    #[test]
    fn no_two_subjects_are_one_text() {
        let subject = |names: &[(DnType, &str)]| {
            let mut params = CertificateParams::new([]).expect("params");
            params.distinguished_name = rcgen::DistinguishedName::new();
            names.iter().for_each(|(kind, name)| params.distinguished_name.push(kind.clone(), *name));
            let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
            ClientCertificate::of(certificate.der()).expect("a certificate").subject
        };
        let two = subject(&[(DnType::CommonName, "billing"), (DnType::OrganizationName, "Example")]);
        assert_eq!(two, "CN=billing, O=Example");
        for (name, text) in [
            ("billing, O=Example", "CN=billing\\, O=Example"),
            ("a + O=b", "CN=a \\+ O=b"),
            (" a ", "CN=\\ a\\ "),
            ("#41", "CN=\\#41"),
            ("a\\, O=b", "CN=a\\\\\\, O=b"),
            ("Zoë", "CN=Zoë"),
        ] {
            assert_eq!(subject(&[(DnType::CommonName, name)]), text);
        }
    }
}
