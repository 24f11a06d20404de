//! What came since the last look.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;

use super::now::{BusyNow, Config, Failure, LimitsNow, Now, RedisNow, RouteNow, TargetNow, Took};
use crate::endpoint::stats::clock::timestamp;
use crate::histogram::Seen;
use crate::observe::recent::Recent;
use crate::observe::tally::Tally;
use crate::plugin::rate_limit::rule::Limits;
use crate::reload::report::Outcome;
use crate::shared::Shared;
use crate::snapshot::{Route, Snapshot};
use crate::upstream::split::Group;
use crate::upstream::target::Member;

/// So many of the last failures are told.
const FAILURES: usize = 20;
/// So many of the busiest clients of a route.
const BUSIEST: usize = 5;

/// Remembers what there was at the last look, if there was one.
#[derive(Default)]
pub struct Sampler {
    at: Option<Instant>,
    /// By the name of the route.
    routes: HashMap<Arc<str>, Counts>,
    unrouted: u64,
}

/// What a route had counted.
#[derive(Clone, Debug, Default)]
struct Counts {
    by_class: [u64; 5],
    elapsed: Seen,
    /// Allowed, refused, uncounted.
    limits: [u64; 3],
    /// By the id of the target, and its place among the groups.
    targets: HashMap<(usize, u32), Seen>,
}

impl Sampler {
    /// How things stand at `now`.
    pub fn look(&mut self, shared: &Shared, now: Instant) -> Now {
        let snapshot = shared.snapshot.load_full();
        let span = self.at.replace(now).map_or(0.0, |before| now.saturating_duration_since(before).as_secs_f64());
        let rate = Rate { span };
        let mut before = std::mem::take(&mut self.routes);
        let mut look = |route: &Arc<Route>| {
            let counts = counts(route);
            let told = route_now(route, &counts, &before.remove(&route.name).unwrap_or_default(), rate, now);
            self.routes.insert(route.name.clone(), counts);
            told
        };
        let routes: Vec<RouteNow> = snapshot.routes.iter().map(&mut look).collect();
        let unrouted = shared.unrouted.totals().requests;
        let none = rate.of(unrouted, std::mem::replace(&mut self.unrouted, unrouted));
        Now {
            at: format!("{:.3}", Timestamp::now()),
            config: config(shared, &snapshot),
            draining: shared.drain.is_begun(),
            in_flight: shared.in_flight.load(Ordering::Relaxed),
            connections: shared.crowd.count(),
            per_second: routes.iter().map(|route| route.per_second).sum::<f64>() + none,
            redis: snapshot.store.redis_health().map(|servers| {
                let server = |health: crate::plugin::rate_limit::redis::Health| RedisNow {
                    address: health.address,
                    up: health.up,
                    reason: health.reason,
                };
                servers.into_iter().map(server).collect()
            }),
            routes,
            failures: snapshot
                .recent
                .iter()
                .flat_map(|recents| recents.troubled(FAILURES))
                .map(|one| failure(&one))
                .collect(),
        }
    }
}

/// What makes rates of counts.
#[derive(Clone, Copy)]
struct Rate {
    /// Seconds since the last look; 0 where there was none.
    span: f64,
}

impl Rate {
    fn of(self, count: u64, before: u64) -> f64 {
        if self.span <= 0.0 {
            return 0.0;
        }
        // To a tenth: nobody reads more.
        (count.saturating_sub(before) as f64 / self.span * 10.0).round() / 10.0
    }
}

fn counts(route: &Route) -> Counts {
    let limits = route.limits.as_ref().map_or([0; 3], |limits| {
        [&limits.tally.allowed, &limits.tally.refused, &limits.tally.uncounted]
            .map(|count| count.load(Ordering::Relaxed))
    });
    let groups = route.split.groups.iter().enumerate();
    let targets = groups.flat_map(|(at, group)| {
        let pool = group.roster.pool();
        pool.members().map(|member| ((at, member.target.id), member.took.seen())).collect::<Vec<_>>()
    });
    Counts { by_class: by_class(&route.tally), elapsed: route.tally.elapsed.seen(), limits, targets: targets.collect() }
}

fn by_class(tally: &Tally) -> [u64; 5] {
    let mut classes = [0; 5];
    for (_, status, count) in tally.answers.seen() {
        if let Some(class) = usize::from(status / 100).checked_sub(1).and_then(|at| classes.get_mut(at)) {
            *class += count;
        }
    }
    classes
}

fn route_now(route: &Route, counts: &Counts, before: &Counts, rate: Rate, now: Instant) -> RouteNow {
    let mut by_class = [0.0; 5];
    for (told, (count, before)) in by_class.iter_mut().zip(counts.by_class.iter().zip(before.by_class)) {
        *told = rate.of(*count, before);
    }
    let several = route.split.groups.len() > 1;
    let target = |(at, group): (usize, &Group)| {
        let name = Some(group.name.to_string()).filter(|_| several);
        let pool = group.roster.pool();
        let tell = |member: &Arc<Member>| {
            let place = (at, member.target.id);
            let seen = counts.targets.get(&place).copied().unwrap_or_default();
            let since = seen.since(&before.targets.get(&place).copied().unwrap_or_default());
            target_now(member, name.clone(), &since, rate, now)
        };
        pool.members().map(tell).collect::<Vec<_>>()
    };
    let since = counts.elapsed.since(&before.elapsed);
    RouteNow {
        name: route.name.to_string(),
        path: route.path.to_string(),
        per_second: rate.of(since.count, 0),
        by_class,
        took: took(&since, rate),
        limits: route.limits.as_deref().map(|limits| limits_now(limits, counts, before, rate, now)),
        targets: route.split.groups.iter().enumerate().flat_map(target).collect(),
    }
}

fn target_now(member: &Member, group: Option<String>, since: &Seen, rate: Rate, now: Instant) -> TargetNow {
    let target = &member.target;
    let view = target.view(now);
    TargetNow {
        url: target.url.as_str().to_owned(),
        group,
        state: view.phase.name(),
        held: view.held,
        retry_in_ms: view.retry_at.map(|at| at.saturating_duration_since(now).as_millis() as u64),
        failures: view.failures,
        healthy: member.checks().map(|checks| !checks.is_ill()),
        in_flight: target.in_flight(),
        per_second: rate.of(since.count, 0),
        took: took(since, rate),
        last_failure: target.record.last_failure().map(|failure| failure.cause.to_string()),
    }
}

fn limits_now(limits: &Limits, counts: &Counts, before: &Counts, rate: Rate, now: Instant) -> LimitsNow {
    let busy = limits.tally.busiest.first(BUSIEST, now).into_iter();
    let [allowed, refused, uncounted] = [0, 1, 2].map(|at| rate.of(counts.limits[at], before.limits[at]));
    LimitsNow {
        allowed,
        refused,
        uncounted,
        busiest: busy
            .map(|busy| BusyNow { key: busy.client.to_string(), allowed: busy.allowed, refused: busy.refused })
            .collect(),
    }
}

fn took(since: &Seen, rate: Rate) -> Option<Took> {
    let millis = |part: f64| Some((since.quantile(part)? * 1e5).round() / 1e2);
    (rate.span > 0.0).then_some(())?;
    Some(Took { p50: millis(0.5)?, p95: millis(0.95)?, p99: millis(0.99)? })
}

fn config(shared: &Shared, snapshot: &Snapshot) -> Config {
    let report = shared.reloads.last();
    Config {
        generation: snapshot.generation,
        errors: if report.outcome == Outcome::Rejected { report.errors } else { Vec::new() },
        needs_restart: report.needs_restart,
    }
}

fn failure(recent: &Recent) -> Failure {
    let cause = recent.trail.attempts.iter().rev().find_map(|attempt| attempt.course.cause.as_ref());
    Failure {
        request_id: recent.request_id.to_string(),
        at: timestamp(recent.at),
        method: recent.method.to_string(),
        path: recent.path.to_string(),
        status: recent.status,
        reason: recent.reason,
        cause: cause.map(ToString::to_string),
    }
}
