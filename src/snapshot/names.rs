//! Names in a config that matter for all requests, whichever route takes them.

use http::HeaderName;

use crate::config::{Config, HashKey, KeyPart, Route};
use crate::plugin::auth::place::TokenFrom;

/// Fields of requests by which something is decided, or that are changed.
pub fn decisive(config: &Config) -> Vec<HeaderName> {
    let keys = config.auth.api_keys.iter().map(|keys| keys.header.0.clone());
    let mut names: Vec<HeaderName> = keys.chain(config.routes.iter().flat_map(of_route)).collect();
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

fn of_route(route: &Route) -> impl Iterator<Item = HeaderName> {
    let matched = route.matcher.fields.iter().map(|field| field.name.clone());
    let token = route.plugins.auth.as_ref().and_then(|auth| match &auth.token_from.0 {
        TokenFrom::Header(name) => Some(name.clone()),
        _ => None,
    });
    let edited = route.plugins.headers.iter().flat_map(|rules| {
        let edits = &rules.request;
        edits.set.iter().chain(&edits.add).map(|(name, _)| name).chain(&edits.remove).cloned()
    });
    let counted = route.plugins.rate_limit.iter().flat_map(|limit| &limit.key).filter_map(|part| match part {
        KeyPart::Header(name) => Some(name.0.clone()),
        _ => None,
    });
    let hashed = match &route.balance.key {
        HashKey::Header(name) => Some(name.0.clone()),
        _ => None,
    };
    matched.chain(token).chain(edited).chain(counted).chain(hashed)
}

/// Parameters of queries that hold tokens.
pub fn query_tokens(config: &Config) -> Vec<String> {
    let places = config.routes.iter().filter_map(|route| Some(&route.plugins.auth.as_ref()?.token_from.0));
    let mut names: Vec<String> = places
        .filter_map(|place| match place {
            TokenFrom::Query(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}
