//! `auth: true`: a valid token, or 401.

pub mod bearer;
pub mod claims;
pub mod jwks;
pub mod jwt;
pub mod key;
pub mod pem;
pub mod place;
pub mod remote;
pub mod schedule;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;

use self::claims::Grant;
use self::jwt::Verifier;
use self::place::TokenFrom;
use super::{Plugin, Request};
use crate::config::AuthPolicy;
use crate::refusal::Refusal;

/// Looks for a token, and notes who the user is.
#[derive(Debug)]
pub struct Auth {
    verifier: Arc<Verifier>,
    from: TokenFrom,
    is_optional: bool,
    /// Whether the upstream is not to see the token.
    hides: bool,
    needs: Vec<Grant>,
    /// What those are told who lack something of it.
    challenge: HeaderValue,
}

impl Auth {
    /// Authentication against `verifier`, as a route asks for it.
    pub fn new(verifier: Arc<Verifier>, policy: &AuthPolicy) -> Self {
        let from = policy.token_from.0.clone();
        Auth {
            verifier,
            is_optional: policy.optional,
            // What is in a URL is in logs.
            hides: !policy.forward_token || matches!(from, TokenFrom::Query(_)),
            from,
            needs: needs(policy).collect(),
            challenge: challenge(&policy.require_scopes),
        }
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
        let token = match self.from.find(request.headers, request.query) {
            Err(Refusal::TokenMissing) if self.is_optional => return Ok(()),
            found => found?,
        };
        let identity = self.verifier.verify(token, request.now, request.wall).await?;
        if !self.needs.iter().all(|grant| identity.grants.contains(grant)) {
            return Err(Refusal::InsufficientScope { challenge: self.challenge.clone() });
        }
        request.notes.hidden = self.hides.then(|| self.from.clone());
        request.notes.user_id = Some(identity.user_id.clone());
        request.notes.claims.clone_from(&identity.claims);
        request.notes.upstream.extend(identity.headers.iter().cloned());
        Ok(())
    }
}
