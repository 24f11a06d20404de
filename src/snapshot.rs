//! One compiled config as it serves requests: routes with their plugins, targets and turns. It is never
//! changed; a request keeps the one it began with.

mod limits;
mod targets;

use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;

use self::limits::Ids;
use self::targets::Targets;
use crate::config::{self, BalanceAlgorithm, Config, Destinations, HashKey, Sticky};
use crate::downstream::headers::Reserved;
use crate::observe::tally::Tally;
use crate::plugin::Plugin;
use crate::plugin::auth::api_keys::ApiKeys;
use crate::plugin::auth::claims::Grant;
use crate::plugin::auth::jwt::{Verifier, Wanted};
use crate::plugin::auth::passwords::Passwords;
use crate::plugin::auth::remote::Remote;
use crate::plugin::auth::{Auth, Knowers, needs};
use crate::plugin::forward_auth::ForwardAuth;
use crate::plugin::rate_limit::rule::Limits;
use crate::plugin::rate_limit::{RateLimit, Store};
use crate::routing::table::Table;
use crate::upstream::discovery::source::Source;
use crate::upstream::mirror::Mirror;
use crate::upstream::peer::Peers;
use crate::upstream::registry::Registry;
use crate::upstream::retry::Retries;
use crate::upstream::split::Split;

/// Everything a request needs to know.
pub struct Snapshot {
    /// The routes in the order of the config.
    pub routes: Vec<Arc<Route>>,
    /// All targets, those that sources find included.
    pub registry: Arc<Registry>,
    /// What finds targets.
    pub sources: Vec<Arc<Source>>,
    /// Header names that clients may not use.
    pub reserved: Reserved,
    /// What clients may ask of the gateway.
    pub limits: config::Limits,
    /// Networks whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Where limits are counted.
    pub store: Arc<Store>,
    /// What checks tokens, if any route needs them.
    pub verifier: Option<Arc<Verifier>>,
    table: Table<Arc<Route>>,
}

/// One route.
pub struct Route {
    /// Its path prefix.
    pub path: Arc<str>,
    /// Its targets.
    pub split: Split,
    /// What keeps requests with the group that they had before.
    pub sticky: Option<Sticky>,
    /// Where copies of its requests go.
    pub mirror: Option<Arc<Mirror>>,
    /// By what requests go to the same target, where they do.
    pub hash_key: Option<HashKey>,
    /// Its rate limits, if it has any.
    pub limits: Option<Arc<Limits>>,
    /// How its requests ended.
    pub tally: Tally,
    /// What runs before a request is forwarded, in this order.
    pub plugins: Vec<Box<dyn Plugin>>,
    /// When a request is sent again, if ever.
    pub retries: Option<Retries>,
    /// How long to wait for a target.
    pub timeouts: config::Timeouts,
    /// Bytes that the body of a request may have, if that matters.
    pub max_body: Option<u64>,
    /// How targets are connected to.
    pub peers: Peers,
}

impl Snapshot {
    /// What `config` describes as it begins at `now`, with counters in `store`.
    pub fn new(config: &Config, store: Arc<Store>, now: Instant) -> Self {
        let targets = Targets::new(config, now);
        let jwt = Some(&config.auth.jwt).filter(|jwt| !jwt.is_empty());
        let verifier = jwt.map(|jwt| Arc::new(Verifier::new(jwt, &wanted(&config.routes), now)));
        let api_keys = config.auth.api_keys.as_ref().map(|keys| Arc::new(ApiKeys::new(keys)));
        let passwords = config.auth.basic.as_ref().map(|basic| Arc::new(Passwords::new(basic)));
        let certificate = config.auth.client_certificate;
        let knowers = Knowers { verifier: verifier.clone(), api_keys, passwords, certificate };
        let mut ids = Ids::default();
        let routes: Vec<Arc<Route>> = config
            .routes
            .iter()
            .map(|route| Arc::new(compile(route, &mut ids, &targets, &knowers, &store, now)))
            .collect();
        Snapshot {
            table: Table::new(routes.iter().map(|route| (route.path.to_string(), route.clone()))),
            routes,
            sources: targets.sources(),
            registry: targets.registry,
            reserved: Reserved::new(config.identity_headers.iter().cloned()),
            limits: config.limits,
            trusted_proxies: config.trusted_proxies.clone(),
            store,
            verifier,
        }
    }

    /// The keys of tokens that have to be fetched.
    pub fn remotes(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.verifier.iter().flat_map(|verifier| verifier.remotes())
    }

    /// The route that takes `path`, which is in normal form.
    pub fn route(&self, path: &str) -> Option<&Arc<Route>> {
        self.table.find(path)
    }
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

fn compile(
    route: &config::Route,
    ids: &mut Ids,
    targets: &Targets<'_>,
    knowers: &Knowers,
    store: &Arc<Store>,
    now: Instant,
) -> Route {
    let path: Arc<str> = route.path.as_str().into();
    let mut plugins: Vec<Box<dyn Plugin>> = Vec::new();
    if let Some(policy) = &route.plugins.auth {
        plugins.push(Box::new(Auth::new(policy, knowers)));
    }
    if let Some(asked) = &route.plugins.forward_auth {
        plugins.push(Box::new(ForwardAuth::new(asked)));
    }
    let limits = limits::compile(route, ids);
    if let Some(limits) = &limits {
        plugins.push(Box::new(RateLimit::new(limits.clone(), store.clone())));
    }
    let hashed = route.balance.algorithm == BalanceAlgorithm::ConsistentHash;
    Route {
        path,
        split: targets.split(route),
        sticky: match &route.destinations {
            Destinations::Groups { sticky, .. } => sticky.clone(),
            Destinations::Targets { .. } => None,
        },
        mirror: targets.mirror(route, now),
        hash_key: hashed.then(|| route.balance.key.clone()),
        limits,
        tally: Tally::default(),
        plugins,
        retries: route.retry.clone().map(|policy| Retries::new(policy, now)),
        timeouts: route.timeouts,
        max_body: route.max_body,
        peers: Peers::new(route.timeouts, &route.upstream_tls),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        let loaded = config::parse("test.yaml", text, &|_| None).expect("a valid config");
        Snapshot::new(&loaded.config, Arc::new(Store::new(None, Instant::now())), Instant::now())
    }

    #[test]
    fn routes_share_the_targets_they_both_name_however_they_spell_them() {
        let snapshot = snapshot(concat!(
            "routes:\n",
            "  - { path: /a, targets: [http://x:1, http://y] }\n",
            "  - { path: /b, targets: [HTTP://Y:80/], breaker: off }\n",
        ));
        assert_eq!(snapshot.registry.all().len(), 2);
        let member = |route: usize, at: usize| {
            snapshot.routes[route].split.groups[0].roster.pool().members().nth(at).expect("one").clone()
        };
        assert!(Arc::ptr_eq(&member(0, 1).target, &member(1, 0).target));
        let guarded = |route: usize| member(route, 0).guarded;
        assert_eq!((guarded(0), guarded(1)), (true, false));
        assert_eq!(snapshot.route("/b/7").map(|route| &*route.path), Some("/b"));
    }

    #[test]
    fn plugins_stand_in_the_order_of_the_contract() {
        let snapshot = snapshot(concat!(
            "auth: { jwt: { secret: 0123456789abcdef0123456789abcdef } }\n",
            "routes:\n",
            "  - path: /a\n",
            "    targets: http://x:1\n",
            "    plugins: { rateLimit: { max: 1, window: 60 }, forwardAuth: { url: https://x }, auth: true }\n",
            "  - { path: /b, targets: http://x:1 }\n",
        ));
        let names =
            |route: usize| snapshot.routes[route].plugins.iter().map(|plugin| plugin.name()).collect::<Vec<_>>();
        assert_eq!((names(0), names(1)), (vec!["auth", "forwardAuth", "rateLimit"], vec![]));
    }
}
