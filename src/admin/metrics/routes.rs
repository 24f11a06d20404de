//! How requests ended, by route.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::observe::exposition::{Kind, Page};
use crate::observe::tally::Tally;
use crate::snapshot::{Route, Snapshot};

/// The route of requests that no route took: those for nowhere, those that are malformed, and those that the gateway answers
/// about itself.
const NONE: &str = "none";

pub(super) fn show(page: &mut Page, snapshot: &Snapshot, unrouted: &Tally) {
    let routed = snapshot.routes.iter().map(|route| (&*route.name, &*route.tally));
    let tallies: Vec<(&str, &Tally)> = routed.chain([(NONE, unrouted)]).collect();
    ended(page, &tallies);
    histograms(page, &tallies);
    limits(page, &snapshot.routes);
    retries(page, &snapshot.routes);
    copies(page, &snapshot.routes);
}

fn ended(page: &mut Page, tallies: &[(&str, &Tally)]) {
    let help = "Requests that have ended, by what they were answered; 499 is a client that left before.";
    let mut family = page.family("aegis_http_requests_total", Kind::Counter, help);
    for (route, tally) in tallies {
        for (method, status, count) in tally.answers.seen() {
            let labels = [("route", *route), ("method", method), ("status", &status.to_string())];
            family.sample(&labels, count as f64);
        }
    }
}

fn histograms(page: &mut Page, tallies: &[(&str, &Tally)]) {
    let help = "From the head of a request to the end of its answer.";
    let mut family = page.family("aegis_http_request_duration_seconds", Kind::Histogram, help);
    for (route, tally) in tallies {
        family.histogram(&[("route", route)], &tally.elapsed.seen());
    }
    let help =
        "The part of that in which no target had the request: the gateway itself, Redis and forwardAuth included.";
    let mut family = page.family("aegis_gateway_overhead_seconds", Kind::Histogram, help);
    for (route, tally) in tallies {
        family.histogram(&[("route", route)], &tally.within.seen());
    }
}

fn limits(page: &mut Page, routes: &[std::sync::Arc<Route>]) {
    let limited = || routes.iter().filter_map(|route| Some((route, route.limits.as_ref()?)));
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    let help =
        "What limits have decided; uncounted is what they let pass or refused without a count, for want of Redis.";
    let mut family = page.family("aegis_rate_limit_decisions_total", Kind::Counter, help);
    for (route, limits) in limited() {
        let tally = &limits.tally;
        for (decision, count) in
            [("allowed", &tally.allowed), ("refused", &tally.refused), ("uncounted", &tally.uncounted)]
        {
            family.sample(&[("route", &route.name), ("decision", decision)], read(count));
        }
    }
    let help = "Requests that one limit of a route refused, or would have but for dryRun.";
    let mut family = page.family("aegis_rate_limit_refusals_total", Kind::Counter, help);
    for (route, limits) in limited() {
        for (rule, count) in limits.rules.iter().zip(&limits.tally.by_rule) {
            let dry_run = if rule.dry_run { "true" } else { "false" };
            family.sample(&[("route", &route.name), ("limit", &rule.label), ("dry_run", dry_run)], read(count));
        }
    }
}

fn retries(page: &mut Page, routes: &[std::sync::Arc<Route>]) {
    let help = "Requests that were sent again, and those that would have been but for the budget.";
    let mut family = page.family("aegis_retries_total", Kind::Counter, help);
    for (route, retries) in routes.iter().filter_map(|route| Some((route, route.retries.as_ref()?))) {
        let (made, denied) = retries.totals();
        for (outcome, count) in [("made", made), ("denied", denied)] {
            family.sample(&[("route", &route.name), ("outcome", outcome)], count as f64);
        }
    }
}

fn copies(page: &mut Page, routes: &[std::sync::Arc<Route>]) {
    let help = "Copies of requests to a mirror, by what became of them.";
    let mut family = page.family("aegis_mirrored_requests_total", Kind::Counter, help);
    for (route, mirror) in routes.iter().filter_map(|route| Some((route, route.mirror.as_ref()?))) {
        let totals = mirror.totals();
        for (outcome, count) in [("sent", totals.sent), ("failed", totals.failed), ("dropped", totals.dropped)] {
            family.sample(&[("route", &route.name), ("outcome", outcome)], count as f64);
        }
    }
}
