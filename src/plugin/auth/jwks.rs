//! Sets of keys as issuers publish them (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::key::{Key, Keys, Kind, Material};

/// More keys than an issuer has; further ones are not looked at.
const MOST_KEYS: usize = 64;

/// The keys of a set that are good for one of `wanted`, or for the algorithm that each says (else the usual one) where
/// nothing is wanted. Those that mean nothing here are passed over (RFC 7517, section 5).
///
/// # Errors
/// It is no set, or all of it is passed over; why.
pub fn keys(json: &[u8], wanted: &[Algorithm]) -> Result<Keys, String> {
    let set: Value = serde_json::from_slice(json).map_err(|_| "no JSON; a set of keys is { \"keys\": [...] }")?;
    let list = set.get("keys").and_then(Value::as_array).ok_or("no set of keys, which is { \"keys\": [...] }")?;
    let mut why = "it is empty".to_owned();
    let mut keys = Vec::new();
    for (nth, written) in list.iter().take(MOST_KEYS).enumerate() {
        match written.as_object().ok_or_else(|| "no object".to_owned()).and_then(|jwk| key(jwk, wanted)) {
            Ok(key) => keys.push(key),
            Err(reason) => why = format!("keys[{nth}] is {reason}"),
        }
    }
    if keys.is_empty() { Err(format!("a set without a key that is of use here: {why}")) } else { Ok(Keys::new(keys)) }
}

fn key(jwk: &Map<String, Value>, wanted: &[Algorithm]) -> Result<Key, String> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.contains_key("d") {
        return Err("a private key, with which tokens could be made".to_owned());
    }
    let verifies = |list: &Value| list.as_array().is_some_and(|list| list.iter().any(|word| word == "verify"));
    if text("use").is_some_and(|word| word != "sig") || jwk.get("key_ops").is_some_and(|list| !verifies(list)) {
        return Err("not for signatures".to_owned());
    }
    let material = material(&text)?;
    let kind = material.kind;
    let mut algorithms = wanted.to_vec();
    if let Some(own) = text("alg") {
        let own = own.parse().map_err(|_| format!("for {}, which is not known here", registered(own)))?;
        if !wanted.is_empty() && !wanted.contains(&own) {
            return Err(format!("for {own:?}, which is not wanted"));
        }
        algorithms = vec![own];
    }
    let id = text("kid").map(str::to_owned);
    material.bind(&algorithms, id).ok_or_else(|| format!("{kind}, which does not go with {algorithms:?}"))
}

/// A word of RFC 7518 and its successors that means nothing here. Any other is not repeated: a file may be another than was
/// meant.
fn registered(word: &str) -> &str {
    const WORDS: [&str; 16] = [
        "",
        "EC",
        "OKP",
        "AKP",
        "P-256",
        "P-384",
        "P-521",
        "secp256k1",
        "X25519",
        "X448",
        "Ed25519",
        "Ed448",
        "ES256K",
        "ES512",
        "RSA-OAEP",
        "RSA-OAEP-256",
    ];
    WORDS.into_iter().find(|known| *known == word).unwrap_or("…")
}

fn material<'j>(text: &impl Fn(&str) -> Option<&'j str>) -> Result<Material, String> {
    let part = |name: &'static str| text(name).ok_or_else(|| format!("without \"{name}\""));
    let number = |name: &'static str| URL_SAFE_NO_PAD.decode(part(name)?).map_err(|_| "not in Base64".to_owned());
    // SEC 1, section 2.3.3: a point without compression.
    let point = |kind| Material::point(kind, &[vec![4], number("x")?, number("y")?].concat());
    match (part("kty")?, text("crv").unwrap_or_default()) {
        ("RSA", _) => Material::rsa(&number("n")?, &number("e")?),
        ("EC", "P-256") => point(Kind::P256),
        ("EC", "P-384") => point(Kind::P384),
        ("OKP", "Ed25519") => Material::point(Kind::Ed25519, &number("x")?),
        ("oct", _) => Err("a secret, which is none among public keys".to_owned()),
        (kty, curve) => {
            Err(format!("of a kind (\"{}\", \"{}\") that is not known here", registered(kty), registered(curve)))
        }
    }
}
