//! What becomes of limits when Redis goes away, hangs and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{limited, passed, statuses};
use crate::support::{Gateway, Redis, Reply, Response, Upstream, eventually, gateway};

/// Where the first route's limit is counted, as the stats say.
pub fn store_of(gateway: &Gateway) -> String {
    gateway.stats()[0]["rateLimit"]["store"].as_str().unwrap().to_owned()
}

/// Those who wait for their turn behind a call that hangs do not wait longer than the call may take.
#[test]
fn nobody_waits_longer_than_the_time_out_for_a_redis_that_hangs() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}', timeout: 500ms }}", redis.url()), 1_000, "60");
    assert_eq!(passed(&statuses(&gateway, 1)), 1);
    redis.hang();
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20)
            .map(|i| {
                let gateway = &gateway;
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_millis(20 * i));
                    let start = Instant::now();
                    assert_eq!(gateway.get("/users").status, 200);
                    start.elapsed()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(times.iter().all(|time| *time < Duration::from_millis(700)), "{times:?}");
}

#[test]
fn redis_killed_and_back_limits_go_on_and_it_is_said_once() {
    let (upstream, mut redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}' }}", redis.url()), 5, "60");
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    assert_eq!(store_of(&gateway), "redis");
    redis.kill();
    assert_eq!(passed(&statuses(&gateway, 20)), 5, "limits are still enforced, from memory");
    assert_eq!(store_of(&gateway), "memory");
    let row = &gateway.stats()[0]["rateLimit"];
    assert!(row["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{row}");
    redis.restart();
    eventually("limits to be shared again", || (store_of(&gateway) == "redis").then_some(()));
    assert_eq!(passed(&statuses(&gateway, 20)), 5, "a new count in the Redis that came back empty");
    let said = gateway.stderr();
    assert_eq!(said.matches("limits are not shared").count(), 1, "{said}");
    assert_eq!(said.matches("limits are shared").count(), 2, "at the start and after the return: {said}");
}

/// Its connection is there as before; there is nobody at the other end.
#[test]
fn a_redis_that_hangs_is_known_to_before_anybody_needs_it() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}' }}", redis.url()), 5, "60");
    eventually("limits to be shared", || (store_of(&gateway) == "redis").then_some(()));
    redis.hang();
    eventually("the outage to be known", || (store_of(&gateway) == "memory").then_some(()));
}

/// Its quota does not come back with the outage.
#[test]
fn who_has_been_refused_stays_refused_while_redis_is_away() {
    let (upstream, mut redis) = (Upstream::start(), Redis::start());
    let gateway = gateway(format!(
        "redis: {{ url: '{}' }}\ntrustedProxies: 127.0.0.1\nroutes:\n  \
         - {{ path: /users, target: {}, plugins: {{ rateLimit: {{ max: 5, window: 60 }} }} }}\n",
        redis.url(),
        upstream.url(),
    ));
    let get = |from: &str| gateway.request("GET", "/users", &[("X-Forwarded-For", from)]).status;
    let passed = |count: usize| (0..count).filter(|_| get("203.0.113.1") == 200).count();
    assert_eq!(passed(8), 5);
    redis.kill();
    // Somebody else finds out.
    eventually("the outage to be known", || {
        assert_eq!(get("203.0.113.2"), 200);
        (store_of(&gateway) == "memory").then_some(())
    });
    assert_eq!(passed(10), 0);
}

#[test]
fn a_redis_that_hangs_costs_a_few_requests_its_time_out_and_the_rest_nothing() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}', timeout: 50ms }}", redis.url()), 1_000, "60");
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    redis.hang();
    let mut connection = gateway.connect();
    let times: Vec<Duration> = (0..50)
        .map(|_| {
            let start = Instant::now();
            assert_eq!(connection.request("GET", "/users", &[]).status, 200);
            start.elapsed()
        })
        .collect();
    let slow = times.iter().filter(|time| **time >= Duration::from_millis(45)).count();
    assert!((1..=3).contains(&slow), "{slow} of 50 waited: {times:?}");
    assert_eq!(store_of(&gateway), "memory");
    redis.go_on();
    eventually("limits to be shared again", || (store_of(&gateway) == "redis").then_some(()));
    assert_eq!(gateway.stderr().matches("limits are not shared").count(), 1);
}

#[test]
fn a_time_out_now_and_then_is_no_outage() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}', timeout: 50ms }}", redis.url()), 1_000, "60");
    for _ in 0..3 {
        redis.hang();
        assert_eq!(passed(&statuses(&gateway, 2)), 2);
        redis.go_on();
        eventually("redis to answer again", || {
            let before = redis.calls("evalsha");
            gateway.get("/users");
            (redis.calls("evalsha") > before).then_some(())
        });
    }
    assert_eq!(store_of(&gateway), "redis");
    assert!(!gateway.stderr().contains("limits are not shared"), "{}", gateway.stderr());
}

#[test]
fn a_route_can_let_everything_through_or_nothing_while_redis_is_away() {
    let (upstream, mut redis) = (Upstream::start(), Redis::start());
    let routes: String = ["local", "allow", "deny"]
        .iter()
        .map(|word| {
            let limit = format!("{{ max: 2, window: 60, onRedisDown: {word} }}");
            format!("  - {{ path: /{word}, target: {}, plugins: {{ rateLimit: {limit} }} }}\n", upstream.url())
        })
        .collect();
    let gateway =
        gateway(format!("redis: {{ url: '{}' }}\ntrustedProxies: [127.0.0.1]\nroutes:\n{routes}", redis.url()));
    // A refusal that is known needs no Redis, so those who come later are others.
    let get = |path: &str, ip: &str| gateway.request("GET", path, &[("X-Forwarded-For", ip)]);
    let stores = |gateway: &Gateway| -> Vec<String> {
        gateway.stats().iter().map(|row| row["rateLimit"]["store"].as_str().unwrap().to_owned()).collect()
    };
    for path in ["/local", "/allow", "/deny"] {
        let answers: Vec<u16> = (0..3).map(|_| get(path, "203.0.113.1").status).collect();
        assert_eq!(answers, [200, 200, 429], "{path}");
    }
    assert_eq!(stores(&gateway), ["redis", "redis", "redis"]);
    redis.kill();
    eventually("the link to be down", || {
        get("/local", "203.0.113.2");
        (stores(&gateway)[0] == "memory").then_some(())
    });
    assert_eq!(stores(&gateway), ["memory", "none", "none"]);
    for _ in 0..5 {
        let passed = get("/allow", "203.0.113.2");
        assert_eq!((passed.status, passed.header("x-ratelimit-limit")), (200, None), "it is not counted");
        let refused = get("/deny", "203.0.113.2");
        refused.is_problem(503, "limiter_unavailable");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    let uncounted: Vec<_> = gateway.stats().iter().map(|row| row["rateLimit"]["uncounted"].as_u64().unwrap()).collect();
    assert_eq!(uncounted, [0, 5, 5]);
    redis.restart();
    eventually("limits to be shared again", || (stores(&gateway) == ["redis"; 3]).then_some(()));
    assert_eq!(get("/deny", "203.0.113.2").status, 200);
}

/// The limits of a list go their own ways while Redis is away, and what requests cost is still counted.
#[test]
fn of_a_list_those_are_left_that_count_by_themselves() {
    let upstream =
        Upstream::with(|_| Reply::Bytes(b"HTTP/1.1 200 OK\r\nX-Cost: 3\r\nContent-Length: 0\r\n\r\n".to_vec()));
    let mut redis = Redis::start();
    redis.kill();
    let local = "{ max: 4, window: 1h, cost: { responseHeader: x-cost } }";
    let routes: String = [("/mixed", "allow"), ("/denied", "deny")]
        .iter()
        .map(|(path, word)| {
            let other = format!("{{ max: 1, window: 1h, onRedisDown: {word} }}");
            format!(
                "  - {{ path: {path}, target: {}, plugins: {{ rateLimit: [{local}, {other}] }} }}\n",
                upstream.url()
            )
        })
        .collect();
    let gateway = gateway(format!("redis: {{ url: '{}' }}\nroutes:\n{routes}", redis.url()));
    let first = gateway.get("/mixed");
    assert_eq!((first.status, first.header("x-ratelimit-limit")), (200, Some("4")));
    let next = eventually("the cost to be counted", || {
        let next = gateway.get("/mixed");
        (next.header("x-ratelimit-remaining") == Some("0")).then_some(next)
    });
    assert_eq!(next.status, 200, "three and one of four");
    assert_eq!(gateway.get("/mixed").status, 429);
    gateway.get("/denied").is_problem(503, "limiter_unavailable");
}

#[test]
fn a_gateway_starts_without_its_redis_and_finds_it_later() {
    let (upstream, mut redis) = (Upstream::start(), Redis::start());
    redis.kill();
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}' }}", redis.url()), 2, "60");
    assert_eq!(passed(&statuses(&gateway, 5)), 2);
    assert_eq!(store_of(&gateway), "memory");
    redis.restart();
    eventually("limits to be shared", || (store_of(&gateway) == "redis").then_some(()));
    assert_eq!(passed(&statuses(&gateway, 5)), 2);
}

/// How long others take before it is asked is none of its fault.
#[test]
fn redis_has_its_time_out_for_itself_however_long_plugins_before_take() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let service = Upstream::with(|_| {
        std::thread::sleep(Duration::from_millis(250));
        Reply::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())
    });
    let gateway = gateway(format!(
        "redis: {{ url: '{}', timeout: 200ms }}\nroutes:\n  - {{ path: /users, target: {}, plugins: {{ forwardAuth: {{ url: '{}/' }}, \
         rateLimit: {{ max: 3, window: 60, onRedisDown: deny }} }} }}\n",
        redis.url(),
        upstream.url(),
        service.url(),
    ));
    assert_eq!(statuses(&gateway, 5), [200, 200, 200, 429, 429]);
    let row = &gateway.stats()[0]["rateLimit"];
    assert_eq!((row["store"].as_str(), row["redis"][0]["failed"].as_u64()), (Some("redis"), Some(0)), "{row}");
}

/// What Redis could not be told of is counted by whoever stands in.
#[test]
fn what_an_answer_has_cost_is_not_lost_with_redis() {
    let redis = Arc::new(Redis::start());
    let hangs = redis.clone();
    let upstream = Upstream::with(move |_| {
        hangs.hang();
        Reply::Bytes(b"HTTP/1.1 200 OK\r\nX-Cost: 8\r\nContent-Length: 0\r\n\r\n".to_vec())
    });
    let gateway = gateway(format!(
        "redis: {{ url: '{}' }}\nroutes:\n  - {{ path: /users, target: {}, plugins: {{ rateLimit: {{ max: 10, window: 1h, \
         cost: {{ responseHeader: x-cost }} }} }} }}\n",
        redis.url(),
        upstream.url(),
    ));
    let left = |answer: &Response| answer.header("x-ratelimit-remaining").map(str::to_owned);
    assert_eq!(left(&gateway.get("/users")).as_deref(), Some("9"));
    eventually("the link to be down", || (store_of(&gateway) == "memory").then_some(()));
    // Seven more than the one that was taken before, and this one.
    assert_eq!(left(&gateway.get("/users")).as_deref(), Some("2"));
}
