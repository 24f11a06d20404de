//! Tokens, checked and made. Which keys sign them is [`super::key`]'s affair, what their claims are worth
//! [`super::claims`]'.
//!
//! Clients send the same token with many requests. A token whose signature has been checked is remembered,
//! whole, so that it is known again without being checked again; the time is looked at every time. Tokens
//! that are no good are not remembered: nobody without a key can push out those that are.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde_json::{Map, Value};

use super::claims::{Claims, Grant, Identity, OTHER_ISSUER, Rules};
use super::key::{Kind, Mismatch};
use super::remote::{Current, Remote};
use crate::config::Jwt;
use crate::config::units::Secret;
use crate::refusal::Refusal;

/// Bytes of tokens that are remembered: of the usual size, some 20,000 tokens.
const REMEMBERED_BYTES: u64 = 8 * 1024 * 1024;
/// So many answers of an issuer are waited for until one has the key of a token.
const MOST_ANSWERS: usize = 2;
/// What an entry takes beside its token, about.
const ENTRY_BYTES: u64 = 160;
/// And what claims take beside their text, if any are kept.
const KEPT_BYTES: u64 = 800;

/// Checks tokens. Keys and their algorithms come from the config; what a token's header says of them can
/// only agree or be refused.
pub struct Verifier {
    issuers: Vec<Issuer>,
    known: Cache<Box<str>, Known, Size>,
}

/// What of tokens anything goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Claims.
    pub claims: Vec<String>,
    /// Scopes and roles.
    pub grants: Vec<Grant>,
}

/// One issuer of tokens.
struct Issuer {
    source: Source,
    rules: Rules,
}

/// Where the keys are from.
enum Source {
    Fixed(Arc<Current>),
    Remote(Arc<Remote>),
}

/// A token whose signature was good with the keys of this issuer and generation.
#[derive(Clone)]
struct Known {
    identity: Arc<Identity>,
    issuer: usize,
    generation: u64,
}

/// Why a token is not good.
enum Denied<'v> {
    /// This is why.
    For(Refusal),
    /// That is why with the keys of this generation, unless the issuer has a newer one by now.
    Unless(&'v Remote, u64, Mismatch),
}

impl From<Refusal> for Denied<'_> {
    fn from(refusal: Refusal) -> Self {
        Denied::For(refusal)
    }
}

#[derive(Clone)]
struct Size;

impl Weighter<Box<str>, Known> for Size {
    fn weight(&self, token: &Box<str>, known: &Known) -> u64 {
        let claims = if known.identity.claims.is_some() { KEPT_BYTES + token.len() as u64 } else { 0 };
        token.len() as u64 + ENTRY_BYTES + claims
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rules: Vec<&Rules> = self.issuers.iter().map(|issuer| &issuer.rules).collect();
        f.debug_struct("Verifier").field("rules", &rules).finish_non_exhaustive()
    }
}

impl Source {
    fn new(config: &Jwt, remotes: &[Arc<Remote>], now: Instant) -> Self {
        match config.source.place() {
            Some(place) => {
                let known = remotes.iter().find(|remote| remote.is_of(&place, &config.algorithms)).cloned();
                let new = || Arc::new(Remote::new(place, config.algorithms.clone(), now));
                Source::Remote(known.unwrap_or_else(new))
            }
            None => Source::Fixed(Arc::new(Current { keys: config.keys.clone(), generation: 1 })),
        }
    }

    fn current(&self) -> Arc<Current> {
        match self {
            Source::Fixed(current) => current.clone(),
            Source::Remote(remote) => remote.current(),
        }
    }

    fn denied(&self, token: &str, current: &Current, mismatch: Mismatch) -> Denied<'_> {
        match self {
            Source::Remote(remote) if mismatch != Mismatch::Malformed && current.keys.may_lack_key_of(token) => {
                Denied::Unless(remote, current.generation, mismatch)
            }
            _ => Denied::For(refusal(mismatch)),
        }
    }
}

impl Issuer {
    fn new(config: &Jwt, wanted: &Wanted, remotes: &[Arc<Remote>], now: Instant) -> Self {
        let headers = config.claims_to_headers.iter().map(|(claim, name)| (claim.clone(), name.clone()));
        let rules = Rules {
            user_id_claim: config.user_id_claim.clone(),
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            leeway: config.leeway,
            required: config.required_claims.clone(),
            headers: headers.collect(),
            roles_claim: config.roles_claim.clone(),
            grants: wanted.grants.clone(),
            kept: wanted.claims.clone(),
        };
        Issuer { source: Source::new(config, remotes, now), rules }
    }

    fn read(&self, token: &str, current: &Current) -> Result<Identity, Denied<'_>> {
        let token = current.keys.read(token).map_err(|mismatch| self.source.denied(token, current, mismatch))?;
        // RFC 7515, 4.1.11: extensions that must be understood, and none is understood here.
        if token.header.crit.is_some() {
            return Err(Refusal::TokenInvalid("The token needs extensions that are not supported.").into());
        }
        Ok(self.rules.check(&token.claims)?)
    }
}

impl Verifier {
    /// A verifier for what `config` says of each issuer as it begins at `now`, that remembers what is `wanted`. `remotes`
    /// are keys that are known already, and used where they are the same.
    pub fn new(config: &[Jwt], wanted: &Wanted, remotes: &[Arc<Remote>], now: Instant) -> Self {
        Verifier {
            issuers: config.iter().map(|jwt| Issuer::new(jwt, wanted, remotes, now)).collect(),
            known: Cache::with_weighter(1_024, REMEMBERED_BYTES, Size),
        }
    }

    /// The keys that have to be fetched.
    pub fn remotes(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.issuers.iter().filter_map(|issuer| match &issuer.source {
            Source::Remote(remote) => Some(remote),
            Source::Fixed(_) => None,
        })
    }

    /// Who `token` says the user is, if it is good at `wall`. Its issuer may have to be asked for newer keys, which
    /// depends on `now`.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn verify(&self, token: &str, now: Instant, wall: SystemTime) -> Result<Arc<Identity>, Refusal> {
        let mut found = self.check(token, wall);
        // The first answer that comes may be of a question from before the token's key was published.
        for _ in 0..MOST_ANSWERS {
            match found {
                Err(Denied::Unless(remote, generation, _)) if remote.doubt(generation, now).await => {
                    found = self.check(token, wall);
                }
                _ => break,
            }
        }
        found.map_err(|denied| match denied {
            Denied::For(refusal) => refusal,
            Denied::Unless(.., mismatch) => refusal(mismatch),
        })
    }

    /// The same by the keys that are known.
    fn check(&self, token: &str, wall: SystemTime) -> Result<Arc<Identity>, Denied<'_>> {
        let identity = match self.known.get(token) {
            // A token outlives no key that it is signed with.
            Some(known) if known.generation == self.issuers[known.issuer].source.current().generation => known.identity,
            _ => self.read(token)?,
        };
        identity.life.covers(wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))?;
        Ok(identity)
    }

    fn read(&self, token: &str) -> Result<Arc<Identity>, Denied<'_>> {
        let (nth, issuer) = self.issuer(token)?;
        let current = issuer.source.current();
        if current.generation == 0 {
            return Err(Refusal::KeysUnavailable.into());
        }
        let identity = Arc::new(issuer.read(token, &current)?);
        let known = Known { identity: identity.clone(), issuer: nth, generation: current.generation };
        self.known.insert(token.into(), known);
        Ok(identity)
    }

    /// Who is to have made a token: the only one, or whom it names. That it is true is for its signature to say.
    fn issuer(&self, token: &str) -> Result<(usize, &Issuer), Refusal> {
        if let [only] = self.issuers.as_slice() {
            return Ok((0, only));
        }
        let claims = insecure_decode_claims::<Claims>(token).map_err(|_| refusal(Mismatch::Malformed))?;
        let mut all = self.issuers.iter().enumerate();
        all.find(|(_, issuer)| issuer.rules.is_of(&claims)).ok_or(OTHER_ISSUER)
    }
}

fn refusal(mismatch: Mismatch) -> Refusal {
    Refusal::TokenInvalid(match mismatch {
        Mismatch::Signature => "The token's signature does not match.",
        Mismatch::Algorithm => "The token is signed with an algorithm that is not accepted here.",
        Mismatch::UnknownKey => "The token is signed with a key that is not known.",
        Mismatch::Malformed => "The token is no JWT.",
    })
}

/// Signs `claims` with `secret` as the config says, that is with its first algorithm.
///
/// # Errors
/// The library's reason, should it refuse.
pub fn sign(config: &Jwt, secret: &Secret, claims: &Map<String, Value>) -> Result<String, String> {
    let algorithm = *Kind::Secret.choose(&config.algorithms).first().unwrap_or(&Algorithm::HS256);
    let key = EncodingKey::from_secret(secret.reveal().as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
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
}
