//! `auth: true`: a valid token, or 401.

pub mod bearer;
pub mod claims;
pub mod jwks;
pub mod jwt;
pub mod key;
pub mod pem;
pub mod remote;
pub mod schedule;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use self::jwt::Verifier;
use super::{Plugin, Request};
use crate::refusal::Refusal;

/// Checks `Authorization: Bearer` and notes who the user is.
#[derive(Debug)]
pub struct Auth {
    verifier: std::sync::Arc<Verifier>,
}

impl Auth {
    /// Authentication against `verifier`.
    pub fn new(verifier: std::sync::Arc<Verifier>) -> Self {
        Auth { verifier }
    }
}

#[async_trait]
impl Plugin for Auth {
    fn name(&self) -> &'static str {
        "auth"
    }

    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        let token = bearer::token(request.headers)?;
        let identity = self.verifier.verify(token, request.now, request.wall).await?;
        request.notes.user_id = Some(identity.user_id.clone());
        request.notes.claims.clone_from(&identity.claims);
        request.notes.upstream.extend(identity.headers.iter().cloned());
        Ok(())
    }
}
