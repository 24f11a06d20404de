//! Whether a target says of itself that it is well: asked by us, time and again, whether or not there are requests.
//!
//! What decides is `Health`, without a clock; [`check`] asks, [`watch`] does so for as long as there is a target.

pub mod check;
pub mod watch;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use pingora_load_balancing::health_check::HealthCheck as Ask;
use tokio::sync::Notify;

use crate::config::HealthCheck;
use crate::config::units::TargetUrl;
use crate::moment::Moment;

/// How many checks in a row change what is believed.
#[derive(Clone, Copy, Debug)]
struct Thresholds {
    healthy: NonZeroU32,
    unhealthy: NonZeroU32,
}

/// What the checks of one target have said.
#[derive(Clone, Debug, Default)]
struct Health {
    /// `None` before the first check.
    healthy: Option<bool>,
    /// Checks in a row that said otherwise.
    against: u32,
    /// Good checks in a row since the circuit opened, and how often it had opened by then.
    since_trip: (u32, u64),
}

impl Health {
    /// A check has ended. Says so if that changes what is believed. The first check decides alone: nothing speaks
    /// against it yet.
    fn checked(&mut self, good: bool, thresholds: Thresholds) -> Option<bool> {
        let needed = match self.healthy {
            None => 1,
            Some(true) => thresholds.unhealthy.get(),
            Some(false) => thresholds.healthy.get(),
        };
        self.against = if self.healthy == Some(good) { 0 } else { self.against + 1 };
        if self.healthy == Some(good) || self.against < needed {
            return None;
        }
        (self.healthy, self.against) = (Some(good), 0);
        Some(good)
    }

    /// Whether so many checks have been good since the circuit opened for the `trips`th time that it may probe.
    fn may_probe(&mut self, good: bool, trips: u64, thresholds: Thresholds) -> bool {
        let (count, known) = self.since_trip;
        let count = if known == trips && good { count + 1 } else { u32::from(good) };
        self.since_trip = (count, trips);
        count >= thresholds.healthy.get()
    }
}

/// The checks of one target.
pub struct Checks {
    plan: HealthCheck,
    ask: Box<dyn Ask + Send + Sync>,
    known: Mutex<Known>,
    /// When it became well the last time after it had been ill.
    recovered: Moment,
    ill: AtomicBool,
    has_begun: AtomicBool,
    /// Rung when nobody goes by it any more. One waits for it.
    over: Arc<Notify>,
}

#[derive(Clone, Debug)]
struct Known {
    health: Health,
    since: SystemTime,
    last: Option<SystemTime>,
    reason: Option<String>,
    checks: u64,
    failed: u64,
}

/// How a target is, as far as checks know.
#[derive(Clone, Debug)]
pub struct View {
    /// `None` before the first check.
    pub healthy: Option<bool>,
    /// Since when.
    pub since: SystemTime,
    /// When it was asked the last time.
    pub last: Option<SystemTime>,
    /// Why the last check was bad, if it was.
    pub reason: Option<String>,
    /// Checks.
    pub checks: u64,
    /// Those of them that were bad.
    pub failed: u64,
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checks").field("plan", &self.plan).field("known", &self.known).finish_non_exhaustive()
    }
}

/// Who asks sees that nobody goes by it any more.
impl Drop for Checks {
    fn drop(&mut self) {
        self.over.notify_one();
    }
}

impl Checks {
    /// Checks by this plan, of the target at `url`.
    pub fn new(plan: HealthCheck, url: &TargetUrl, now: Instant) -> Self {
        let (health, since) = (Health::default(), SystemTime::now());
        Checks {
            ask: check::of(&plan, url),
            plan,
            known: Mutex::new(Known { health, since, last: None, reason: None, checks: 0, failed: 0 }),
            recovered: Moment::none(now),
            ill: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
            over: Arc::default(),
        }
    }

    /// Checks by another plan, that begin with what was known `before`.
    pub fn after(before: Option<&Checks>, plan: HealthCheck, url: &TargetUrl, now: Instant) -> Self {
        let checks = Checks::new(plan, url, now);
        if let Some(before) = before {
            let known = before.known.lock().clone();
            checks.ill.store(known.health.healthy == Some(false), Ordering::Relaxed);
            *checks.known.lock() = known;
            if let Some(recovered) = before.recovered() {
                checks.recovered.set(recovered);
            }
        }
        checks
    }

    /// How the target is asked.
    pub fn plan(&self) -> &HealthCheck {
        &self.plan
    }

    /// Whether somebody is to begin asking: says so once.
    fn begins(&self) -> bool {
        !self.has_begun.swap(true, Ordering::Relaxed)
    }

    /// Whether nothing should be sent to it.
    pub fn is_ill(&self) -> bool {
        self.ill.load(Ordering::Relaxed)
    }

    /// How long until it is asked again.
    pub fn interval(&self) -> Duration {
        self.plan.interval
    }

    /// When it became well the last time, if it ever was ill.
    pub fn recovered(&self) -> Option<Instant> {
        self.recovered.get()
    }

    /// How it is.
    pub fn view(&self) -> View {
        let Known { health, since, last, reason, checks, failed } = self.known.lock().clone();
        View { healthy: health.healthy, since, last, reason, checks, failed }
    }

    fn thresholds(&self) -> Thresholds {
        Thresholds { healthy: self.plan.healthy_after, unhealthy: self.plan.unhealthy_after }
    }

    /// A check of the target called `name` has ended, whose circuit had opened `trips` times. Whether an open
    /// circuit may probe for that.
    fn note(&self, result: Result<(), String>, trips: u64, name: &str, now: Instant) -> bool {
        let (wall, good) = (SystemTime::now(), result.is_ok());
        let mut known = self.known.lock();
        known.checks += 1;
        known.failed += u64::from(!good);
        known.last = Some(wall);
        known.reason = result.err();
        let before = known.health.healthy;
        match known.health.checked(good, self.thresholds()) {
            Some(true) => {
                known.since = wall;
                self.ill.store(false, Ordering::Relaxed);
                if before.is_some() {
                    self.recovered.set(now);
                    log::info!("{name}: its checks are good again");
                }
            }
            Some(false) => {
                known.since = wall;
                self.ill.store(true, Ordering::Relaxed);
                log::warn!("{name}: its checks are bad: {}", known.reason.as_deref().unwrap_or("no answer"));
            }
            None => {}
        }
        known.health.may_probe(good, trips, self.thresholds()) && self.plan.reopens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds() -> Thresholds {
        Thresholds { healthy: NonZeroU32::new(2).expect("2"), unhealthy: NonZeroU32::new(3).expect("3") }
    }

    #[test]
    fn the_first_check_decides_and_later_ones_in_rows() {
        for first in [true, false] {
            let mut health = Health::default();
            assert_eq!(health.checked(first, thresholds()), Some(first));
        }
        let mut health = Health::default();
        let changes = [true, false, false, true, false, false, false, false, true, false, true, true, true]
            .map(|good| health.checked(good, thresholds()));
        let mut expected = [None; 13];
        (expected[0], expected[6], expected[11]) = (Some(true), Some(false), Some(true));
        assert_eq!(changes, expected);
    }

    #[test]
    fn a_circuit_probes_early_after_enough_good_checks_since_it_opened() {
        let mut health = Health::default();
        let mut probe = |good, trips| health.may_probe(good, trips, thresholds());
        assert_eq!([probe(true, 0), probe(true, 0), probe(true, 0)], [false, true, true]);
        assert_eq!([probe(true, 1), probe(true, 1)], [false, true], "what was before it opened says nothing");
        assert_eq!([probe(true, 2), probe(false, 2), probe(true, 2), probe(true, 2)], [false, false, false, true]);
    }
}
