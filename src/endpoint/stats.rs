//! `GET /gateway/stats`: a row for each route and target, in the order of the config.

pub(crate) mod clock;
mod limiter;
mod route;
mod target;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use serde::Serialize;

use self::clock::{Clock, timestamp};
use self::limiter::{Counting, counting};
use self::target::{Discovery, Health, Latency, discovery, health, latency};
use crate::breaker::window::Counts;
use crate::snapshot::{Route, Snapshot};
use crate::upstream::discovery::source::Source;
use crate::upstream::roster::{Entry, Terms};
use crate::upstream::split::Group;
use crate::upstream::target::{Member, Target};

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    path: String,
    target_url: String,
    /// In a row; while open or half-open, those that opened the circuit.
    failures: u32,
    state: &'static str,
    /// Of the route's groups, where it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// Since when the circuit is in this state.
    #[serde(skip_serializing_if = "String::is_empty")]
    since: String,
    last_failure: Option<LastFailure>,
    /// While open: when one request may try again.
    retry_at: Option<String>,
    /// Attempts sent.
    requests: u64,
    /// How they ended: those still under way are in none of the three.
    succeeded: u64,
    failed: u64,
    neutral: u64,
    /// After how many of them the request went out again.
    retried: u64,
    /// Requests under way.
    in_flight: u32,
    /// And how many there may be at this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency_limit: Option<u32>,
    /// How long the target took to answer; `null` if nothing was sent in the last minute.
    latency: Option<Latency>,
    /// How often the circuit opened.
    trips: u64,
    /// What came in the window that the breaker goes by, if it goes by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    recent: Option<Recent>,
    /// Whether the circuit is kept in its state by hand.
    held: bool,
    /// Where it is, as far as is known.
    addresses: Vec<SocketAddr>,
    /// What knows of it, if that is not the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    discovery: Option<Discovery>,
    /// What its checks say, if it is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
    /// Where the limit of the route is counted; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<Counting>,
    route: Option<route::Route>,
    /// Which config this is, counted from the start of the process.
    config_generation: u64,
    /// Since when the file says something that cannot run, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    config_rejected_at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LastFailure {
    at: String,
    cause: String,
    request_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Recent {
    requests: u32,
    failed: u32,
    slow: u32,
}

/// The rows as JSON. `rejected`: since when the config that is written is none that can run, if it is so.
pub fn json(snapshot: &Snapshot, rejected: Option<SystemTime>) -> Bytes {
    let clock = Clock { now: Instant::now(), wall: SystemTime::now() };
    let config =
        |row| Row { config_generation: snapshot.generation, config_rejected_at: rejected.map(timestamp), ..row };
    let rows: Vec<Row> = snapshot.routes.iter().flat_map(|route| rows(snapshot, route, &clock)).map(config).collect();
    serde_json::to_vec(&rows).unwrap_or_default().into()
}

fn rows(snapshot: &Snapshot, route: &Route, clock: &Clock) -> Vec<Row> {
    let show = |group: &Group| {
        // Those that get requests: a source knows who comes and goes a moment before it is so.
        let pool = group.roster.pool();
        let members: HashMap<u32, &Arc<Member>> = pool.members().map(|member| (member.target.id, member)).collect();
        let target = |member: &Arc<Member>, source: Option<&Source>| Row {
            discovery: source.map(discovery),
            concurrency_limit: member.concurrency.as_ref().map(|concurrency| concurrency.limit()),
            ..row(&member.target, clock)
        };
        let of = |(entry, _): &(Entry, Terms)| match entry {
            Entry::Target(written) => {
                let member = members.get(&written.id).filter(|member| member.found_by.is_none());
                member.map(|member| target(member, None)).into_iter().collect()
            }
            Entry::Source(source) => {
                let found = pool.members().filter(|member| member.is_found_by(&source.doubted));
                let rows: Vec<Row> = found.map(|member| target(member, Some(source))).collect();
                // Whom another entry names as well has his row there.
                let are_elsewhere = || source.found().iter().any(|found| members.contains_key(&found.target.id));
                if rows.is_empty() && !are_elsewhere() { vec![nowhere(source)] } else { rows }
            }
        };
        let name = Some(group.name.to_string()).filter(|name| !name.is_empty());
        let mut rows: Vec<Row> = group.roster.entries.iter().flat_map(of).collect();
        rows.iter_mut().for_each(|row| row.group.clone_from(&name));
        rows
    };
    let of_route = |row| Row {
        path: route.path.to_string(),
        rate_limit: route.limits.as_ref().map(|limits| counting(limits, snapshot.store.redis_health(), clock)),
        route: Some(route::route(route)),
        ..row
    };
    match &route.answer {
        Some(_) => vec![of_route(nothing())],
        None => route.split.groups.iter().flat_map(show).map(of_route).collect(),
    }
}

/// The row of a route that answers by itself: there is no target, and no circuit that could open.
fn nothing() -> Row {
    Row { state: "CLOSED", ..Row::default() }
}

/// The row of a source that has no target.
fn nowhere(source: &Source) -> Row {
    let status = source.status();
    Row {
        target_url: source.url.as_str().to_owned(),
        state: "OPEN",
        since: timestamp(status.since),
        discovery: Some(discovery(source)),
        ..Row::default()
    }
}

fn row(target: &Target, clock: &Clock) -> Row {
    let (view, totals) = (target.view(clock.now), target.record.totals());
    Row {
        target_url: target.url.as_str().to_owned(),
        failures: view.failures,
        state: view.phase.name(),
        since: clock.show(view.since),
        last_failure: target.record.last_failure().map(|failure| LastFailure {
            at: timestamp(failure.at),
            cause: failure.cause.to_string(),
            request_id: failure.request_id.to_str().unwrap_or("-").to_owned(),
        }),
        retry_at: view.retry_at.map(|at| clock.show(at)),
        requests: totals.requests,
        succeeded: totals.successes,
        failed: totals.failures,
        neutral: totals.neutrals,
        retried: totals.retries,
        in_flight: target.in_flight(),
        trips: view.trips,
        recent: view.recent.map(|Counts { total, failed, slow }| Recent { requests: total, failed, slow }),
        held: view.held,
        addresses: target.addresses.all(),
        health: target.checks().map(|checks| health(checks.view())),
        latency: latency(target, clock.now),
        ..Row::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config;
    use crate::plugin::rate_limit::Store;

    #[test]
    fn rows_stand_in_config_order_and_begin_with_the_four_members() {
        let text = concat!(
            "routes:\n",
            "  - { path: /users, targets: [http://b:1, http://a:1], plugins: { rateLimit: { max: 1, window: 60 } } }\n",
            "  - { path: /product, targets: http://a:1 }\n",
        );
        let loaded = config::parse("test.yaml", text, &|_| None).expect("a valid config");
        let snapshot = Snapshot::new(&loaded.config, Arc::new(Store::new(None, Instant::now())), Instant::now());
        let body = json(&snapshot, None);
        let text = std::str::from_utf8(&body).expect("UTF-8");
        let first = r#"[{"path":"/users","targetUrl":"http://b:1","failures":0,"state":"CLOSED","since":""#;
        assert!(text.starts_with(first), "{text}");
        let rows: Vec<serde_json::Value> = serde_json::from_str(text).expect("JSON");
        let order: Vec<_> = rows.iter().map(|row| (row["path"].as_str(), row["targetUrl"].as_str())).collect();
        assert_eq!(
            order,
            [
                (Some("/users"), Some("http://b:1")),
                (Some("/users"), Some("http://a:1")),
                (Some("/product"), Some("http://a:1"))
            ]
        );
        assert_eq!(rows[0]["rateLimit"]["store"], "memory");
        assert!(rows[2].get("rateLimit").is_none());
    }

    /// A target that had left could get a request still, and one that had come got none yet.
    #[test]
    fn targets_that_come_and_go_do_so_with_their_requests() {
        let text = "routes: [{ path: /, targets: ['http://b:1', 'file:///nowhere'] }]\n";
        let loaded = config::parse("test.yaml", text, &|_| None).expect("a valid config");
        let snapshot = Snapshot::new(&loaded.config, Arc::new(Store::new(None, Instant::now())), Instant::now());
        let roster = &snapshot.routes[0].split.groups[0].roster;
        let Entry::Source(source) = &roster.entries[1].0 else { panic!("{roster:?}") };
        let rows = || {
            let rows: Vec<serde_json::Value> = serde_json::from_slice(&json(&snapshot, None)).expect("JSON");
            let urls = rows.iter().map(|row| row["targetUrl"].as_str().expect("a URL").replace("http://", ""));
            urls.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(rows(), "b:1 file:///nowhere");
        source.finds(&["http://a:1", "http://c:1"]);
        assert_eq!(rows(), "b:1 file:///nowhere");
        roster.assemble();
        assert_eq!(rows(), "b:1 a:1 c:1");
        source.finds(&["http://b:1"]);
        assert_eq!(rows(), "b:1 a:1 c:1");
        roster.assemble();
        assert_eq!(rows(), "b:1", "a row for each target");
    }
}
