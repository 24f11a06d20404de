//! One target: where it is, its circuit, what it has to do, and a record of how attempts at it ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::addresses::Addresses;
use super::concurrency::{Bounds, Concurrency};
use super::criteria::Criteria;
use super::ewma::Latency;
use super::health::Checks;
use super::keepalive::Idle;
use super::quantiles::Quantiles;
use super::record::Record;
use super::registry::Blueprint;
#[cfg(test)]
use crate::breaker::Policy;
use crate::breaker::View;
use crate::breaker::circuit::Circuit;
use crate::config::HealthCheck;
use crate::config::units::TargetUrl;
use crate::histogram::Histogram;

/// One target URL. All routes that name it share it, its circuit included.
#[derive(Debug)]
pub struct Target {
    /// By which it is told from others in this process.
    pub id: u32,
    /// As the config spells it.
    pub url: TargetUrl,
    /// Its `Host`: that of the URL.
    pub host: HeaderValue,
    /// Its breaker. Where none is wanted, nobody asks or tells it anything, and it can still be held open by hand.
    pub circuit: Arc<Circuit>,
    /// Another config may ask it otherwise.
    checks: ArcSwapOption<Checks>,
    /// Where it is.
    pub addresses: Addresses,
    /// Connections to it that wait.
    pub idle: Arc<Idle>,
    /// How long it takes to answer, as a mean.
    pub latency: Latency,
    /// And in the last minute.
    pub taken: Quantiles,
    /// How attempts ended.
    pub record: Record,
    in_flight: AtomicU32,
    is_watched: AtomicBool,
    /// How often requests have left its connections, since one did not answer any more.
    left: AtomicU64,
    /// Rung when it cannot be connected to: it may be elsewhere by now. One waits for it.
    pub doubted: Arc<Notify>,
    /// Limits that are found out, by what is asked for; those that routes share.
    adaptive: Mutex<HashMap<Bounds, Weak<Concurrency>>>,
}

/// Who looks after it sees that it is gone, and need not wait until it is time to look again.
impl Drop for Target {
    fn drop(&mut self) {
        self.doubted.notify_one();
    }
}

/// A target as one of a route's.
#[derive(Debug)]
pub struct Member {
    /// The target.
    pub target: Arc<Target>,
    /// Whether its breaker is asked and told.
    pub guarded: bool,
    /// What counts as a failure.
    pub criteria: Arc<Criteria>,
    /// Whether what it says of itself matters.
    pub checked: bool,
    /// How much it gets, beside the others. Not 0.
    pub weight: u32,
    /// How many requests it may have under way, if that is limited.
    pub concurrency: Option<Arc<Concurrency>>,
    /// How long it is given to warm up when it comes back.
    pub slow_start: Option<Duration>,
    /// How many requests it may leave unanswered while others answer.
    pub leeway: u32,
    /// What it has of the route's requests, where that is counted.
    pub share: Option<Share>,
    /// How long it took to answer requests of the route.
    pub took: Histogram,
    /// The bell of the source that found it, where it is not written. Rung, too, when it cannot be connected to: the source may
    /// know of others by now.
    pub found_by: Option<Arc<Notify>>,
}

/// What a target has of a route's requests.
#[derive(Debug)]
pub struct Share {
    /// Under way to this one.
    pub mine: AtomicU32,
    /// Under way to all.
    pub all: Arc<AtomicU32>,
}

#[cfg(test)]
impl Target {
    /// One that is nowhere.
    pub fn by(blueprint: Blueprint) -> Self {
        Target::at("http://a:1".parse().expect("a URL"), blueprint)
    }

    /// The same with a URL.
    pub fn at(url: TargetUrl, blueprint: Blueprint) -> Self {
        let now = Instant::now();
        let circuit = Circuit::new(blueprint.policy.unwrap_or_else(Policy::standard), now);
        Target::around(Arc::new(circuit), url, blueprint, now)
    }
}

#[cfg(test)]
impl Member {
    /// An ordinary one.
    pub fn of(target: Target) -> Self {
        let target = Arc::new(target);
        Member {
            guarded: true,
            criteria: Arc::new(Criteria::none_but_5xx()),
            checked: true,
            weight: 1,
            concurrency: None,
            slow_start: None,
            leeway: 3,
            share: None,
            took: Histogram::default(),
            found_by: None,
            target,
        }
    }
}

impl Member {
    /// Whether it is there because of the source with this bell.
    pub fn is_found_by(&self, bell: &Arc<Notify>) -> bool {
        self.found_by.as_ref().is_some_and(|its| Arc::ptr_eq(its, bell))
    }

    /// What it says of itself, if that matters and it is asked.
    pub fn checks(&self) -> Option<Arc<Checks>> {
        self.checked.then(|| self.target.checks()).flatten()
    }

    /// How many requests it may have under way at this moment.
    pub(super) fn limit(&self) -> u32 {
        self.concurrency.as_ref().map_or(u32::MAX, |concurrency| concurrency.limit())
    }

    /// When it came back the last time, if it ever was away.
    pub(super) fn recovered(&self) -> Option<Instant> {
        self.target.circuit.recovered().max(self.checks().and_then(|checks| checks.recovered()))
    }

    /// It could not be connected to, or did not answer: what is known of where it is may be wrong.
    pub(super) fn doubt(&self) {
        self.target.doubted.notify_one();
        if let Some(source) = &self.found_by {
            source.notify_one();
        }
    }

    /// Failures in a row that its closed circuit has counted.
    pub(super) fn failures(&self, now: Instant) -> u32 {
        if self.guarded { self.target.circuit.failures(now) } else { 0 }
    }
}

impl Share {
    /// One more is under way.
    pub(super) fn enter(&self) {
        self.mine.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    /// One of those is over.
    pub(super) fn leave(&self) {
        self.mine.fetch_sub(1, Ordering::Relaxed);
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Target {
    /// A target that is not resolved yet, with a circuit that somebody else may know. Without a policy nobody asks its
    /// breaker, without a check nobody asks it.
    pub fn around(circuit: Arc<Circuit>, url: TargetUrl, blueprint: Blueprint, now: Instant) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Target {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            circuit,
            checks: ArcSwapOption::new(blueprint.check.map(|plan| Arc::new(Checks::new(plan, &url, now)))),
            addresses: Addresses::unknown(format!("\"{}\" has not been resolved yet", url.host)),
            idle: Arc::default(),
            latency: Latency::new(now),
            taken: Quantiles::new(now),
            record: Record::default(),
            // A URL has a host, which is text.
            host: url.authority().parse().unwrap_or(HeaderValue::from_static("")),
            in_flight: AtomicU32::new(0),
            is_watched: AtomicBool::new(false),
            left: AtomicU64::new(0),
            doubted: Arc::default(),
            adaptive: Mutex::default(),
            url,
        }
    }

    /// The limit that is found out between these bounds.
    pub fn adaptive(&self, bounds: Bounds) -> Arc<Concurrency> {
        let mut known = self.adaptive.lock();
        if let Some(limit) = known.get(&bounds).and_then(Weak::upgrade) {
            return limit;
        }
        let limit = Arc::new(Concurrency::adaptive(bounds, Instant::now()));
        known.retain(|_, limit| limit.strong_count() > 0);
        known.insert(bounds, Arc::downgrade(&limit));
        limit
    }

    /// Requests that are under way to it.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// One more is under way, if there are fewer than `limit`. Whether there were.
    pub(super) fn enter(&self, limit: u32) -> bool {
        let has_room = self.in_flight.fetch_add(1, Ordering::Relaxed) < limit;
        if !has_room {
            self.leave();
        }
        has_room
    }

    /// One of those is over.
    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Another number for other connections: those of HTTP/2, which requests share, are not used again after one of them has
    /// waited on them in vain, since all others would.
    pub fn connections(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Requests take new connections from now on.
    pub(super) fn leave_connections(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether somebody looks after where it is already. Says no once.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched.swap(true, Ordering::Relaxed)
    }

    /// What it says of itself, if it is asked.
    pub fn checks(&self) -> Option<Arc<Checks>> {
        self.checks.load_full()
    }

    /// It is asked by this plan from now on, or not any more. What was found out by another one is believed until then.
    pub(super) fn check_by(&self, plan: Option<&HealthCheck>, now: Instant) {
        let before = self.checks();
        if before.as_ref().map(|checks| checks.plan()) != plan {
            let checks = plan.map(|plan| Arc::new(Checks::after(before.as_deref(), plan.clone(), &self.url, now)));
            self.checks.store(checks);
        }
    }

    /// The breaker at `now`. One that nobody tells anything is closed for ever.
    pub fn view(&self, now: Instant) -> View {
        self.circuit.view(now)
    }
}
