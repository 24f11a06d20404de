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

    /// Who `token` says the user is, if it is good at `wall`, which is `now` by the clock of the wall; or later, by as long as its issuer
    /// had to be asked for newer keys.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn verify(&self, token: &str, now: Instant, wall: SystemTime) -> Result<Arc<Identity>, Refusal> {
        let mut found = self.check(token, wall);
        // The first answer that comes may be of a question from before the token's key was published.
        for _ in 0..MOST_ANSWERS {
            match found {
                Err(Denied::Unless(remote, generation, _)) if remote.doubt(generation, now).await => {
                    found = self.check(token, wall + now.elapsed());
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
mod tests;
