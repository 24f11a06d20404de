//! Keys of each kind, and what is made of them.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::api_keys::ApiKeys;
use super::key::{Key, Keys, Kind, Material, Mismatch};
use super::remote::{Place, Remote};
use super::{jwks, pem};
use crate::config;

/// A key pair of an issuer.
pub struct Pair {
    pub kind: Kind,
    private: EncodingKey,
    public_der: Vec<u8>,
}

impl Pair {
    pub fn new(kind: Kind) -> Self {
        let random = SystemRandom::new();
        let ec = |algorithm: &'static EcdsaSigningAlgorithm| {
            let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref()).expect("a key");
            let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
            (EncodingKey::from_ec_der(document.as_ref()), public.as_ref().to_vec())
        };
        let (private, public_der) = match kind {
            Kind::Secret => (EncodingKey::from_secret(b"a secret"), Vec::new()),
            Kind::Rsa => {
                let pair = rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key");
                let document: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
                let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
                // PKCS #1 begins where the head of PKCS #8 ends.
                (EncodingKey::from_rsa_der(&document.as_ref()[26..]), public.as_ref().to_vec())
            }
            Kind::P256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Kind::P384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Kind::Ed25519 => {
                let document = Ed25519KeyPair::generate_pkcs8v1(&random).expect("a key");
                let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("a key");
                let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("DER");
                (EncodingKey::from_ed_der(document.as_ref()), public.as_ref().to_vec())
            }
        };
        Pair { kind, private, public_der }
    }

    /// The usual algorithm of its kind.
    pub fn usual(&self) -> Algorithm {
        self.kind.algorithms()[0]
    }

    pub fn pem(&self) -> String {
        pem_of("PUBLIC KEY", &self.public_der)
    }

    /// As it stands in a set of keys, with these members in place of its own.
    pub fn jwk(&self, members: Value) -> Value {
        let key = Jwk::from_encoding_key(&self.private, self.usual()).expect("a public key");
        let mut jwk = serde_json::to_value(key).expect("JSON");
        for (name, value) in members.as_object().expect("members") {
            jwk[name] = value.clone();
        }
        jwk.as_object_mut().expect("members").retain(|_, value| !value.is_null());
        jwk
    }

    /// A token of this key.
    pub fn sign(&self, algorithm: Algorithm, id: Option<&str>, claims: Value) -> String {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims, &self.private).expect("signed")
    }

    /// The key that checks it, bound to `algorithms`.
    pub fn public(&self, algorithms: &[Algorithm], id: Option<&str>) -> Key {
        let material = match self.kind {
            Kind::Secret => Material::secret(b"a secret"),
            _ => pem::public_keys(self.pem().as_bytes()).expect("a key").remove(0),
        };
        material.bind(algorithms, id.map(str::to_owned)).expect("it goes with them")
    }
}

fn pem_of(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

pub fn set(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

const KINDS: [Kind; 5] = [Kind::Secret, Kind::Rsa, Kind::P256, Kind::P384, Kind::Ed25519];

#[test]
fn each_algorithm_checks_what_it_signs_and_no_other_algorithm_or_key_does() {
    for kind in KINDS {
        let (pair, other) = (Pair::new(kind), Pair::new(if kind == Kind::P256 { Kind::P384 } else { Kind::P256 }));
        for algorithm in kind.algorithms() {
            let token = pair.sign(*algorithm, None, json!({ "sub": "u" }));
            let keys = Keys::new(vec![pair.public(&[*algorithm], None)]);
            assert!(keys.read(&token).is_ok(), "{algorithm:?}");
            for sibling in kind.algorithms().iter().filter(|sibling| *sibling != algorithm) {
                let strict = Keys::new(vec![pair.public(&[*sibling], None)]);
                assert_eq!(strict.read(&token).err(), Some(Mismatch::Algorithm), "{algorithm:?}, not {sibling:?}");
            }
            let stranger = Keys::new(vec![other.public(&[], None)]);
            assert_eq!(stranger.read(&token).err(), Some(Mismatch::Algorithm), "{algorithm:?}");
            let forged = format!("{}AAAA", &token[..token.len() - 4]);
            assert_eq!(keys.read(&forged).err(), Some(Mismatch::Signature), "{algorithm:?}");
        }
    }
}

#[test]
fn a_public_key_is_never_the_secret_of_an_hmac() {
    let pair = Pair::new(Kind::Rsa);
    let keys = Keys::new(vec![pair.public(&[], None)]);
    for secret in [pair.pem().into_bytes(), pair.public_der.clone()] {
        let forged =
            jsonwebtoken::encode(&Header::default(), &json!({ "sub": "admin" }), &EncodingKey::from_secret(&secret));
        assert_eq!(keys.read(&forged.expect("signed")).err(), Some(Mismatch::Algorithm));
    }
    let material = pem::public_keys(pair.pem().as_bytes()).expect("a key").remove(0);
    assert!(material.bind(&[Algorithm::HS256], None).is_none());
}

#[test]
fn a_token_names_its_key_and_without_a_name_all_are_tried() {
    let (first, second) = (Pair::new(Kind::P256), Pair::new(Kind::P256));
    let keys = Keys::new(vec![first.public(&[], Some("1")), second.public(&[], Some("2"))]);
    let read = |pair: &Pair, id: Option<&str>| keys.read(&pair.sign(Algorithm::ES256, id, json!({}))).map(|_| ());
    assert_eq!((read(&first, Some("1")), read(&second, Some("2"))), (Ok(()), Ok(())));
    assert_eq!((read(&first, None), read(&second, None)), (Ok(()), Ok(())));
    assert_eq!(read(&first, Some("2")), Err(Mismatch::Signature));
    assert_eq!(read(&first, Some("3")), Err(Mismatch::UnknownKey));
    assert_eq!(
        Keys::default().read(&first.sign(Algorithm::ES256, Some("1"), json!({}))).err(),
        Some(Mismatch::UnknownKey)
    );
    let may_lack = |keys: &Keys, id: Option<&str>| keys.may_lack_key_of(&second.sign(Algorithm::ES256, id, json!({})));
    let unnamed = Keys::new(vec![first.public(&[], None)]);
    for (keys, id, lacks) in [
        (&keys, Some("1"), false),
        (&keys, Some("3"), true),
        (&keys, None, true),
        (&unnamed, None, true),
        (&unnamed, Some("1"), true),
    ] {
        assert_eq!(may_lack(keys, id), lacks, "{id:?}");
    }
    assert!(!keys.may_lack_key_of("none"));
    let many: Vec<Key> = (0..40).map(|_| first.public(&[], None)).chain([second.public(&[], None)]).collect();
    let beyond = second.sign(Algorithm::ES256, None, json!({}));
    assert_eq!(Keys::new(many).read(&beyond).err(), Some(Mismatch::Signature), "the work is bounded");
}

#[test]
fn keys_are_equal_if_all_of_them_is() {
    let (pair, rsa) = (Pair::new(Kind::P256), Pair::new(Kind::Rsa));
    let one = |id| pair.public(&[], id);
    assert_eq!(one(Some("1")), one(Some("1")));
    assert_ne!(one(Some("1")), one(None));
    assert_ne!(one(None), Pair::new(Kind::P256).public(&[], None));
    assert_ne!(one(None), rsa.public(&[], None));
    assert_eq!(rsa.public(&[], None), rsa.public(&[Algorithm::RS256], None));
    assert_ne!(rsa.public(&[], None), rsa.public(&[Algorithm::PS256], None));
    assert_eq!(format!("{:?}", one(Some("1"))), r#"Key { id: Some("1"), algorithms: [ES256] }"#);
}

#[test]
fn weak_and_impossible_keys_are_refused() {
    let e = [1, 0, 1];
    let error = |result: Result<Material, String>| result.err().unwrap_or_default();
    assert!(error(Material::rsa(&[0xC1; 128], &e)).starts_with("an RSA key of 1024 bits; tokens need one of 2048"));
    assert!(error(Material::rsa(&[0xC1; 2_048], &e)).starts_with("an RSA key of 16384 bits"));
    assert!(error(Material::rsa(&[0; 256], &e)).starts_with("an RSA key of 0 bits"));
    assert!(Material::rsa(&[0xC1; 256], &e).is_ok());
    for exponent in [&[1][..], &[], &[2], &[1; 6]] {
        assert_eq!(error(Material::rsa(&[0xC1; 256], exponent)), "an RSA key whose numbers cannot be right");
    }
    assert!(error(Material::point(Kind::P256, &[4; 65])).contains("no point of that curve"));
    assert!(error(Material::point(Kind::P384, &[])).contains("no point of that curve"));
    assert!(error(Material::point(Kind::Ed25519, &[1; 31])).contains("no point of that curve"));
}

#[test]
fn pem_holds_public_keys_or_it_says_what_it_holds() {
    let pairs: Vec<Pair> = KINDS[1..].iter().map(|kind| Pair::new(*kind)).collect();
    let all: String = pairs.iter().map(Pair::pem).collect();
    let kinds: Vec<Kind> = pem::public_keys(all.as_bytes()).expect("keys").iter().map(|key| key.kind).collect();
    assert_eq!(kinds, KINDS[1..]);
    let certificate = rcgen::generate_simple_self_signed(["a.test".to_owned()]).expect("a certificate").cert.pem();
    assert_eq!(pem::public_keys(certificate.as_bytes()).expect("a key")[0].kind, Kind::P256);
    // An SPKI of RSA whose key is no sequence, and one of P-521.
    let no_rsa =
        [&[0x30, 0x13, 0x30, 0x0D][..], &[6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0, 3, 2, 0, 9]]
            .concat();
    let p521 = [
        &[0x30, 0x15, 0x30, 0x10][..],
        &[6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1, 6, 5, 0x2B, 0x81, 4, 0, 0x23, 3, 1, 0],
    ]
    .concat();
    for (text, told) in [
        ("hello", "no PEM with a PUBLIC KEY"),
        (&pem_of("CERTIFICATE REQUEST", b"x"), "no PEM with a PUBLIC KEY"),
        ("-----BEGIN PUBLIC KEY-----\nMFkw", "PEM that is broken"),
        (&pem_of("PUBLIC KEY", b"x"), "a PUBLIC KEY that is none"),
        (&pem_of("CERTIFICATE", b"x"), "a CERTIFICATE that is none"),
        (&pem_of("PRIVATE KEY", b"x"), "a private key, with which tokens could be made"),
        (&pem_of("PUBLIC KEY", &no_rsa), "an RSA key that is none"),
        (&pem_of("PUBLIC KEY", &p521), "a key of a kind (1.2.840.10045.2.1) that is not known here"),
    ] {
        let error = pem::public_keys(text.as_bytes()).err().unwrap_or_default();
        assert!(error.starts_with(told), "{text}: {error}");
    }
}

#[test]
fn a_set_of_keys_gives_those_that_are_of_use() {
    let pairs: Vec<Pair> = KINDS[1..].iter().map(|kind| Pair::new(*kind)).collect();
    let with = |members: Value| pairs.iter().map(|pair| pair.jwk(members.clone())).collect::<Vec<_>>();
    let all = jwks::keys(&set(&with(json!({ "kid": "k", "alg": null }))), &[]).expect("keys");
    assert_eq!((all.len(), all.is_empty()), (4, false));
    for pair in &pairs {
        assert!(all.read(&pair.sign(pair.usual(), Some("k"), json!({}))).is_ok(), "{:?}", pair.kind);
    }
    let own = jwks::keys(&set(&[pairs[0].jwk(json!({ "alg": "PS512", "use": "sig", "key_ops": ["verify"] }))]), &[]);
    let own = own.expect("a key");
    assert!(own.read(&pairs[0].sign(Algorithm::PS512, None, json!({}))).is_ok());
    assert_eq!(own.read(&pairs[0].sign(Algorithm::RS256, None, json!({}))).err(), Some(Mismatch::Algorithm));
    let some = jwks::keys(&set(&with(json!({ "alg": null }))), &[Algorithm::PS256, Algorithm::EdDSA]).expect("keys");
    assert_eq!(some.len(), 2);
    assert!(some.read(&pairs[0].sign(Algorithm::PS256, None, json!({}))).is_ok());
    let beyond: Vec<Value> = (0..100).map(|_| pairs[1].jwk(json!({}))).collect();
    assert_eq!(jwks::keys(&set(&beyond), &[]).map(|keys| keys.len()), Ok(64));
}

#[test]
fn a_set_without_a_key_that_is_of_use_says_why() {
    let (rsa, p256) = (Pair::new(Kind::Rsa), Pair::new(Kind::P256));
    let error = |json: &[u8], wanted: &[Algorithm]| jwks::keys(json, wanted).err().unwrap_or_default();
    assert!(error(b"<html>", &[]).starts_with("no JSON"));
    assert!(error(b"{\"keys\": 7}", &[]).starts_with("no set of keys"));
    assert!(error(b"{\"keys\": []}", &[]).ends_with("it is empty"));
    let weak = URL_SAFE_NO_PAD.encode([0xC1; 128]);
    for (key, told) in [
        (json!(7), "no object"),
        (json!({}), "without \"kty\""),
        (rsa.jwk(json!({ "n": null })), "without \"n\""),
        (rsa.jwk(json!({ "e": "AQAB!" })), "not in Base64"),
        (rsa.jwk(json!({ "n": weak })), "an RSA key of 1024 bits"),
        (rsa.jwk(json!({ "d": "AQAB" })), "a private key"),
        (rsa.jwk(json!({ "use": "enc" })), "not for signatures"),
        (rsa.jwk(json!({ "key_ops": ["encrypt"] })), "not for signatures"),
        (rsa.jwk(json!({ "alg": "RSA-OAEP" })), "for RSA-OAEP, which is not known here"),
        (rsa.jwk(json!({ "alg": "HS256" })), "an RSA key, which does not go with [HS256]"),
        (p256.jwk(json!({ "x": "AAAA" })), "a key of P-256 that is no point of that curve"),
        (p256.jwk(json!({ "crv": "P-521" })), "of a kind (\"EC\", \"P-521\") that is not known here"),
        (json!({ "kty": "oct", "k": "AAAA" }), "a secret, which is none among public keys"),
    ] {
        let told = format!("a set without a key that is of use here: keys[0] is {told}");
        let got = error(&set(&[key]), &[]);
        assert!(got.starts_with(&told), "{got}");
    }
    let error = error(&set(&[rsa.jwk(json!({ "alg": "RS256" }))]), &[Algorithm::ES256]);
    assert!(error.ends_with("keys[0] is for RS256, which is not wanted"), "{error}");
}

#[test]
fn what_knows_users_shows_nothing_of_how() {
    let place = Place::Set("https://a.test/keys".parse().expect("a URL"));
    let remote = Remote::new(place, Vec::new(), std::time::Instant::now());
    assert_eq!((remote.name(), remote.current().generation), ("https://a.test/keys".to_owned(), 0));
    assert!(format!("{remote:?}").contains("a.test"));
    let key = config::ApiKey {
        user: "u".parse().expect("a user"),
        sha256: "ab".repeat(32).parse().expect("a digest"),
        scopes: Vec::new(),
        roles: Vec::new(),
    };
    let header = "x-api-key".parse().expect("a name");
    let keys = ApiKeys::new(&config::ApiKeys { header, keys: vec![key], file: None, from_file: Vec::new() });
    assert_eq!(format!("{keys:?}"), r#"ApiKeys { header: "x-api-key", keys: 1 }"#);
}
