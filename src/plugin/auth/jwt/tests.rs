use serde_json::json;

use super::*;
const SECRET: &str = "a-secret-of-thirty-two-bytes-or-more";

fn config(secret: &str) -> Jwt {
    Jwt::with_secret(Secret::new(secret))
}

fn verifier() -> Verifier {
    Verifier::new(&[config(SECRET)], &Wanted::default(), &[], Instant::now())
}

/// What needs no issuer to be asked.
fn check(verifier: &Verifier, token: &str, wall: SystemTime) -> Result<Arc<Identity>, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(verifier.verify(token, Instant::now(), wall))
}

fn verify(token: &str) -> Result<Arc<Identity>, Refusal> {
    check(&verifier(), token, UNIX_EPOCH + Duration::from_secs(1_000))
}

fn token(secret: &str, claims: Value) -> String {
    let Value::Object(claims) = claims else { panic!("an object") };
    sign(&config(secret), &Secret::new(secret), &claims).expect("signed")
}

/// A token with a header of one's own, signed properly.
fn with_header(header: Value) -> String {
    use jsonwebtoken::crypto::sign;
    let part = |value: &Value| base64(value.to_string().as_bytes());
    let message = format!("{}.{}", part(&header), part(&json!({"sub": "u"})));
    let signature =
        sign(message.as_bytes(), &EncodingKey::from_secret(SECRET.as_bytes()), Algorithm::HS256).expect("signed");
    format!("{message}.{signature}")
}

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

#[test]
fn a_token_signed_with_the_secret_is_good_and_any_other_is_not() {
    let good = token(SECRET, json!({"userId": "u-1", "exp": 2_000}));
    assert_eq!(verify(&good).map(|identity| identity.user_id.clone()), Ok("u-1".parse().expect("a value")));
    let other = token("another-secret", json!({"userId": "u-1"}));
    assert_eq!(verify(&other), Err(Refusal::TokenInvalid("The token's signature does not match.")));
    let expired = token(SECRET, json!({"userId": "u-1", "exp": 999}));
    assert_eq!(verify(&expired), Err(Refusal::TokenExpired));
    let expired_and_forged = token("another-secret", json!({"userId": "u-1", "exp": 999}));
    assert!(matches!(verify(&expired_and_forged), Err(Refusal::TokenInvalid(_))), "the signature comes first");
    let cut = &good[..good.len() - 1];
    assert!(verify(cut).is_err());
}

#[test]
fn a_token_that_is_known_expires_all_the_same_and_one_that_is_no_good_is_not_known() {
    let verifier = verifier();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let good = token(SECRET, json!({"sub": "u", "nbf": 1_000, "exp": 2_000}));
    assert!(matches!(check(&verifier, &good, at(999)), Err(Refusal::TokenInvalid(_))));
    let first = check(&verifier, &good, at(1_000)).expect("good");
    let second = check(&verifier, &good, at(1_999)).expect("good still");
    assert!(Arc::ptr_eq(&first, &second), "it was checked twice");
    assert_eq!(check(&verifier, &good, at(2_000)), Err(Refusal::TokenExpired));
    let forged = token("another-secret", json!({"sub": "u"}));
    assert!(check(&verifier, &forged, at(1_000)).is_err());
    assert_eq!(verifier.known.len(), 1);
    let tampered = format!("{}A", &good[..good.len() - 1]);
    assert!(check(&verifier, &tampered, at(1_000)).is_err());
}

#[test]
fn what_is_remembered_is_bounded() {
    let verifier = verifier();
    let filler = "x".repeat(7_000);
    for n in 0..3_000 {
        let token = token(SECRET, json!({"sub": n, "filler": filler}));
        assert!(check(&verifier, &token, UNIX_EPOCH).is_ok());
    }
    assert!(verifier.known.weight() <= REMEMBERED_BYTES, "{} bytes", verifier.known.weight());
    assert!(verifier.known.len() > 500, "{} tokens", verifier.known.len());
}

#[test]
fn the_token_does_not_choose_the_algorithm() {
    assert!(verify(&with_header(json!({"alg": "HS256", "typ": "JWT"}))).is_ok());
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "None"}),
        json!({"alg": "HS384"}),
        json!({"alg": "RS256"}),
        json!({"alg": "hs256"}),
        json!({}),
        json!({"alg": null}),
        json!("HS256"),
        json!({"alg": "HS256", "crit": ["exp"], "exp": 1}),
        json!({"alg": "HS256", "crit": []}),
    ] {
        assert!(matches!(verify(&with_header(header.clone())), Err(Refusal::TokenInvalid(_))), "{header}");
    }
    let unsigned = format!("{}.{}.", base64(br#"{"alg":"none"}"#), base64(br#"{"sub":"admin"}"#));
    assert!(verify(&unsigned).is_err());
}

#[test]
fn what_is_no_token_is_refused_without_a_panic() {
    for text in ["", ".", "..", "...", "a.b.c", "a.b", "eyJhbGciOiJIUzI1NiJ9..", "%%%.%%%.%%%", "ä.ö.ü"] {
        assert!(matches!(verify(text), Err(Refusal::TokenInvalid(_))), "{text}");
    }
    let twice = with_payload(r#"{"sub":"a","sub":"b"}"#);
    assert!(matches!(verify(&twice), Err(Refusal::TokenInvalid(_))), "a claim given twice");
}

fn with_payload(payload: &str) -> String {
    let message = format!("{}.{}", base64(br#"{"alg":"HS256"}"#), base64(payload.as_bytes()));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    format!("{message}.{}", jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed"))
}

#[test]
fn each_issuer_has_keys_of_its_own() {
    let issuer = |name: &str| Jwt { issuer: vec![name.into()], ..config(&format!("{SECRET} of {name}")) };
    let verifier = Verifier::new(&[issuer("a"), issuer("b")], &Wanted::default(), &[], Instant::now());
    let good = |signer: &str, named: Value| {
        let token = token(&format!("{SECRET} of {signer}"), json!({ "sub": "u", "iss": named }));
        check(&verifier, &token, UNIX_EPOCH).map(|_| ())
    };
    assert_eq!((good("a", json!("a")), good("b", json!("b")), good("b", json!("b"))), (Ok(()), Ok(()), Ok(())));
    assert_eq!(good("a", json!("b")), Err(Refusal::TokenInvalid("The token's signature does not match.")));
    for named in [json!("c"), json!(null), json!(["a"])] {
        assert_eq!(good("a", named.clone()), Err(OTHER_ISSUER), "{named}");
    }
    assert_eq!(check(&verifier, "a.b.c", UNIX_EPOCH), Err(Refusal::TokenInvalid("The token is no JWT.")));
}

#[test]
fn neither_key_nor_secret_is_in_the_debug_output() {
    let shown = format!("{:?} {:?}", verifier(), config(SECRET));
    assert!(!shown.contains(SECRET), "{shown}");
}
