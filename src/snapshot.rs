//! One compiled config as it serves requests: routes with their plugins, targets and turns. It is never
//! changed; a request keeps the one it began with.

mod limits;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use self::limits::Ids;
use crate::breaker::policy::{Backoff, Policy, Recent, Trip};
use crate::config::units::TargetUrl;
use crate::config::{self, Config};
use crate::downstream::headers::Reserved;
use crate::plugin::Plugin;
use crate::plugin::auth::{Auth, jwt::Verifier};
use crate::plugin::rate_limit::rule::Limits;
use crate::plugin::rate_limit::{RateLimit, Store};
use crate::routing::table::Table;
use crate::upstream::criteria::Criteria;
use crate::upstream::peer::Peers;
use crate::upstream::selector::RoundRobin;
use crate::upstream::target::Target;

/// Added to the time that an attempt may take, for the lease of a probe.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// Everything a request needs to know.
pub struct Snapshot {
    /// The routes in the order of the config.
    pub routes: Vec<Arc<Route>>,
    /// Every target once.
    pub targets: Vec<Arc<Target>>,
    /// Header names that clients may not use.
    pub reserved: Reserved,
    /// Networks whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Where limits are counted.
    pub store: Arc<Store>,
    table: Table<Arc<Route>>,
}

/// One route.
pub struct Route {
    /// Its path prefix.
    pub path: Arc<str>,
    /// Its targets in the order of the config.
    pub members: Vec<Member>,
    /// Whose turn it is.
    pub turns: RoundRobin,
    /// Its rate limits, if it has any.
    pub limits: Option<Arc<Limits>>,
    /// What runs before a request is forwarded, in this order.
    pub plugins: Vec<Box<dyn Plugin>>,
    /// How long to wait for a target.
    pub timeouts: config::Timeouts,
    /// How targets are connected to.
    pub peers: Peers,
}

/// A target as one of a route's.
pub struct Member {
    /// The target.
    pub target: Arc<Target>,
    /// Whether its breaker is asked and told.
    pub guarded: bool,
}

impl Snapshot {
    /// What `config` describes, with counters in `store`.
    pub fn new(config: &Config, store: Arc<Store>) -> Self {
        let targets = targets(config);
        let verifier = config.jwt.as_ref().map(|jwt| Arc::new(Verifier::new(jwt, limits::claims(&config.routes))));
        let mut ids = Ids::default();
        let routes: Vec<Arc<Route>> = config
            .routes
            .iter()
            .map(|route| Arc::new(compile(route, &mut ids, &targets, verifier.as_ref(), &store)))
            .collect();
        Snapshot {
            table: Table::new(routes.iter().map(|route| (route.path.to_string(), route.clone()))),
            routes,
            targets: targets.into_values().collect(),
            reserved: Reserved::new(config.identity_headers.iter().cloned()),
            trusted_proxies: config.trusted_proxies.clone(),
            store,
        }
    }

    /// The route that takes `path`, which is in normal form.
    pub fn route(&self, path: &str) -> Option<&Arc<Route>> {
        self.table.find(path)
    }
}

fn compile(
    route: &config::Route,
    ids: &mut Ids,
    targets: &HashMap<&str, Arc<Target>>,
    verifier: Option<&Arc<Verifier>>,
    store: &Arc<Store>,
) -> Route {
    let path: Arc<str> = route.path.as_str().into();
    let mut plugins: Vec<Box<dyn Plugin>> = Vec::new();
    if let (true, Some(verifier)) = (route.plugins.auth, verifier) {
        plugins.push(Box::new(Auth::new(verifier.clone())));
    }
    let limits = limits::compile(route, ids);
    if let Some(limits) = &limits {
        plugins.push(Box::new(RateLimit::new(limits.clone(), store.clone())));
    }
    let member = |written: &config::Target| {
        let target = targets.get(written.url.as_str())?.clone();
        Some(Member { target, guarded: written.breaker.is_some() })
    };
    Route {
        path,
        members: route.targets.iter().filter_map(member).collect(),
        turns: RoundRobin::default(),
        limits,
        plugins,
        timeouts: route.timeouts,
        peers: Peers::new(route.timeouts),
    }
}

/// One target for each URL; all routes that name it share it. The routes that have a breaker for it agree
/// on the breaker; a probe's lease covers the most patient of them.
fn targets(config: &Config) -> HashMap<&str, Arc<Target>> {
    let mut breakers: HashMap<&TargetUrl, Option<(&config::Breaker, Duration)>> = HashMap::new();
    for route in &config.routes {
        for target in &route.targets {
            let known = breakers.entry(&target.url).or_default();
            let Some(breaker) = &target.breaker else { continue };
            let lease = route.timeouts.attempt() + LEASE_MARGIN;
            *known = Some((breaker, known.map_or(lease, |(_, longest)| lease.max(longest))));
        }
    }
    breakers.into_iter().map(|(url, breaker)| (url.as_str(), Arc::new(target(url, breaker)))).collect()
}

fn target(url: &TargetUrl, breaker: Option<(&config::Breaker, Duration)>) -> Target {
    let criteria = match breaker {
        Some((breaker, _)) => Criteria {
            statuses: breaker.statuses.clone(),
            grpc_statuses: breaker.grpc_statuses.clone(),
            slower_than: breaker.slower_than,
            slow_fails: breaker.slow_ratio.is_none(),
        },
        // What is counted though it has no consequence.
        None => Criteria {
            statuses: config::Breaker::default_statuses(),
            grpc_statuses: config::Breaker::default_grpc_statuses(),
            slower_than: None,
            slow_fails: false,
        },
    };
    Target::new(url.clone(), criteria, breaker.map(|(breaker, lease)| policy(breaker, lease)))
}

/// `lease` is what a probe may take where the config does not say.
fn policy(breaker: &config::Breaker, lease: Duration) -> Policy {
    let recent = breaker.window.zip(breaker.min_requests).map(|(window, min_requests)| Recent {
        window,
        min_requests,
        failed: breaker.failure_ratio,
        slow: breaker.slow_ratio,
    });
    Policy {
        trip: Trip { in_a_row: breaker.failures, recent, both: breaker.mode == Some(config::Mode::All) },
        cooldown: breaker.cooldown,
        backoff: breaker.backoff.map(|config::Backoff { factor, max, jitter }| Backoff {
            factor: factor.0,
            max,
            jitter,
        }),
        lease: breaker.probe_timeout.unwrap_or(lease),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        let loaded = config::parse("test.yaml", text, &|_| None).expect("a valid config");
        Snapshot::new(&loaded.config, Arc::new(Store::new(None, Instant::now())))
    }

    #[test]
    fn routes_share_the_targets_they_both_name() {
        let snapshot = snapshot(concat!(
            "routes:\n",
            "  - { path: /a, targets: [http://x:1, http://y:1] }\n",
            "  - { path: /b, targets: [http://y:1], breaker: off }\n",
        ));
        assert_eq!(snapshot.targets.len(), 2);
        assert!(Arc::ptr_eq(&snapshot.routes[0].members[1].target, &snapshot.routes[1].members[0].target));
        let guarded = |route: usize| snapshot.routes[route].members[0].guarded;
        assert_eq!((guarded(0), guarded(1)), (true, false));
        assert_eq!(snapshot.route("/b/7").map(|route| &*route.path), Some("/b"));
    }

    #[test]
    fn plugins_stand_in_the_order_of_the_contract() {
        let snapshot = snapshot(concat!(
            "auth: { jwt: { secret: 0123456789abcdef0123456789abcdef } }\n",
            "routes:\n",
            "  - { path: /a, targets: http://x:1, plugins: { rateLimit: { max: 1, window: 60 }, auth: true } }\n",
            "  - { path: /b, targets: http://x:1 }\n",
        ));
        let names =
            |route: usize| snapshot.routes[route].plugins.iter().map(|plugin| plugin.name()).collect::<Vec<_>>();
        assert_eq!((names(0), names(1)), (vec!["auth", "rateLimit"], vec![]));
    }
}
