//! Keys that tokens are signed with, each bound to the algorithms that it is good for.
//!
//! The two are one object: a token's header can choose among the algorithms of a key, and never use a public key as the
//! secret of an HMAC, which everybody knows.

use std::collections::HashSet;
use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use jsonwebtoken::decode_header;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Header, TokenData, Validation};

use super::claims::Claims;

/// The least modulus of RSA that is taken, in bits (RFC 7518, section 3.3).
const LEAST_RSA_BITS: usize = 2_048;
/// And the most, which bounds what a signature costs.
const MOST_RSA_BITS: usize = 8_192;
/// So many keys are tried for a token that does not name one.
const MOST_TRIED: usize = 16;

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A secret that whoever signs and whoever checks both know.
    Secret,
    /// A public key of RSA.
    Rsa,
    /// A point of P-256.
    P256,
    /// A point of P-384.
    P384,
    /// A point of Ed25519.
    Ed25519,
}

impl Kind {
    /// The algorithms that go with it; the first is the usual one.
    pub fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Kind::Secret => &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
            Kind::Rsa => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            Kind::P256 => &[Algorithm::ES256],
            Kind::P384 => &[Algorithm::ES384],
            Kind::Ed25519 => &[Algorithm::EdDSA],
        }
    }

    /// Those of `wanted` that go with it; the usual one where nothing is wanted.
    pub fn choose(self, wanted: &[Algorithm]) -> Vec<Algorithm> {
        match wanted {
            [] => self.algorithms()[..1].to_vec(),
            _ => self.algorithms().iter().copied().filter(|algorithm| wanted.contains(algorithm)).collect(),
        }
    }
}

/// For people.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Secret => "a secret",
            Kind::Rsa => "an RSA key",
            Kind::P256 => "a key of P-256",
            Kind::P384 => "a key of P-384",
            Kind::Ed25519 => "a key of Ed25519",
        })
    }
}

/// A key before it is bound to algorithms.
#[derive(Clone)]
pub struct Material {
    /// What it is.
    pub kind: Kind,
    key: DecodingKey,
}

impl Material {
    /// A secret.
    pub fn secret(secret: &[u8]) -> Self {
        Material { kind: Kind::Secret, key: DecodingKey::from_secret(secret) }
    }

    /// A public key of RSA, by its modulus and exponent.
    ///
    /// # Errors
    /// It is none, or too weak or too large to be used.
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, String> {
        let bare = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let (n, e) = (bare(n), bare(e));
        let bits = 8 * n.len() - n.first().map_or(0, |first| first.leading_zeros() as usize);
        if !(LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&bits) {
            return Err(format!(
                "an RSA key of {bits} bits; tokens need one of {LEAST_RSA_BITS} to {MOST_RSA_BITS} (RFC 7518, 3.3)"
            ));
        }
        // With an exponent of 1 everybody could sign; a large one makes checking as dear as signing.
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        if e == [1] || e.len() > 5 || !is_odd(&e) || !is_odd(&n) {
            return Err("an RSA key whose numbers cannot be right".to_owned());
        }
        Ok(Material { kind: Kind::Rsa, key: DecodingKey::from_rsa_raw_components(&n, &e) })
    }

    /// A public key of an elliptic curve, as a point in its usual form.
    ///
    /// # Errors
    /// It is no point of that curve.
    pub fn point(kind: Kind, point: &[u8]) -> Result<Self, String> {
        let (algorithm, key): (&'static dyn VerificationAlgorithm, _) = match kind {
            Kind::P256 => (&signature::ECDSA_P256_SHA256_FIXED, DecodingKey::from_ec_der(point)),
            Kind::P384 => (&signature::ECDSA_P384_SHA384_FIXED, DecodingKey::from_ec_der(point)),
            _ => (&signature::ED25519, DecodingKey::from_ed_der(point)),
        };
        match ParsedPublicKey::new(algorithm, point) {
            Ok(_) => Ok(Material { kind, key }),
            Err(_) => Err(format!("{kind} that is no point of that curve")),
        }
    }

    /// Binds it to those of `wanted` that go with it, or the usual algorithm where nothing is wanted. `None` if none does.
    pub fn bind(self, wanted: &[Algorithm], id: Option<String>) -> Option<Key> {
        let algorithms = self.kind.choose(wanted);
        let mut validation = Validation::new(*algorithms.first()?);
        // Only the signature is left to the library: times and names are checked by `Rules`, by the
        // caller's clock and to the letter of RFC 7519 (`exp` itself is too late).
        validation.required_spec_claims = HashSet::new();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.algorithms = algorithms;
        Some(Key { id, key: self.key, validation })
    }
}

/// A key and what it is good for. Nothing of it is shown.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    key: DecodingKey,
    validation: Validation,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let same = match (self.key.kind(), other.key.kind()) {
            (DecodingKeyKind::SecretOrDer(one), DecodingKeyKind::SecretOrDer(two)) => one == two,
            (
                DecodingKeyKind::RsaModulusExponent { n, e },
                DecodingKeyKind::RsaModulusExponent { n: other_n, e: other_e },
            ) => (n, e) == (other_n, other_e),
            _ => false,
        };
        same && self.id == other.id && self.validation.algorithms == other.validation.algorithms
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithms", &self.validation.algorithms).finish()
    }
}

impl Key {
    /// Whether a token with this header may mean it.
    fn is_named_by(&self, header: &Header) -> bool {
        match (&self.id, &header.kid) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        }
    }

    /// And be signed with it.
    fn fits(&self, header: &Header) -> bool {
        self.is_named_by(header) && self.validation.algorithms.contains(&header.alg)
    }

    fn read(&self, token: &str) -> Result<TokenData<Claims>, Error> {
        jsonwebtoken::decode(token, &self.key, &self.validation)
    }
}

/// All keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Keys(Vec<Key>);

/// Why a token was not signed with any of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It names a key that is none of them: there may be newer ones.
    UnknownKey,
    /// It is signed with an algorithm that none of them is good for.
    Algorithm,
    /// The signature is not what one of them makes.
    Signature,
    /// It is no token.
    Malformed,
}

impl Keys {
    /// These.
    pub fn new(keys: Vec<Key>) -> Self {
        Keys(keys)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What `token` says, if it is signed with one of them: with the one that it names, if it names one.
    ///
    /// # Errors
    /// It is not.
    pub fn read(&self, token: &str) -> Result<TokenData<Claims>, Mismatch> {
        let header = decode_header(token).map_err(|error| mismatch(&error))?;
        let mut last = self.why_none(&header);
        for key in self.0.iter().filter(|key| key.fits(&header)).take(MOST_TRIED) {
            match key.read(token) {
                Ok(token) => return Ok(token),
                Err(error) => last = mismatch(&error),
            }
        }
        Err(last)
    }

    /// Whether `token` may be signed with a newer key: it names none of these.
    pub fn may_lack_key_of(&self, token: &str) -> bool {
        let is_named = |header: &Header| header.kid.is_some() && self.0.iter().any(|key| key.id == header.kid);
        decode_header(token).is_ok_and(|header| !is_named(&header))
    }

    fn why_none(&self, header: &Header) -> Mismatch {
        let is_known = header.kid.is_none() || self.0.iter().any(|key| key.is_named_by(header));
        if is_known { Mismatch::Algorithm } else { Mismatch::UnknownKey }
    }
}

fn mismatch(error: &Error) -> Mismatch {
    match error.kind() {
        ErrorKind::InvalidSignature => Mismatch::Signature,
        _ => Mismatch::Malformed,
    }
}
