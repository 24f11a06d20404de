//! Keys that tokens are signed with.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};

/// A key of an issuer.
pub struct Key {
    pub id: String,
    algorithm: Algorithm,
    private: EncodingKey,
    /// The public half, as PEM.
    pub pem: String,
}

impl Key {
    /// One of P-256.
    pub fn p256(id: &str) -> Self {
        let pair = KeyPair::generate().unwrap();
        let private = EncodingKey::from_ec_der(&pair.serialize_der());
        Key { id: id.to_owned(), algorithm: Algorithm::ES256, private, pem: pair.public_key_pem() }
    }

    /// One of RSA.
    pub fn rsa(id: &str) -> Self {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        // PKCS #1 begins where the head of PKCS #8 ends.
        let private = EncodingKey::from_rsa_der(&der.as_ref()[26..]);
        Key { id: id.to_owned(), algorithm: Algorithm::RS256, private, pem: String::new() }
    }

    /// The same by another name.
    pub fn named(self, id: &str) -> Self {
        Key { id: id.to_owned(), ..self }
    }

    /// As it stands in a set of keys.
    pub fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.private, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = self.id.as_str().into();
        jwk
    }

    /// An `Authorization` with a token that is signed with it and names it.
    pub fn bearer(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        format!("Bearer {}", jsonwebtoken::encode(&header, claims, &self.private).unwrap())
    }
}

/// A set of keys.
pub fn jwks(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}
