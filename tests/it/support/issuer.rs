//! Keys that tokens are signed with, and servers that publish them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::{Reply, Upstream};

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
        self.signed(claims, Some(self.id.clone()))
    }

    /// The same with a token that names no key.
    pub fn bearer_without_name(&self, claims: &Value) -> String {
        self.signed(claims, None)
    }

    fn signed(&self, claims: &Value, kid: Option<String>) -> String {
        let header = Header { kid, ..Header::new(self.algorithm) };
        format!("Bearer {}", jsonwebtoken::encode(&header, claims, &self.private).unwrap())
    }
}

/// A set of keys.
pub fn jwks(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string()
}

/// An issuer that answers what it is told to, by path.
pub struct Issuer {
    pub server: Upstream,
    answers: Arc<Mutex<HashMap<String, String>>>,
}

impl Issuer {
    /// One that knows nothing yet.
    pub fn start() -> Self {
        Issuer::at("127.0.0.1:0".parse().unwrap())
    }

    /// The same at an address.
    pub fn at(address: SocketAddr) -> Self {
        let answers: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let said = answers.clone();
        let server = Upstream::at(address, move |request| match said.lock().unwrap().get(request.path()) {
            Some(answer) => Reply::Close(answer.clone().into_bytes()),
            None => Reply::Close(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec()),
        });
        Issuer { server, answers }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on it answers this at `path`.
    pub fn says(&self, path: &str, body: &str) {
        self.answers_with(path, "200 OK", "", body);
    }

    /// And this with a status and further lines in its head.
    pub fn answers_with(&self, path: &str, status: &str, lines: &str, body: &str) {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{lines}\r\n{body}", body.len());
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.server.received().len()
    }
}
