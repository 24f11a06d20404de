//! `auth:`, and whether the routes that need it have it.

use std::time::Duration;

use http::header::HeaderName;

use super::{Compiler, at_route, start};
use crate::config::file;
use crate::config::located::Located;
use crate::config::model::{Jwt, Route};
use crate::config::units::Secret;

/// HS256 wants a key of at least the size of its hash (RFC 7518, section 3.2).
const STRONG_SECRET_BYTES: usize = 32;

impl Compiler<'_> {
    pub(super) fn claims_to_headers(&mut self, written: &file::Jwt) -> Vec<(String, HeaderName)> {
        let pairs = written.claims_to_headers.iter();
        pairs.filter_map(|(claim, header)| Some((claim.clone(), self.identity_header(claim, header)?))).collect()
    }

    pub(super) fn jwt(&mut self, written: &file::Jwt, claims_to_headers: Vec<(String, HeaderName)>) -> Option<Jwt> {
        if let Some(list) = written.algorithms.as_ref().filter(|list| list.is_empty())
            && !self.told_of("auth.jwt.algorithms")
        {
            self.error(list.at, "auth.jwt.algorithms", "the list is empty; write [HS256] or leave it out");
        }
        let secret = match &written.secret {
            Some(secret) if !secret.reveal().is_empty() => Some((secret.at, secret.value.clone())),
            _ => self.variable("JWT_SECRET").map(|secret| (start(), Secret::new(secret))),
        };
        let (at, secret) = secret?;
        if secret.reveal().len() < STRONG_SECRET_BYTES {
            self.warn(at, "auth.jwt.secret", format!(
                "the secret has {} bytes and can be guessed; HS256 wants at least {STRONG_SECRET_BYTES} (RFC 7518, 3.2), `openssl rand -base64 48` makes a good one",
                secret.reveal().len(),
            ));
        }
        Some(Jwt {
            secret,
            user_id_claim: written.user_id_claim.clone().unwrap_or_else(|| "userId".into()),
            issuer: written.issuer.0.clone(),
            audience: written.audience.0.clone(),
            leeway: written.leeway.map_or(Duration::ZERO, |leeway| leeway.0),
            required_claims: written.required_claims.0.clone(),
            claims_to_headers,
        })
    }

    /// A header that a claim may be sent in: one that the gateway can take away from clients.
    fn identity_header(&mut self, claim: &str, header: &Located<String>) -> Option<HeaderName> {
        const TAKEN: [&str; 14] = [
            "authorization",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "expect",
            "host",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "x-request-id",
            "x-user-id",
            "x-forwarded-for",
        ];
        let path = format!("auth.jwt.claimsToHeaders.{claim}");
        match HeaderName::try_from(header.value.as_str()) {
            Ok(name) if !TAKEN.contains(&name.as_str()) && !name.as_str().starts_with("x-forwarded-") => Some(name),
            Ok(name) => {
                self.error(
                    header.at,
                    path,
                    format!("the header {name} has a meaning of its own; choose another such as x-{claim}"),
                );
                None
            }
            Err(_) => {
                self.error(
                    header.at,
                    path,
                    format!("\"{}\" is no header name; write one such as x-tenant", header.value),
                );
                None
            }
        }
    }

    pub(super) fn secret_is_there(&mut self, jwt: &Option<Jwt>, written: &[Located<file::Route>], routes: &[Route]) {
        let needs = written.iter().zip(routes).find(|(_, route)| route.plugins.auth);
        // A secret that is there and wrong has been told of already.
        if let (None, Some((written, _)), false) = (jwt, needs, self.told_of("auth")) {
            let at = written.plugins.auth.as_ref().map_or(written.at, |auth| auth.at);
            let what = "this route needs tokens, and there is no secret to check them with";
            let right = "set the environment variable JWT_SECRET (or auth.jwt.secret)";
            self.error(at, format!("{}.plugins.auth", at_route(written)), format!("{what}; {right}"));
        }
    }
}
