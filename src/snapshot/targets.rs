//! The targets of all routes, from the config to what runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::{SmallVec, smallvec};

use super::alike::Alike;
use super::before::{Before, RouteBefore};
use crate::breaker::policy::{Backoff, Policy, Recent, Trip};
use crate::config::units::{Origin, SourceUrl};
use crate::config::{self, BalanceAlgorithm, Destinations, Timeouts, UpstreamTls};
use crate::upstream::concurrency::Bounds;
use crate::upstream::criteria::Criteria;
use crate::upstream::discovery::source::Source;
use crate::upstream::mirror::Mirror;
use crate::upstream::peer::Peers;
use crate::upstream::pool::{Algorithm, OnAllOpen};
use crate::upstream::registry::{Blueprint, Registry};
use crate::upstream::roster::{Entry, Limit, Roster, Terms};
use crate::upstream::split::{Group, Split};
use crate::upstream::target::Target;

/// Added to the time that an attempt may take, for the lease of a probe.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// How many requests a target may leave unanswered while others answer, at the least: fewer are not told from
/// one that is a little late.
const LEEWAY: u32 = 3;

/// What guards a target, of what its routes say.
#[derive(Default)]
struct Guards<'c> {
    /// And how long a probe may take where the config does not say.
    breaker: Option<(&'c config::Breaker, Duration)>,
    check: Option<&'c config::HealthCheck>,
}

/// One target for each URL, and one source for each of theirs.
pub struct Targets<'c> {
    generation: u64,
    by_origin: HashMap<&'c Origin, Known>,
    /// All targets, those that sources find included.
    pub registry: Arc<Registry>,
    criteria: Alike<Criteria, Criteria>,
    peers: Alike<(Timeouts, &'c UpstreamTls), Peers>,
}

enum Known {
    Target(Arc<Target>),
    Source(Arc<Source>),
}

impl<'c> Targets<'c> {
    /// Those that `config` names; what there was `before` is the same as before. The routes that have a breaker for a target
    /// agree on it; a probe's lease covers the most patient of them.
    pub fn new(config: &'c config::Config, before: Option<&Before<'_>>, generation: u64, now: Instant) -> Self {
        let mut found: HashMap<&Origin, Guards<'_>> = HashMap::new();
        for route in &config.routes {
            for target in route.destinations.targets() {
                let guards = found.entry(&target.origin).or_default();
                guards.check = guards.check.or(route.health_check.as_ref());
                if let Some(breaker) = &target.breaker {
                    let lease = route.timeouts.attempt() + LEASE_MARGIN;
                    guards.breaker = Some((breaker, guards.breaker.map_or(lease, |(_, longest)| lease.max(longest))));
                }
            }
        }
        // Always in the same order, so that with the same seed each gets the same chance. What the config says of a target
        // comes before what it says of its source.
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_cached_key(|(origin, _)| (matches!(origin, Origin::Source(_)), origin.to_string()));
        let registry = before.map(|before| before.snapshot.registry.clone()).unwrap_or_default();
        let sources = before.iter().flat_map(|before| &before.snapshot.sources);
        let sources: HashMap<&SourceUrl, &Arc<Source>> = sources.map(|source| (&source.url, source)).collect();
        let known = |origin: &Origin, guards: &Guards<'_>| {
            let blueprint = blueprint(generation, guards);
            match origin {
                Origin::Url(url) => Known::Target(registry.target(url, &blueprint, now).0),
                Origin::Source(url) => match sources.get(url) {
                    Some(source) => {
                        source.redefine(blueprint, now);
                        Known::Source((*source).clone())
                    }
                    None => Known::Source(Arc::new(Source::new(url.clone(), blueprint, registry.clone()))),
                },
            }
        };
        let by_origin = found.iter().map(|(origin, guards)| (*origin, known(origin, guards))).collect();
        Targets { generation, by_origin, registry, criteria: Alike::default(), peers: Alike::default() }
    }

    /// What knows targets, each once.
    pub fn sources(&self) -> Vec<Arc<Source>> {
        let source = |known: &Known| match known {
            Known::Source(source) => Some(source.clone()),
            Known::Target(_) => None,
        };
        self.by_origin.values().filter_map(source).collect()
    }

    /// The groups of a route, which was another one `before`, or the same.
    pub fn split(&mut self, route: &config::Route, before: Option<&RouteBefore<'_>>) -> Split {
        let groups = before.map(|before| before.groups()).unwrap_or_default();
        let mut group = |name: &str, weight: u32, targets: &[config::Target]| {
            let known = before.and_then(|before| Some((before, *groups.get(name)?)));
            let roster = match known {
                Some((before, (group, same))) if same == targets && chooses_alike(before.config, route) => {
                    group.roster.clone()
                }
                known => self.roster(route, targets, known.map(|(_, (group, _))| &*group.roster)),
            };
            Group { name: name.into(), weight, roster }
        };
        let groups = match &route.destinations {
            Destinations::Targets { targets } => smallvec![group("", 1, targets)],
            Destinations::Redirect { .. } | Destinations::Respond { .. } => SmallVec::new(),
            Destinations::Groups { groups, .. } => {
                groups.iter().map(|written| group(&written.name, written.weight, &written.targets)).collect()
            }
        };
        Split { groups }
    }

    /// Where copies of a route's requests go, which may be the same as `before`.
    pub fn mirror(
        &mut self,
        route: &'c config::Route,
        before: Option<&RouteBefore<'_>>,
        now: Instant,
    ) -> Option<Arc<Mirror>> {
        let mirror = route.mirror.as_ref()?;
        let alike = |before: &&RouteBefore<'_>| {
            let of = |route: &config::Route| {
                (route.mirror.clone(), route.timeouts, route.upstream_tls.clone(), route.host_header.clone())
            };
            of(before.config) == of(route)
        };
        if let Some(before) = before.filter(alike) {
            return before.route.mirror.clone();
        }
        let target = self.registry.shadow(&mirror.target, &blueprint(self.generation, &Guards::default()), now);
        Some(Arc::new(Mirror::new(mirror, target, (route.timeouts, &route.host_header), self.peers(route))))
    }

    /// What makes the peers of a route.
    pub fn peers(&mut self, route: &'c config::Route) -> Arc<Peers> {
        self.peers.of((route.timeouts, &route.upstream_tls), |(timeouts, tls)| Peers::new(*timeouts, tls))
    }

    fn roster(&mut self, route: &config::Route, targets: &[config::Target], before: Option<&Roster>) -> Arc<Roster> {
        let entry = |written: &config::Target| {
            let entry = match self.by_origin.get(&written.origin)? {
                Known::Target(target) => Entry::Target(target.clone()),
                Known::Source(source) => Entry::Source(source.clone()),
            };
            let criteria = self.criteria.of(criteria(written.breaker.as_ref()), Clone::clone);
            Some((entry, terms(route, written, criteria)))
        };
        let on_all_open = match route.on_all_open {
            config::OnAllOpen::Fail => OnAllOpen::Fail,
            config::OnAllOpen::TryAnyway => OnAllOpen::TryAnyway,
        };
        Roster::new(targets.iter().filter_map(entry).collect(), algorithm(&route.balance), on_all_open, before)
    }
}

/// Whether two routes with the same targets have them chosen, judged and guarded in the same way.
fn chooses_alike(one: &config::Route, other: &config::Route) -> bool {
    let parts = |route: &config::Route| {
        let guards = (route.breaker.clone(), route.health_check.clone());
        (route.balance.clone(), route.on_all_open, route.concurrency, route.slow_start, guards)
    };
    parts(one) == parts(other)
}

fn algorithm(balance: &config::Balance) -> Algorithm {
    match balance.algorithm {
        BalanceAlgorithm::RoundRobin => Algorithm::RoundRobin,
        BalanceAlgorithm::LeastRequest => Algorithm::LeastRequest,
        BalanceAlgorithm::PeakEwma => Algorithm::PeakEwma,
        BalanceAlgorithm::ConsistentHash => Algorithm::ConsistentHash { load_factor: balance.load_factor.0 },
        BalanceAlgorithm::Random => Algorithm::Random,
    }
}

fn terms(route: &config::Route, written: &config::Target, criteria: Arc<Criteria>) -> Terms {
    let failures = written.breaker.as_ref().and_then(|breaker| breaker.failures);
    Terms {
        guarded: written.breaker.is_some(),
        criteria,
        checked: route.health_check.is_some(),
        weight: written.weight,
        concurrency: route.concurrency.map(|concurrency| match concurrency {
            config::Concurrency::Fixed(limit) => Limit::Fixed(limit.get()),
            config::Concurrency::Adaptive { min, initial, max } => {
                Limit::Adaptive(Bounds { min: min.get(), initial: initial.get(), max: max.get() })
            }
        }),
        slow_start: route.slow_start,
        leeway: failures.map_or(LEEWAY, |failures| failures.get().max(LEEWAY)),
    }
}

fn blueprint(generation: u64, guards: &Guards<'_>) -> Blueprint {
    Blueprint {
        generation,
        criteria: criteria(guards.breaker.map(|(breaker, _)| breaker)),
        policy: guards.breaker.map(|(breaker, lease)| policy(breaker, lease)),
        check: guards.check.cloned(),
    }
}

fn criteria(breaker: Option<&config::Breaker>) -> Criteria {
    match breaker {
        Some(breaker) => Criteria {
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
    }
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
