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
            let (tag, data) = (pair.attr_value().tag().0, pair.attr_value().data);
            // What is no text is written by its tag and its bytes.
            let value = string(tag, data).map_or_else(|| format!("#{tag:02x}{}", hex(data)), |value| escaped(&value));
            format!("{kind}={value}")
        });
        pairs.collect::<Vec<_>>().join(" + ")
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// The text of a string of this tag (X.680, section 8.4).
fn string(tag: u32, data: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, and those that are taken for it: Numeric, Printable, T61, Videotex, IA5, Graphic, Visible, General.
        12 | 18..=22 | 25..=27 => String::from_utf8(data.to_vec()).ok(),
        // BMPString.
        30 if data.len().is_multiple_of(2) => {
            let units: Vec<u16> = data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
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
    fn names_are_read_in_whatever_string_they_are_written() {
        assert_eq!(string(30, &[0, b'Z', 0, b'o', 0, 0xeb]).as_deref(), Some("Zoë"));
        assert_eq!((string(20, b"T61").as_deref(), string(26, b"Visible").as_deref()), (Some("T61"), Some("Visible")));
        for (tag, data) in [(30, &b"odd"[..]), (30, &[0xd8, 0]), (12, b"\xff"), (4, b"octets")] {
            assert_eq!(string(tag, data), None, "{tag} {data:?}");
        }
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
