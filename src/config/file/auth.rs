//! `auth:`

use std::collections::BTreeMap;

use jsonwebtoken::Algorithm;

use crate::config::located::{Located, OneOrMany};
use crate::config::schema;
use crate::config::units::{Period, Secret, Sha256, UserId};

/// `auth:` at the top level.
#[derive(Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { jwt: { issuer: https://login.example.com } }"
)]
pub struct Auth {
    /// How tokens in `Authorization: Bearer` are checked: a block; or a list where there are several issuers, each with
    /// its `issuer`, by which a token finds its block.
    #[serde(default)]
    pub jwt: OneOrMany<Located<Jwt>>,
    /// Keys that programs show in place of a token. Default: none.
    pub api_keys: Option<Located<ApiKeys>>,
    /// Users with passwords. Default: none.
    pub basic: Option<Basic>,
    /// What of a client's certificate is its user; needs `tls.clientCaFile`. Default: `commonName`.
    pub client_certificate: Option<CertificateName>,
}

/// `auth.basic:`
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Basic {
    /// A file with a line for each user, as `htpasswd -B` makes it.
    pub file: Located<String>,
}

/// `auth.apiKeys:`
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { keys: [{ user: billing, sha256: 9f86… }] }"
)]
pub struct ApiKeys {
    /// The header field that keys are in. Default: `x-api-key`.
    pub header: Option<Located<String>>,
    /// The keys; one or a list. Here or in `file` there is at least one.
    #[serde(default)]
    pub keys: OneOrMany<Located<ApiKey>>,
    /// A YAML file with more of them, under `keys`; read again when it changes. Default: none.
    pub file: Option<Located<String>>,
}

/// One entry of `keys:`.
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { user: billing, sha256: 9f86… }")]
pub struct ApiKey {
    /// Whose it is, in `x-user-id`.
    pub user: UserId,
    /// The SHA-256 of the key; no two keys may be the same.
    pub sha256: Sha256,
    /// Scopes that it has; one or a list. Default: none.
    #[serde(default)]
    pub scopes: OneOrMany<String>,
    /// Roles that it has; one or a list. Default: none.
    #[serde(default)]
    pub roles: OneOrMany<String>,
}

/// What a file of keys holds.
#[derive(Debug, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { keys: [{ user: billing, sha256: 9f86… }] }"
)]
pub struct KeyFile {
    /// The keys.
    pub keys: Vec<Located<ApiKey>>,
}

/// What of a client's certificate is its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateName {
    /// The common name of its subject.
    #[default]
    CommonName,
    /// Its first name of DNS.
    Dns,
    /// Its first URI.
    Uri,
    /// Its first address of mail.
    Email,
    /// All of its subject.
    Subject,
}

/// `auth.jwt:`
#[derive(Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { issuer: https://login.example.com }"
)]
pub struct Jwt {
    /// The key of HS256, HS384 or HS512; shorter than the hash it is warned of. Default: the environment's
    /// `JWT_SECRET`, unless there is another key.
    pub secret: Option<Located<Secret>>,
    /// In place of `secret`: a file with that key.
    pub secret_file: Option<Located<String>>,
    /// In place of `secret`: the public key of the issuer, as PEM.
    pub public_key: Option<Located<String>>,
    /// In place of `secret`: a file with that key; several keys are tried one after the other.
    pub public_key_file: Option<Located<String>>,
    /// In place of `secret`: a file with the issuer's set of keys (RFC 7517), read again when it changes.
    pub jwks_file: Option<Located<String>>,
    /// In place of `secret`: where the issuer publishes that set, which is fetched again as it changes.
    pub jwks_url: Option<Located<String>>,
    /// In place of `secret`: whether the set is where the configuration of `issuer` says (OpenID Connect Discovery).
    /// Default: `false`.
    pub discovery: Option<Located<bool>>,
    /// The algorithms that a token may be signed with, which have to go with the key; one or a list. Default: HS256
    /// with a secret, RS256 with a key of RSA, that of its curve with any other; in a set of keys, what each says.
    #[schemars(with = "Option<OneOrMany<schema::Algorithm>>")]
    pub algorithms: Option<Located<OneOrMany<Located<Algorithm>>>>,
    /// The claim that names the user, for `x-user-id`. Default: `userId`, and `sub` where a token has none.
    pub user_id_claim: Option<String>,
    /// Accepted `iss`; one or a list. Default: any; needed with `discovery` and where there are several blocks.
    #[serde(default)]
    pub issuer: OneOrMany<Located<String>>,
    /// Accepted `aud`, of which a token has to name one; one or a list. Default: any.
    #[serde(default)]
    pub audience: OneOrMany<String>,
    /// How far clocks may be apart when `exp` and `nbf` are checked. Default: `0s`.
    pub leeway: Option<Period>,
    /// Claims without which a token is refused; one or a list. Without `exp` among them tokens are taken that are good
    /// for ever. Default: none.
    #[serde(default)]
    pub required_claims: OneOrMany<String>,
    /// The claim with the user's roles; a dot leads into a block: `realm_access.roles`. Default: `roles`.
    pub roles_claim: Option<String>,
    /// Claims to send upstream, each in the header named, which clients cannot set: `{ tenant: x-tenant }`. Default:
    /// none.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, Located<String>>,
}
