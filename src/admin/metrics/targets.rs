//! Targets: what they were sent, how they answered, what their circuits say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::breaker::Phase;
use crate::histogram::Seen;
use crate::observe::exposition::{Kind, Page};
use crate::snapshot::Snapshot;
use crate::upstream::target::Target;

pub(super) fn show(page: &mut Page, snapshot: &Snapshot, now: Instant) {
    let help = "From when a target has all of a request to the head of its answer, or to the time-out.";
    let mut family = page.family("aegis_upstream_request_duration_seconds", Kind::Histogram, help);
    for route in &snapshot.routes {
        // One that several groups have found is one series.
        let mut took: BTreeMap<Arc<str>, Seen> = BTreeMap::new();
        for group in &route.split.groups {
            for member in group.roster.pool().members() {
                let seen = took.entry(member.target.url.text().clone()).or_default();
                *seen = seen.and(&member.took.seen());
            }
        }
        for (target, seen) in &took {
            family.histogram(&[("route", &*route.name), ("target", target)], seen);
        }
    }
    let mut targets = snapshot.registry.all();
    targets.sort_by(|one, other| one.url.as_str().cmp(other.url.as_str()));
    attempts(page, &targets);
    circuits(page, &targets, now);
    checks(page, &targets);
}

fn attempts(page: &mut Page, targets: &[Arc<Target>]) {
    let help = "Attempts that are over; neutral says nothing of the target, since the client or the gateway ended it.";
    let mut family = page.family("aegis_upstream_attempts_total", Kind::Counter, help);
    for target in targets {
        let totals = target.record.totals();
        let outcomes = [("success", totals.successes), ("failure", totals.failures), ("neutral", totals.neutrals)];
        for (outcome, count) in outcomes {
            family.sample(&[("target", target.url.as_str()), ("outcome", outcome)], count as f64);
        }
    }
    let mut family = page.family("aegis_upstream_requests_in_flight", Kind::Gauge, "Attempts under way.");
    for target in targets {
        family.sample(&[("target", target.url.as_str())], target.in_flight().into());
    }
}

fn circuits(page: &mut Page, targets: &[Arc<Target>], now: Instant) {
    let views: Vec<_> = targets.iter().map(|target| (target.url.as_str(), target.view(now))).collect();
    let mut family =
        page.family("aegis_circuit_breaker_state", Kind::Gauge, "1 for the state that a circuit is in, 0 for others.");
    for (target, view) in &views {
        for phase in Phase::ALL {
            family.sample(&[("target", target), ("state", phase.name())], (view.phase == phase).into());
        }
    }
    let help = "How often a circuit has entered a state.";
    let mut family = page.family("aegis_circuit_breaker_transitions_total", Kind::Counter, help);
    for target in targets {
        for (phase, count) in target.circuit.transitions() {
            family.sample(&[("target", target.url.as_str()), ("state", phase.name())], count as f64);
        }
    }
    let help = "Whether a circuit is kept in its state by hand.";
    let mut family = page.family("aegis_circuit_breaker_held", Kind::Gauge, help);
    for (target, view) in &views {
        family.sample(&[("target", target)], view.held.into());
    }
}

fn checks(page: &mut Page, targets: &[Arc<Target>]) {
    let views = || targets.iter().filter_map(|target| Some((target.url.as_str(), target.checks()?.view())));
    let help = "Whether the checks of a target are good; absent where there are none, or none yet.";
    let mut family = page.family("aegis_upstream_healthy", Kind::Gauge, help);
    for (target, view) in views() {
        if let Some(healthy) = view.healthy {
            family.sample(&[("target", target)], healthy.into());
        }
    }
    let mut family = page.family("aegis_upstream_health_checks_total", Kind::Counter, "Checks of a target.");
    for (target, view) in views() {
        for (outcome, count) in [("good", view.checks - view.failed), ("bad", view.failed)] {
            family.sample(&[("target", target), ("outcome", outcome)], count as f64);
        }
    }
}
