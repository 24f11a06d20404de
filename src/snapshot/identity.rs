//! Who knows users, from the config to what runs.

use std::sync::Arc;
use std::time::Instant;

use super::before::Before;
use super::limits;
use crate::config::{self, Config, HashKey};
use crate::plugin::auth::api_keys::ApiKeys;
use crate::plugin::auth::claims::Grant;
use crate::plugin::auth::jwt::{Verifier, Wanted};
use crate::plugin::auth::passwords::Passwords;
use crate::plugin::auth::{Knowers, needs};

/// Those of a config.
pub fn knowers(config: &Config, before: Option<&Before<'_>>, now: Instant) -> Knowers {
    Knowers {
        verifier: verifier(config, before, now),
        api_keys: config.auth.api_keys.as_ref().map(|keys| Arc::new(ApiKeys::new(keys))),
        passwords: passwords(config, before),
        certificate: config.auth.client_certificate,
    }
}

/// What checks passwords: the same as before, if they are the same, so that those that were right stay known.
fn passwords(config: &Config, before: Option<&Before<'_>>) -> Option<Arc<Passwords>> {
    let basic = config.auth.basic.as_ref()?;
    let known = before.filter(|before| before.config.auth.basic.as_ref() == Some(basic));
    let known = known.and_then(|before| before.snapshot.passwords.clone());
    Some(known.unwrap_or_else(|| Arc::new(Passwords::new(basic))))
}

/// What of tokens anything goes by.
fn wanted(routes: &[config::Route]) -> Wanted {
    let hashed = routes.iter().filter_map(|route| match &route.balance.key {
        HashKey::Claim(claim) => Some(claim.clone()),
        _ => None,
    });
    let mut claims: Vec<String> = limits::claims(routes).chain(hashed).collect();
    claims.sort();
    claims.dedup();
    let mut grants: Vec<Grant> =
        routes.iter().filter_map(|route| route.plugins.auth.as_ref()).flat_map(needs).collect();
    grants.sort();
    grants.dedup();
    Wanted { claims, grants }
}

/// What checks the tokens of a config: the same as before, if that goes by the same, so that the tokens that it knows stay
/// known.
fn verifier(config: &Config, before: Option<&Before<'_>>, now: Instant) -> Option<Arc<Verifier>> {
    let known = before.and_then(|before| Some((before.config, before.snapshot.verifier.as_ref()?)));
    let wanted = wanted(&config.routes);
    match known {
        _ if config.auth.jwt.is_empty() => None,
        Some((before, verifier)) if before.auth.jwt == config.auth.jwt && self::wanted(&before.routes) == wanted => {
            Some(verifier.clone())
        }
        known => {
            let remotes = known.iter().flat_map(|(_, verifier)| verifier.remotes()).cloned().collect::<Vec<_>>();
            Some(Arc::new(Verifier::new(&config.auth.jwt, &wanted, &remotes, now)))
        }
    }
}
