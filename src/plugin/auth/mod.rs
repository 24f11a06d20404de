//! `auth:` of a route: who the user is by a token, a key, a password or a certificate, or 401.

pub mod api_keys;
pub mod bearer;
pub mod claims;
pub mod jwks;
pub mod jwt;
pub mod key;
pub mod passwords;
pub mod pem;
pub mod place;
pub mod remote;
pub mod schedule;
pub mod way;

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use serde_json::{Value, json};

use self::api_keys::ApiKeys;
use self::claims::{Grant, Identity};
use self::jwt::Verifier;
use self::passwords::Passwords;
use self::place::TokenFrom;
use self::way::Way;
use super::{Plugin, Request};
use crate::config::{AuthPolicy, CertificateName, Credential};
use crate::refusal::Refusal;

/// Looks for credentials, and notes who the user is.
#[derive(Debug)]
pub struct Auth {
    /// The first that a request has decides.
    ways: Vec<Way>,
    is_optional: bool,
    /// Where they are if the upstream is not to see them.
    hidden: Vec<TokenFrom>,
    needs: Vec<Grant>,
    /// What those are told who lack something of it.
    challenge: HeaderValue,
}

/// What knows users.
#[derive(Clone, Debug, Default)]
pub struct Knowers {
    /// By tokens.
    pub verifier: Option<Arc<Verifier>>,
    /// By keys.
    pub api_keys: Option<Arc<ApiKeys>>,
    /// By passwords.
    pub passwords: Option<Arc<Passwords>>,
    /// By certificates.
    pub certificate: Option<CertificateName>,
}

impl Auth {
    /// Authentication as a route asks for it.
    pub fn new(policy: &AuthPolicy, knowers: &Knowers) -> Self {
        let way = |by: &Credential| match by {
            Credential::Jwt => Some(Way::Jwt(knowers.verifier.clone()?, policy.token_from.0.clone())),
            Credential::ApiKey => knowers.api_keys.clone().map(Way::ApiKey),
            Credential::Basic => knowers.passwords.clone().map(Way::Basic),
            Credential::ClientCertificate => knowers.certificate.map(Way::ClientCertificate),
        };
        let ways: Vec<Way> = policy.by.iter().filter_map(way).collect();
        // What is in a URL is in logs.
        let is_hidden = |place: &TokenFrom| !policy.forward_token || matches!(place, TokenFrom::Query(_));
        Auth {
            hidden: ways.iter().filter_map(Way::place).filter(is_hidden).collect(),
            ways,
            is_optional: policy.optional,
            needs: needs(policy).collect(),
            challenge: challenge(&policy.require_scopes),
        }
    }

    /// Who sent the request.
    async fn identify(&self, request: &Request<'_>) -> Result<Option<(&Way, Arc<Identity>)>, Refusal> {
        for way in &self.ways {
            if let Some(identity) = way.identify(request).await? {
                return Ok(Some((way, identity)));
            }
        }
        if self.is_optional { Ok(None) } else { Err(self.missing()) }
    }

    /// Who it is and how that is known, as an object; what is missing of what the route asks for.
    fn facts(&self, way: &Way, identity: Arc<Identity>) -> impl Fn() -> Value + Send + Sync + 'static {
        let (by, place) = (way.name(), way.place());
        let missing = self.needs.iter().filter(|grant| !identity.grants.contains(grant));
        let missing: Vec<String> = missing.map(ToString::to_string).collect();
        move || {
            let user = String::from_utf8_lossy(identity.user_id.as_bytes());
            let place = place.as_ref().map(ToString::to_string);
            let until = identity.life.ends().and_then(|ends| jiff::Timestamp::from_second(ends as i64).ok());
            let until = until.map(|until| until.to_string());
            json!({ "by": by, "from": place, "user": user, "until": until, "missing": missing })
        }
    }

    fn missing(&self) -> Refusal {
        if let [Way::Jwt(..)] = self.ways.as_slice() {
            return Refusal::TokenMissing;
        }
        let challenges: Vec<&str> = self.ways.iter().map(Way::challenge).collect();
        // Texts of ours.
        let challenge = HeaderValue::try_from(challenges.join(", ")).unwrap_or(HeaderValue::from_static("Bearer"));
        Refusal::CredentialsMissing { challenge }
    }
}

/// What a route asks for.
pub fn needs(policy: &AuthPolicy) -> impl Iterator<Item = Grant> {
    let scopes = policy.require_scopes.iter().cloned().map(Grant::Scope);
    scopes.chain(policy.require_roles.iter().cloned().map(Grant::Role))
}

/// RFC 6750, section 3.1.
fn challenge(scopes: &[String]) -> HeaderValue {
    let plain = "Bearer realm=\"aegis\", error=\"insufficient_scope\"";
    let full = format!("{plain}, scope=\"{}\"", scopes.join(" "));
    // The config takes no scope that could not stand there.
    HeaderValue::try_from(full).ok().filter(|_| !scopes.is_empty()).unwrap_or(HeaderValue::from_static(plain))
}

#[async_trait]
impl Plugin for Auth {
    fn name(&self) -> &'static str {
        "auth"
    }

    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        let Some((way, identity)) = self.identify(request).await? else {
            request.notes.explain(|| || json!({ "by": null }));
            return Ok(());
        };
        request.notes.explain(|| self.facts(way, identity.clone()));
        if !self.needs.iter().all(|grant| identity.grants.contains(grant)) {
            return Err(Refusal::InsufficientScope { challenge: self.challenge.clone() });
        }
        request.notes.hidden.clone_from(&self.hidden);
        request.notes.user_id = Some(identity.user_id.clone());
        request.notes.claims.clone_from(&identity.claims);
        request.notes.upstream.extend(identity.headers.iter().cloned());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
