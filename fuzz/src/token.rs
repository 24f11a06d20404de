//! Tokens: what was not signed with the key is refused whatever it looks like, and of what was, nothing passes that the
//! library alone would refuse, or whose time is not now.

use std::sync::LazyLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

use aegis::config::units::Secret;
use aegis::config::{Jwt, KeySource};
use aegis::plugin::auth::bearer;
use aegis::plugin::auth::jwt::{Verifier, Wanted};
use aegis::plugin::auth::key::Keys;
use aegis::plugin::auth::pem::public_keys;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use serde_json::Value;

const SECRET: &str = "a-secret-of-thirty-two-bytes-or-more";
/// What everybody knows of an issuer with a key pair.
const PUBLIC: &str = include_str!("../../tests/config/auth-p256.pem");
/// Seconds since 1970.
const NOW: u64 = 1_000_000;

struct Verifiers {
    secret: Verifier,
    public: Verifier,
    both: Verifier,
}

static VERIFIERS: LazyLock<Verifiers> = LazyLock::new(|| {
    let secret = Jwt { issuer: vec!["one".into()], ..Jwt::with_secret(Secret::new(SECRET)) };
    let keys = public_keys(PUBLIC.as_bytes()).expect("keys").into_iter().filter_map(|key| key.bind(&[], None));
    let public = Jwt {
        source: KeySource::PublicKey { public_key: PUBLIC.to_owned() },
        keys: Keys::new(keys.collect()),
        algorithms: vec![Algorithm::ES256],
        issuer: vec!["two".into()],
        ..secret.clone()
    };
    let verifier = |issuers: &[Jwt]| Verifier::new(issuers, &Wanted::default(), &[], Instant::now());
    Verifiers {
        secret: verifier(&[Jwt::with_secret(Secret::new(SECRET))]),
        public: verifier(std::slice::from_ref(&public)),
        both: verifier(&[secret, public]),
    }
});

/// As it is; and its first line as a header, the rest as claims, signed.
pub fn run(data: &[u8]) {
    is_refused(data);
    let (header, claims) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let message = format!("{}.{}", base64(header), base64(claims));
    for confused in [PUBLIC, ""] {
        is_refused(format!("Bearer {}", signed(&message, confused)).as_bytes());
    }
    let token = signed(&message, SECRET);
    is_as_the_library_says(&token, header, claims);
}

fn is_refused(field: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(field) else { return };
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
    let Ok(token) = bearer::token(&headers) else { return };
    let Verifiers { secret, public, both } = &*VERIFIERS;
    for verifier in [secret, public, both] {
        assert!(!passes(verifier, token), "{token}");
    }
}

fn is_as_the_library_says(token: &str, header: &[u8], claims: &[u8]) {
    if !passes(&VERIFIERS.secret, token) {
        return;
    }
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    let read = jsonwebtoken::decode::<Value>(token, &key, &validation);
    assert!(read.is_ok(), "{read:?}");
    let part = |bytes| serde_json::from_slice::<Value>(bytes).expect("JSON");
    let (header, claims) = (part(header), part(claims));
    assert_eq!(header["alg"], "HS256");
    assert_eq!(header["crit"], Value::Null);
    assert!(claims["exp"].as_f64().is_none_or(|end| end > NOW as f64), "{claims}");
    assert!(claims["nbf"].as_f64().is_none_or(|begin| begin <= NOW as f64), "{claims}");
    assert!(!passes(&VERIFIERS.public, token));
}

fn passes(verifier: &Verifier, token: &str) -> bool {
    let wall = UNIX_EPOCH + Duration::from_secs(NOW);
    verifier.verify(token, Instant::now(), wall).now_or_never().expect("nobody is asked for keys").is_ok()
}

fn signed(message: &str, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed");
    format!("{message}.{signature}")
}

/// Without padding, for URLs (RFC 4648, section 5).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            out.push(char::from(DIGITS[(word >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    out
}
