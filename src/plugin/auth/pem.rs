//! Public keys in PEM: `PUBLIC KEY` (RFC 7468, section 13), and that of a `CERTIFICATE`.

use rustls_pki_types::pem::{self, PemObject, SectionKind};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::key::{Kind, Material};

/// How to get what is wanted.
const HOW: &str = "`openssl pkey -in key.pem -pubout` makes one of a private key";

/// The public keys in `pem`.
///
/// # Errors
/// There is none, or one of them is none that tokens are signed with.
pub fn public_keys(pem: &[u8]) -> Result<Vec<Material>, String> {
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        match section.map_err(|error| format!("PEM that is broken ({}); {HOW}", what_is_wrong(&error)))? {
            (SectionKind::PublicKey, der) => keys.push(of_info(&der)?),
            (SectionKind::Certificate, der) => keys.push(of_certificate(&der)?),
            (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err(format!("a private key, with which tokens could be made; write the public one: {HOW}"));
            }
            _ => {}
        }
    }
    if keys.is_empty() { Err(format!("no PEM with a PUBLIC KEY; {HOW}")) } else { Ok(keys) }
}

/// What is wrong with PEM, without what is in there.
pub fn what_is_wrong(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a part without its end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins no part",
        pem::Error::Base64Decode(_) => "not Base64",
        pem::Error::NoItemsFound => "nothing is in there",
        _ => "it cannot be read",
    }
}

fn of_certificate(der: &[u8]) -> Result<Material, String> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => of_spki(certificate.public_key()),
        Err(_) => Err("a CERTIFICATE that is none".to_owned()),
    }
}

fn of_info(der: &[u8]) -> Result<Material, String> {
    match SubjectPublicKeyInfo::from_der(der) {
        Ok((_, info)) => of_spki(&info),
        Err(_) => Err(format!("a PUBLIC KEY that is none; {HOW}")),
    }
}

/// By the names of algorithms in RFC 8017 (RSA), RFC 5480 (curves) and RFC 8410 (Ed25519).
fn of_spki(info: &SubjectPublicKeyInfo<'_>) -> Result<Material, String> {
    let name = |id: &x509_parser::der_parser::oid::Oid<'_>| id.to_id_string();
    let parameter = info.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|id| name(&id));
    let point = info.subject_public_key.data.as_ref();
    match (name(&info.algorithm.algorithm).as_str(), parameter.as_deref()) {
        ("1.2.840.113549.1.1.1", _) => match info.parsed() {
            Ok(PublicKey::RSA(key)) => Material::rsa(key.modulus, key.exponent),
            _ => Err(format!("an RSA key that is none; {HOW}")),
        },
        ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => Material::point(Kind::P256, point),
        ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => Material::point(Kind::P384, point),
        ("1.3.101.112", _) => Material::point(Kind::Ed25519, point),
        (other, _) => {
            Err(format!("a key of a kind ({other}) that is not known here; RSA, P-256, P-384 and Ed25519 are"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_pem_is_said_without_what_is_in_there() {
        let begin = "-----BEGIN PUBLIC KEY-----";
        for (text, said) in [
            (format!("{begin}\nc2VjcmV0\n"), "a part without its end"),
            ("-----BEGIN secret\n".to_owned(), "a line that begins no part"),
            (format!("{begin}\nsecret!\n-----END PUBLIC KEY-----\n"), "not Base64"),
        ] {
            let Err(error) = public_keys(text.as_bytes()) else { panic!("{text} is a key") };
            assert_eq!(error, format!("PEM that is broken ({said}); {HOW}"));
        }
        assert_eq!(what_is_wrong(&pem::Error::NoItemsFound), "nothing is in there");
        assert_eq!(what_is_wrong(&pem::Error::SectionTooLarge), "it cannot be read");
    }
}
