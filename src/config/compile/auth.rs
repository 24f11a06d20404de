//! `auth:`, and whether the routes that need it have it.

use std::time::Duration;

use http::header::HeaderName;

use super::keys::Found;
use super::{Compiler, at_route};
use crate::config::file;
use crate::config::located::Located;
use crate::config::model::{Jwt, Route};

impl Compiler<'_> {
    pub(super) fn claims_to_headers(&mut self, written: &file::Jwt) -> Vec<(String, HeaderName)> {
        let pairs = written.claims_to_headers.iter();
        pairs.filter_map(|(claim, header)| Some((claim.clone(), self.identity_header(claim, header)?))).collect()
    }

    pub(super) fn jwt(&mut self, written: &file::Jwt, claims_to_headers: Vec<(String, HeaderName)>) -> Option<Jwt> {
        let Found { source, keys, algorithms } = self.keys(written, "auth.jwt")?;
        Some(Jwt {
            source,
            keys,
            algorithms,
            user_id_claim: written.user_id_claim.clone().unwrap_or_else(|| "userId".into()),
            issuer: written.issuer.iter().map(|issuer| issuer.value.clone()).collect(),
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
