//! `plugins.auth:`

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

use super::words::{Block, Word, one};
use crate::config::located::{Located, OneOrMany};
use crate::config::units::{CookieName, FieldName, ScopeName};
use crate::plugin::auth::place;

/// `plugins.auth:` as a block.
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "true, or a block such as { requireScopes: [read] }"
)]
pub struct AuthPlugin {
    /// Which credentials are taken, of which a request's first counts; each has to be there in `auth` (or `tls`). One
    /// or a list. Default: `jwt`.
    pub by: Option<Located<OneOrMany<Located<Credential>>>>,
    /// Scopes that a user needs, all of them; without them 403. One or a list. Default: none.
    #[serde(default)]
    pub require_scopes: OneOrMany<Located<String>>,
    /// Roles that a user needs, all of them; without them 403. One or a list. Default: none.
    #[serde(default)]
    pub require_roles: OneOrMany<Located<String>>,
    /// Whether requests without credentials pass, as nobody's; not beside what is required. Bad ones are refused.
    /// Default: `false`.
    pub optional: Option<Located<bool>>,
    /// Where the token is: `header`, which is `Authorization: Bearer`; or `{ header: NAME }`, `{ cookie: NAME }`, `{
    /// query: NAME }`. Default: `header`.
    pub token_from: Option<TokenFrom>,
    /// Whether the upstream sees the token, but for one in the query, which it never does. Default: `true`.
    pub forward_token: Option<bool>,
}

impl Block for AuthPlugin {
    const ON: Option<fn() -> Self> = Some(AuthPlugin::default);
    const EXPECTED: &'static str = "true, false, or a block such as { requireScopes: [read] }";
}

/// One of `by:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Credential {
    /// A token.
    Jwt,
    /// A key of `auth.apiKeys`.
    ApiKey,
    /// A user and a password.
    Basic,
    /// The certificate that the client has shown.
    ClientCertificate,
}

/// `tokenFrom:`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFrom(pub place::TokenFrom);

impl<'de> Deserialize<'de> for TokenFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "header, { header: NAME }, { cookie: NAME } or { query: NAME }";
        let from = match Word::read(deserializer, EXPECTED)? {
            Word::Alone(word) if word == "header" => Ok(place::TokenFrom::Authorization),
            Word::Of(key, name) if key == "header" => name.parse().map(|FieldName(name)| match name {
                http::header::AUTHORIZATION => place::TokenFrom::Authorization,
                name => place::TokenFrom::Header(name),
            }),
            Word::Of(key, name) if key == "cookie" => {
                name.parse().map(|name: CookieName| place::TokenFrom::Cookie(name.to_string()))
            }
            Word::Of(key, name) if key == "query" => {
                name.parse().map(|name: ScopeName| place::TokenFrom::Query(name.to_string()))
            }
            Word::Alone(word) | Word::Of(word, _) => Err(format!("\"{word}\" holds no token; write {EXPECTED}")),
        };
        from.map(TokenFrom).map_err(D::Error::custom)
    }
}

impl Serialize for TokenFrom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            place::TokenFrom::Authorization => serializer.serialize_str("header"),
            place::TokenFrom::Header(name) => one(serializer, "header", &name.as_str()),
            place::TokenFrom::Cookie(name) => one(serializer, "cookie", name),
            place::TokenFrom::Query(name) => one(serializer, "query", name),
        }
    }
}
