//! What goes on through a reload, and what counts anew from then on.

use std::fs;

use serde_json::json;

use crate::reload::{ADMIN, apply, route, two};
use crate::support::issuer::{Issuer, Key, jwks};
use crate::support::{Redis, Reply, Upstream, eventually, gateway};

#[test]
fn circuits_counts_turns_and_limits_of_what_is_still_there_go_on() {
    let (good, bad) = (Upstream::start(), Upstream::failing());
    let config = |extra: &str, max: u32| {
        let limit = format!("plugins: {{ rateLimit: {{ max: {max}, window: 60 }} }}");
        format!(
            "{ADMIN}{extra}routes:\n  - {{ path: /t, targets: [{}, {}] }}\n{}",
            good.url(),
            bad.url(),
            route("/l", &good, &format!(", {limit}"))
        )
    };
    let gateway = gateway(config("", 3));
    // On one connection, on which a request begins when nothing of the one before is under way.
    let mut client = gateway.connect();
    let failed = (0..6).filter(|_| client.request("GET", "/t", &[]).status == 500).count();
    assert_eq!((failed, gateway.states()), (3, ["CLOSED", "OPEN", "CLOSED"].map(String::from).to_vec()));
    assert_eq!([(); 3].map(|()| gateway.get("/l").status), [200; 3]);
    let before = gateway.settled_stats();

    apply(&gateway, config("trustedProxies: [10.0.0.0/8]\n", 4) + &route("/new", &bad, ""));
    let after = gateway.stats();
    for (before, after) in before.iter().zip(&after) {
        for what in ["state", "since", "requests", "failed", "trips", "retryAt", "lastFailure", "latency"] {
            assert_eq!(before[what], after[what], "{what}");
        }
        assert_eq!(before["route"], after["route"]);
    }
    assert_eq!((&after[3]["path"], &after[3]["state"]), (&json!("/new"), &json!("OPEN")), "one target, one circuit");
    assert_eq!([(); 2].map(|()| gateway.get("/l").status), [200, 429], "three of four are used up");
    assert_eq!([(); 4].map(|()| gateway.get("/t").status), [200; 4]);
}

#[test]
fn a_limit_in_redis_that_goes_by_another_algorithm_begins_anew_and_others_go_on() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let config = |algorithm: &str, max: u32| {
        let limit = format!("plugins: {{ rateLimit: {{ max: {max}, window: 60, algorithm: {algorithm} }} }}");
        let redis = format!("redis: {{ url: {} }}\n", redis.url());
        format!("{ADMIN}{redis}routes:\n{}", route("/l", &upstream, &format!(", {limit}")))
    };
    let gateway = gateway(config("fixedWindow", 2));
    let statuses = || [(); 3].map(|()| gateway.get("/l").status);
    assert_eq!(statuses(), [200, 200, 429]);
    apply(&gateway, config("fixedWindow", 3));
    assert_eq!(statuses(), [200, 429, 429]);
    for algorithm in ["slidingWindow", "tokenBucket", "fixedWindow"] {
        apply(&gateway, config(algorithm, 2));
        assert_eq!(statuses(), [200, 200, 429], "{algorithm}");
    }
    assert_eq!(gateway.stats()[0]["rateLimit"]["store"], "redis");
}

#[test]
fn another_redis_is_used_from_then_on_and_memory_counts_meanwhile() {
    let (upstream, one, mut other) = (Upstream::start(), Redis::start(), Redis::start());
    let config = |redis: &str| {
        let limit = ", plugins: { rateLimit: { max: 2, window: 60 } }";
        format!("{ADMIN}redis: {{ url: '{redis}' }}\nroutes:\n{}", route("/l", &upstream, limit))
    };
    let gateway = gateway(config(&one.url()));
    let statuses = || [(); 3].map(|()| gateway.get("/l").status);
    assert_eq!(statuses(), [200, 200, 429]);
    apply(&gateway, config(&other.url()));
    assert_eq!(statuses(), [200, 200, 429]);
    apply(&gateway, config(""));
    assert_eq!((statuses(), &gateway.stats()[0]["rateLimit"]["store"]), ([200, 200, 429], &json!("memory")));
    other.kill();
    apply(&gateway, config(&other.url()));
    assert_eq!(statuses(), [429; 3], "what this process has counted goes on");
}

#[test]
fn a_request_ends_under_the_config_that_it_began_with() {
    let slow = Upstream::with(|_| {
        std::thread::sleep(std::time::Duration::from_millis(800));
        Reply::ok()
    });
    let gateway = gateway(format!("{ADMIN}routes:\n{}", route("/a", &slow, "")));
    let mut under_way = gateway.connect();
    under_way.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the request to arrive", || slow.received().first().map(|_| ()));
    apply(&gateway, format!("{ADMIN}routes:\n{}", route("/b", &slow, ", timeouts: { firstByte: 100ms }")));
    assert_eq!(under_way.answer(false).status, 200);
    assert_eq!(under_way.request("GET", "/a", &[]).status, 404, "the next one on the same connection has the new one");
    under_way.request("GET", "/b", &[]).is_problem(504, "upstream_timeout");
}

#[test]
fn a_breaker_and_checks_that_are_written_otherwise_count_at_once() {
    let (well, failing) = (Upstream::start(), Upstream::failing());
    let config = |extra: &str| format!("{ADMIN}routes:\n{}{}", route("/f", &failing, extra), route("/w", &well, ""));
    let gateway = gateway(config(""));
    assert_eq!([(); 4].map(|()| gateway.get("/f").status), [500, 500, 500, 503]);
    apply(&gateway, config(", breaker: off"));
    assert_eq!([(); 4].map(|()| gateway.get("/f").status), [500; 4]);
    assert_eq!(gateway.states()[0], "CLOSED");
    apply(&gateway, config(", breaker: { failures: 1 }"));
    assert_eq!([(); 2].map(|()| gateway.get("/f").status), [500, 503]);
    apply(&gateway, config(", breaker: off, healthCheck: { interval: 100ms, unhealthyAfter: 1 }"));
    eventually("checks to begin", || (gateway.stats()[0]["health"]["state"] == "UNHEALTHY").then_some(()));
    assert_eq!(gateway.get("/f").status, 503);
    let checks = || gateway.stats()[0]["health"]["checks"].as_u64().unwrap();
    apply(&gateway, config(", breaker: off, healthCheck: { interval: 1h, healthyAfter: 1, statuses: [500-599] }"));
    eventually("the other plan to be gone by", || (gateway.stats()[0]["health"]["state"] == "HEALTHY").then_some(()));
    let count = checks();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(checks(), count, "nobody asks by the old plan");
    apply(&gateway, config(", breaker: off"));
    assert!(gateway.stats()[0].get("health").is_none());
    assert_eq!(gateway.get("/f").status, 500);
}

#[test]
fn checks_of_a_target_that_a_source_finds_begin_though_it_was_known_before() {
    let failing = Upstream::failing();
    let gateway = gateway(format!("{ADMIN}routes:\n{}", route("/f", &failing, ", breaker: off")));
    assert_eq!(gateway.get("/f").status, 500);
    fs::write(gateway.directory.join("targets.yaml"), format!("[{}]", failing.url())).unwrap();
    let check = "breaker: off, healthCheck: { interval: 50ms, unhealthyAfter: 1 }";
    apply(&gateway, format!("{ADMIN}routes: [{{ path: /f, targets: 'file://targets.yaml', {check} }}]\n"));
    eventually("checks to begin", || (gateway.stats()[0]["health"]["state"] == "UNHEALTHY").then_some(()));
    assert_eq!(gateway.get("/f").status, 503);
}

/// Two routes name it, and the checks of one count. The other goes by those, and not by what was found out by its own before.
#[test]
fn a_target_that_another_route_has_checked_otherwise_is_no_longer_judged_by_older_checks() {
    let failing = Upstream::failing();
    let gateway = gateway(format!("{ADMIN}routes: [{{ path: /, respond: {{ status: 200 }} }}]\n"));
    fs::write(gateway.directory.join("targets.yaml"), format!("[{}]", failing.url())).unwrap();
    let config = |more: &str| {
        let check = "breaker: off, healthCheck: { interval: 50ms, unhealthyAfter: 1 }";
        format!("{ADMIN}routes:\n  - {{ path: /f, targets: 'file://targets.yaml', {check} }}\n{more}")
    };
    apply(&gateway, config(""));
    eventually("bad checks", || (gateway.get("/f").status == 503).then_some(()));
    let other = ", breaker: off, healthCheck: { interval: 50ms, healthyAfter: 1, statuses: [500-599] }";
    apply(&gateway, config(&route("/other", &failing, other)));
    eventually("good checks by the other plan", || (gateway.get("/other").status == 500).then_some(()));
    assert_eq!(gateway.get("/f").status, 500);
}

#[test]
fn keys_that_were_fetched_are_not_fetched_again_unless_they_are_elsewhere() {
    let (upstream, issuer, key) = (Upstream::start(), Issuer::start(), Key::p256("k"));
    issuer.says("/keys", &jwks(&[&key]));
    issuer.says("/others", &jwks(&[&key]));
    let config = |place: &str, audience: &str| {
        let jwt = format!("jwksUrl: '{}{place}', audience: {audience}", issuer.url());
        format!("{ADMIN}auth: {{ jwt: {{ {jwt} }} }}\nroutes:\n{}", route("/a", &upstream, ", plugins: { auth: true }"))
    };
    let gateway = gateway(config("/keys", "x"));
    let bearer = key.bearer(&json!({ "sub": "u", "aud": "x" }));
    let get = || gateway.request("GET", "/a", &[("Authorization", &bearer)]).status;
    assert_eq!((get(), issuer.asked()), (200, 1));
    apply(&gateway, config("/keys", "y"));
    assert_eq!((get(), issuer.asked()), (401, 1));
    apply(&gateway, config("/others", "x"));
    assert_eq!((get(), issuer.asked()), (200, 2));
}

/// Connections that were there had the limits of the config that they came under.
#[test]
fn the_next_request_of_a_connection_that_is_kept_has_the_new_limits() {
    let upstream = Upstream::start();
    let gateway = gateway(two(&upstream, ""));
    let (mut one, mut other) = (gateway.connect(), gateway.connect());
    let many: Vec<(String, String)> = (0..20).map(|nth| (format!("x-{nth}"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!((one.request("GET", "/a", &many).status, other.request("GET", "/a", &[]).status), (200, 200));
    apply(&gateway, two(&upstream, "limits: { maxHeaders: 10, maxRequestsPerConnection: 2 }\n"));
    assert_eq!(one.request("GET", "/a", &many).status, 431);
    let last = other.request("GET", "/a", &[]);
    assert_eq!((last.status, last.header("connection")), (200, Some("close")), "it is the second one");
    assert!(other.is_closed());
    let mut third = gateway.connect();
    assert_eq!(third.request("GET", "/a", &[]).header("connection"), Some("keep-alive"));
    apply(&gateway, two(&upstream, ""));
    assert_eq!([(); 3].map(|()| third.request("GET", "/a", &many).status), [200; 3], "there is no end to it any more");
}

/// Targets, what looks after them, and the names of limits stayed for as long as the process, unless a source was there.
#[test]
fn what_no_config_has_any_more_takes_no_memory() {
    let upstream = Upstream::start();
    let config = |version: usize| {
        let target = |nth: usize| format!("'http://127.{}.{}.{}:1'", version, nth / 250, nth % 250 + 1);
        let route = |nth: usize| {
            format!(
                "  - {{ name: r{version}-{nth}, path: /r{nth}, targets: {}, healthCheck: {{ interval: 1h, timeout: 10ms }}, plugins: {{ rateLimit: {{ max: 1, window: 1 }} }} }}\n",
                target(nth)
            )
        };
        let routes: String = (0..300).map(route).collect();
        format!("{ADMIN}routes:\n{}{routes}", self::route("/a", &upstream, ""))
    };
    let gateway = gateway(config(1));
    let grown = |versions: std::ops::Range<usize>| {
        let before = gateway.memory_kib("VmRSS:");
        versions.for_each(|version| drop(apply(&gateway, config(version))));
        gateway.memory_kib("VmRSS:").saturating_sub(before)
    };
    let (first, then) = (grown(2..22), grown(22..82));
    assert!(then < first.max(30_000), "{first} KiB at first, {then} KiB afterwards");
    assert_eq!(gateway.get("/a").status, 200);
}
