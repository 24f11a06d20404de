//! `auth:`, and whether the routes that need it have it.

use std::collections::HashMap;
use std::time::Duration;

use http::header::HeaderName;

use super::keys::Found;
use super::{Compiler, at_route};
use crate::config::file::{self, Credential};
use crate::config::located::Located;
use crate::config::model::{Auth, Jwt, Route, Tls};
use crate::downstream::headers::{is_forwarding, plain};

impl Compiler<'_> {
    /// What tells users, and the headers that say who they are, whether or not any route asks for that.
    pub(super) fn auth(&mut self, written: &file::Auth) -> (Auth, Vec<HeaderName>) {
        let default = [Located::default()];
        let blocks: &[Located<file::Jwt>] = if written.jwt.is_empty() { &default } else { &written.jwt };
        let (mut jwt, mut headers) = (Vec::new(), Vec::new());
        for block in blocks {
            let (path, is_one_of_many) = match blocks.len() {
                1 => ("auth.jwt".to_owned(), false),
                _ => (format!("auth.jwt[{}]", block.index), true),
            };
            let mapped = self.claims_to_headers(block, &path);
            headers.extend(mapped.iter().map(|(_, header)| header.clone()));
            jwt.extend(self.jwt(block, &path, is_one_of_many, mapped));
        }
        if blocks.len() > 1 {
            self.each_has_its_issuer(blocks);
        }
        let auth = Auth {
            jwt,
            api_keys: self.api_keys(written.api_keys.as_ref()),
            basic: self.basic(written.basic.as_ref()),
            client_certificate: Some(written.client_certificate.unwrap_or_default()),
            idle_claims: Vec::new(),
        };
        (auth, headers)
    }

    fn claims_to_headers(&mut self, written: &file::Jwt, path: &str) -> Vec<(String, HeaderName)> {
        let pairs = written.claims_to_headers.iter();
        let mut header =
            |(claim, header): (&String, _)| Some((claim.clone(), self.identity_header(path, claim, header)?));
        pairs.filter_map(&mut header).collect()
    }

    fn jwt(
        &mut self,
        written: &Located<file::Jwt>,
        path: &str,
        is_one_of_many: bool,
        claims_to_headers: Vec<(String, HeaderName)>,
    ) -> Option<Jwt> {
        let Found { source, keys, algorithms } = self.keys(written, path, is_one_of_many)?;
        Some(Jwt {
            source,
            keys,
            algorithms,
            user_id_claim: written.user_id_claim.clone().unwrap_or_else(|| "userId".into()),
            issuer: written.issuer.iter().map(|issuer| issuer.value.clone()).collect(),
            audience: written.audience.0.clone(),
            leeway: written.leeway.map_or(Duration::ZERO, |leeway| leeway.0),
            required_claims: written.required_claims.0.clone(),
            roles_claim: written.roles_claim.clone().unwrap_or_else(|| "roles".into()),
            claims_to_headers,
        })
    }

    /// Tokens say whose they are, and that has to lead to one block.
    fn each_has_its_issuer(&mut self, blocks: &[Located<file::Jwt>]) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for block in blocks {
            let path = format!("auth.jwt[{}].issuer", block.index);
            if block.issuer.is_empty() && !self.told_of(&path) {
                self.error(
                    block.at,
                    &path,
                    "where there are several blocks, tokens are told by their issuer; write one",
                );
            }
            for issuer in block.issuer.iter() {
                if let Some(first) = seen.insert(&issuer.value, block.index) {
                    let message = format!("{} is the issuer of auth.jwt[{first}] already; write it once", issuer.value);
                    self.error(issuer.at, &path, message);
                }
            }
        }
    }

    /// A header that a claim may be sent in: one that the gateway can take away from clients.
    fn identity_header(&mut self, path: &str, claim: &str, header: &Located<String>) -> Option<HeaderName> {
        self.header_for(&format!("{path}.claimsToHeaders.{claim}"), claim, header)
    }

    /// A header without a meaning of its own, for `what`.
    pub(super) fn header_for(&mut self, path: &str, what: &str, header: &Located<String>) -> Option<HeaderName> {
        const TAKEN: [&str; 13] = [
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
        ];
        let is_taken = |name: &str| TAKEN.contains(&name) || is_forwarding(name);
        match HeaderName::try_from(header.value.as_str()) {
            Ok(name) if !is_taken(&plain(name.as_str())) => Some(name),
            Ok(name) => {
                self.error(
                    header.at,
                    path,
                    format!("the header {name} has a meaning of its own; choose another such as x-{what}"),
                );
                None
            }
            Err(_) => {
                self.error(header.at, path, "no name of a header; write one such as x-tenant");
                None
            }
        }
    }

    /// What routes go by has to be known.
    pub(super) fn credentials_are_there(
        &mut self,
        auth: &Auth,
        tls: Option<&Tls>,
        written: &[Located<file::Route>],
        routes: &[Route],
    ) {
        let asks = tls.is_some_and(|tls| tls.clients.is_some());
        // What is there and wrong has been told of already.
        for (way, is_there, place, message) in [
            (
                Credential::Jwt,
                !auth.jwt.is_empty(),
                "auth",
                "this route needs tokens, and there is no secret to check them with; set the environment variable JWT_SECRET (or auth.jwt.secret)",
            ),
            (
                Credential::ApiKey,
                auth.api_keys.is_some(),
                "auth.apiKeys",
                "this route takes API keys, and there are none; write auth.apiKeys",
            ),
            (
                Credential::Basic,
                auth.basic.is_some(),
                "auth.basic",
                "this route takes passwords, and there are none; write auth.basic",
            ),
            (
                Credential::ClientCertificate,
                asks,
                "tls",
                "this route goes by certificates of clients, and they are asked for none; write tls.clientCaFile",
            ),
        ] {
            let goes_by = |route: &Route| route.plugins.auth.as_ref().is_some_and(|policy| policy.by.contains(&way));
            let needs = written.iter().zip(routes).find(|(_, route)| goes_by(route));
            if let (false, Some((written, _)), false) = (is_there, needs, self.told_of(place)) {
                let at = written.plugins.auth.as_ref().map_or(written.at, |auth| auth.at);
                self.error(at, format!("{}.plugins.auth", at_route(written)), message);
            }
        }
    }
}
