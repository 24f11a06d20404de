//! The targets of all routes, from the config to what runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use crate::breaker::policy::{Backoff, Policy, Recent, Trip};
use crate::config::units::TargetUrl;
use crate::config::{self, BalanceAlgorithm};
use crate::upstream::concurrency::{Bounds, Concurrency};
use crate::upstream::criteria::Criteria;
use crate::upstream::pool::{Algorithm, OnAllOpen, Pool};
use crate::upstream::target::{Member, Share, Target};

/// Added to the time that an attempt may take, for the lease of a probe.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// How many requests a target without a breaker may leave unanswered while others answer.
const LEEWAY: u32 = 3;

/// What guards a target, of what its routes say.
#[derive(Default)]
struct Guards<'c> {
    /// And how long a probe may take where the config does not say.
    breaker: Option<(&'c config::Breaker, Duration)>,
    check: Option<&'c config::HealthCheck>,
}

/// One target for each URL.
#[derive(Debug, Default)]
pub struct Targets<'c> {
    by_url: HashMap<&'c str, Arc<Target>>,
    /// Limits that are found out are shared by routes that look for them in the same way.
    adaptive: HashMap<(&'c str, Bounds), Arc<Concurrency>>,
}

impl<'c> Targets<'c> {
    /// Those that `config` names. The routes that have a breaker for a target agree on it; a probe's lease covers
    /// the most patient of them.
    pub fn new(config: &'c config::Config) -> Self {
        let mut found: HashMap<&TargetUrl, Guards<'_>> = HashMap::new();
        for route in &config.routes {
            for target in &route.targets {
                let guards = found.entry(&target.url).or_default();
                guards.check = guards.check.or(route.health_check.as_ref());
                if let Some(breaker) = &target.breaker {
                    let lease = route.timeouts.attempt() + LEASE_MARGIN;
                    guards.breaker = Some((breaker, guards.breaker.map_or(lease, |(_, longest)| lease.max(longest))));
                }
            }
        }
        let by_url = found.into_iter().map(|(url, guards)| (url.as_str(), Arc::new(target(url, &guards)))).collect();
        Targets { by_url, adaptive: HashMap::new() }
    }

    /// Each once.
    pub fn all(&self) -> Vec<Arc<Target>> {
        self.by_url.values().cloned().collect()
    }

    /// Those of a route.
    pub fn pool(&mut self, route: &'c config::Route) -> Pool {
        let all = Arc::new(AtomicU32::new(0));
        let members = route.targets.iter().filter_map(|target| self.member(route, target, &all)).map(Arc::new);
        let algorithm = match route.balance.algorithm {
            BalanceAlgorithm::RoundRobin => Algorithm::RoundRobin,
            BalanceAlgorithm::LeastRequest => Algorithm::LeastRequest,
            BalanceAlgorithm::PeakEwma => Algorithm::PeakEwma,
            BalanceAlgorithm::ConsistentHash => Algorithm::ConsistentHash { load_factor: route.balance.load_factor.0 },
            BalanceAlgorithm::Random => Algorithm::Random,
        };
        let on_all_open = match route.on_all_open {
            config::OnAllOpen::Fail => OnAllOpen::Fail,
            config::OnAllOpen::TryAnyway => OnAllOpen::TryAnyway,
        };
        Pool::new(members.collect(), algorithm, on_all_open)
    }

    fn member(
        &mut self,
        route: &'c config::Route,
        written: &'c config::Target,
        all: &Arc<AtomicU32>,
    ) -> Option<Member> {
        let target = self.by_url.get(written.url.as_str())?.clone();
        let failures = written.breaker.as_ref().and_then(|breaker| breaker.failures);
        let counts = route.balance.algorithm == BalanceAlgorithm::ConsistentHash;
        Some(Member {
            target,
            guarded: written.breaker.is_some(),
            checked: route.health_check.is_some(),
            weight: written.weight.get(),
            concurrency: route.concurrency.map(|concurrency| self.concurrency(written.url.as_str(), concurrency)),
            slow_start: route.slow_start,
            leeway: failures.map_or(LEEWAY, |failures| failures.get()),
            share: counts.then(|| Share { mine: AtomicU32::new(0), all: all.clone() }),
        })
    }

    fn concurrency(&mut self, url: &'c str, written: config::Concurrency) -> Arc<Concurrency> {
        match written {
            config::Concurrency::Fixed(limit) => Arc::new(Concurrency::Fixed(limit.get())),
            config::Concurrency::Adaptive { min, initial, max } => {
                let bounds = Bounds { min: min.get(), initial: initial.get(), max: max.get() };
                let found = || Arc::new(Concurrency::adaptive(bounds, Instant::now()));
                self.adaptive.entry((url, bounds)).or_insert_with(found).clone()
            }
        }
    }
}

fn target(url: &TargetUrl, guards: &Guards<'_>) -> Target {
    let criteria = match guards.breaker {
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
    let policy = guards.breaker.map(|(breaker, lease)| policy(breaker, lease));
    Target::new(url.clone(), criteria, policy, guards.check.cloned())
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
