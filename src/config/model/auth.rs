//! `auth:`

use std::time::Duration;

use http::header::HeaderName;
use jsonwebtoken::Algorithm;
use serde::{Serialize, Serializer};
use url::Url;

use super::{Route, period};
use crate::config::conceal;
use crate::config::file::{CertificateName, Credential, TokenFrom};
use crate::config::units::{FieldName, Secret, Sha256, UserId};
use crate::plugin::auth::key::{Keys, Material};
use crate::plugin::auth::remote::Place;

/// Who the users are.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// How the tokens of each issuer are checked; there is one if any route needs it.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "one_or_many")]
    pub jwt: Vec<Jwt>,
    /// Claims and their headers, where no route needs tokens: clients may not set them all the same.
    #[serde(rename = "jwt", skip_serializing_if = "Vec::is_empty", serialize_with = "claims_alone")]
    pub idle_claims: Vec<(String, HeaderName)>,
    /// Keys of programs; there are some if any route takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<ApiKeys>,
    /// Users with passwords; there if any route takes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<Basic>,
    /// What of a client's certificate is its user; there if any route goes by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<CertificateName>,
}

/// Users with passwords.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Basic {
    /// Where they are.
    pub file: String,
    /// And who is in there, with the hashes of their passwords.
    #[serde(skip)]
    pub users: Vec<(UserId, String)>,
}

/// Keys of programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeys {
    /// The field that they are in.
    pub header: FieldName,
    /// Those in the config.
    pub keys: Vec<ApiKey>,
    /// Where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// And those in there.
    #[serde(skip)]
    pub from_file: Vec<ApiKey>,
}

impl ApiKeys {
    /// All keys, wherever they are.
    pub fn all(&self) -> impl Iterator<Item = &ApiKey> {
        self.keys.iter().chain(&self.from_file)
    }
}

/// One key.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Whose it is.
    pub user: UserId,
    /// Its digest.
    pub sha256: Sha256,
    /// Scopes that it has.
    pub scopes: Vec<String>,
    /// Roles that it has.
    pub roles: Vec<String>,
}

impl Auth {
    /// What of it `routes` go by.
    pub fn needed(self, routes: &[Route]) -> Self {
        let policies = || routes.iter().filter_map(|route| route.plugins.auth.as_ref());
        let goes_by = |way: Credential| policies().any(|policy| policy.by.contains(&way));
        let (jwt, idle_claims) = match goes_by(Credential::Jwt) {
            true => (self.jwt, Vec::new()),
            false => (Vec::new(), self.jwt.into_iter().flat_map(|jwt| jwt.claims_to_headers).collect()),
        };
        Auth {
            jwt,
            idle_claims,
            api_keys: self.api_keys.filter(|_| goes_by(Credential::ApiKey)),
            basic: self.basic.filter(|_| goes_by(Credential::Basic)),
            client_certificate: self.client_certificate.filter(|_| goes_by(Credential::ClientCertificate)),
        }
    }

    /// Whether there is nothing to tell users by.
    pub fn is_empty(&self) -> bool {
        self.jwt.is_empty()
            && self.idle_claims.is_empty()
            && self.api_keys.is_none()
            && self.basic.is_none()
            && self.client_certificate.is_none()
    }
}

/// How the tokens of one issuer are checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// Where the keys are from.
    #[serde(flatten)]
    pub source: KeySource,
    /// And those that are known from the beginning.
    #[serde(skip)]
    pub keys: Keys,
    /// What tokens may be signed with; empty: what each key is for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Algorithm>,
    /// The claim that names the user, before `sub`.
    pub user_id_claim: String,
    /// Accepted `iss`; empty, as only that of a single issuer can be: any.
    pub issuer: Vec<String>,
    /// Accepted `aud`; empty: any.
    pub audience: Vec<String>,
    /// How far clocks may be apart.
    #[serde(serialize_with = "period")]
    pub leeway: Duration,
    /// Claims that a token must have.
    pub required_claims: Vec<String>,
    /// The claim with the user's roles.
    pub roles_claim: String,
    /// Claims to send upstream, and in which header.
    #[serde(serialize_with = "header_map")]
    pub claims_to_headers: Vec<(String, HeaderName)>,
}

/// Where keys are from.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum KeySource {
    /// The config, or the environment.
    Secret {
        /// The secret.
        secret: Secret,
    },
    /// A file with a secret.
    SecretFile {
        /// Its name.
        secret_file: String,
        /// And what was in there.
        #[serde(skip)]
        secret: Secret,
    },
    /// The config.
    PublicKey {
        /// One or several, as PEM.
        public_key: String,
    },
    /// A file of PEM.
    PublicKeyFile {
        /// Its name.
        public_key_file: String,
    },
    /// A file with a set of keys.
    JwksFile {
        /// Its name.
        jwks_file: String,
    },
    /// The issuer, which publishes a set of keys.
    JwksUrl {
        /// Where.
        #[serde(serialize_with = "text")]
        jwks_url: Url,
    },
    /// The issuer, whose configuration says where that is.
    Discovery {
        /// `true`.
        discovery: bool,
        /// The issuer.
        #[serde(skip)]
        issuer: String,
    },
}

impl KeySource {
    /// Where keys have to be fetched, if they have to.
    pub fn place(&self) -> Option<Place> {
        match self {
            KeySource::JwksUrl { jwks_url } => Some(Place::Set(jwks_url.clone())),
            KeySource::Discovery { issuer, .. } => Some(Place::Issuer(issuer.clone())),
            _ => None,
        }
    }

    /// What tokens can be signed with, if there is anything.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            KeySource::Secret { secret } | KeySource::SecretFile { secret, .. } => Some(secret),
            _ => None,
        }
    }
}

impl Jwt {
    /// What a config without an `auth` block means with this secret.
    pub fn with_secret(secret: Secret) -> Self {
        let key = Material::secret(secret.reveal().as_bytes()).bind(&[], None);
        Jwt {
            source: KeySource::Secret { secret },
            keys: Keys::new(key.into_iter().collect()),
            algorithms: vec![Algorithm::HS256],
            user_id_claim: "userId".into(),
            issuer: Vec::new(),
            audience: Vec::new(),
            leeway: Duration::ZERO,
            required_claims: Vec::new(),
            roles_claim: "roles".into(),
            claims_to_headers: Vec::new(),
        }
    }
}

/// What a route asks of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthPolicy {
    /// Which credentials are taken, the first that a request has; at least one.
    pub by: Vec<Credential>,
    /// Scopes that a token must have.
    pub require_scopes: Vec<String>,
    /// Roles that a token must have.
    pub require_roles: Vec<String>,
    /// Whether requests without any pass.
    pub optional: bool,
    /// Where the token is.
    pub token_from: TokenFrom,
    /// Whether the upstream sees the token, but for one in the query.
    pub forward_token: bool,
}

impl Default for AuthPolicy {
    fn default() -> Self {
        AuthPolicy {
            by: vec![Credential::Jwt],
            require_scopes: Vec::new(),
            require_roles: Vec::new(),
            optional: false,
            token_from: TokenFrom::default(),
            forward_token: true,
        }
    }
}

/// `false`, or `true` for the usual, or all of it.
pub(super) fn policy<S: Serializer>(policy: &Option<AuthPolicy>, serializer: S) -> Result<S::Ok, S::Error> {
    match policy {
        None => serializer.serialize_bool(false),
        Some(policy) if *policy == AuthPolicy::default() => serializer.serialize_bool(true),
        Some(policy) => policy.serialize(serializer),
    }
}

fn one_or_many<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    match list {
        [only] => only.serialize(serializer),
        _ => list.serialize(serializer),
    }
}

/// Without the query, in which there may be a secret.
pub(super) fn text<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&conceal::named(url))
}

fn header_map<S: Serializer>(pairs: &[(String, HeaderName)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(claim, header)| (claim, header.as_str())))
}

fn claims_alone<S: Serializer>(claims: &[(String, HeaderName)], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Claims<'c> {
        #[serde(serialize_with = "header_map")]
        claims_to_headers: &'c [(String, HeaderName)],
    }
    Claims { claims_to_headers: claims }.serialize(serializer)
}
