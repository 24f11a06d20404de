//! Limits, counted in Redis and in memory.

use std::time::Duration;

use crate::support::{Gateway, Redis, Upstream, eventually, gateway};

/// `/users` with a limit; `redis` is the block, empty for memory.
pub fn limited(upstream: &Upstream, redis: &str, max: u32, window: &str) -> Gateway {
    gateway(format!(
        "{redis}\nroutes: [{{ path: /users, targets: {}, plugins: {{ rateLimit: {{ max: {max}, window: {window} }} }} }}]\n",
        upstream.url()
    ))
}

pub fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    let mut connection = gateway.connect();
    (0..count).map(|_| connection.request("GET", "/users", &[]).status).collect()
}

pub fn passed(statuses: &[u16]) -> usize {
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    statuses.iter().filter(|status| **status == 200).count()
}

#[test]
fn more_than_max_requests_in_a_window_get_429() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    for block in [String::new(), format!("redis: {{ url: '{}' }}", redis.url())] {
        let gateway = limited(&upstream, &block, 3, "60");
        let mut connection = gateway.connect();
        for left in ["2", "1", "0"] {
            let response = connection.request("GET", "/users", &[]);
            assert_eq!((response.status, response.header("x-ratelimit-limit")), (200, Some("3")));
            assert_eq!(response.header("x-ratelimit-remaining"), Some(left));
        }
        let refused = connection.request("GET", "/users", &[]);
        refused.is_problem(429, "rate_limited");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((55..=60).contains(&wait), "{wait}");
        assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
        assert_eq!(refused.header("x-ratelimit-reset"), refused.header("retry-after"));
        assert_eq!(upstream.received().len() % 3, 0);
    }
}

#[test]
fn a_window_that_is_over_lets_requests_pass_again() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    for block in [String::new(), format!("redis: {{ url: '{}' }}", redis.url())] {
        let gateway = limited(&upstream, &block, 2, "300ms");
        assert_eq!(passed(&statuses(&gateway, 3)), 2);
        eventually("the window to end", || (passed(&statuses(&gateway, 1)) == 1).then_some(()));
    }
}

#[test]
fn two_gateways_share_one_limit_through_redis_to_the_request() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let block = format!("redis: {{ url: '{}', timeout: 5s }}", redis.url());
    let gateways = [limited(&upstream, &block, 100, "60"), limited(&upstream, &block, 100, "60")];
    let total: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|i| {
                let gateway = &gateways[i % 2];
                scope.spawn(move || passed(&statuses(gateway, 40)))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(total, 100);
}

#[test]
fn refused_requests_use_up_nothing_and_a_key_dies_with_its_window() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}' }}", redis.url()), 2, "60");
    assert_eq!(passed(&statuses(&gateway, 20)), 2);
    assert_eq!(redis.count("aegis:rl:{127.0.0.1}:/users"), 2);
    let ttl: i64 = redis.run(&["PTTL", "aegis:rl:{127.0.0.1}:/users"]).parse().unwrap();
    assert!((50_000..=60_000).contains(&ttl), "{ttl}");
}

#[test]
fn a_decision_is_one_round_trip() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}' }}", redis.url()), 1_000, "60");
    let before = (redis.calls("evalsha"), redis.calls("eval"));
    assert_eq!(passed(&statuses(&gateway, 50)), 50);
    assert_eq!((redis.calls("evalsha"), redis.calls("eval")), (before.0 + 50, before.1));
}

#[test]
fn every_algorithm_limits_in_redis_as_in_memory() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    for block in [String::new(), format!("redis: {{ url: '{}' }}", redis.url())] {
        let routes: String = [
            ("/fixed", "max: 4, window: 7d"),
            ("/sliding", "max: 4, window: 7d, algorithm: slidingWindow"),
            ("/bucket", "max: 1, window: 7d, algorithm: tokenBucket, burst: 4"),
        ]
        .iter()
        .map(|(path, limit)| {
            format!("  - {{ path: {path}, target: {}, plugins: {{ rateLimit: {{ {limit} }} }} }}\n", upstream.url())
        })
        .collect();
        let gateway = gateway(format!("{block}\nroutes:\n{routes}"));
        for path in ["/fixed", "/sliding", "/bucket"] {
            for left in ["3", "2", "1", "0"] {
                let passed = gateway.get(path);
                assert_eq!((passed.status, passed.header("x-ratelimit-limit")), (200, Some("4")), "{path}");
                assert_eq!(passed.header("x-ratelimit-remaining"), Some(left), "{path}");
            }
            gateway.get(path).is_problem(429, "rate_limited");
        }
        let (bucket, seconds) = (gateway.get("/bucket"), |text: &str| text.parse::<u64>().unwrap());
        let wait = seconds(bucket.header("retry-after").unwrap());
        assert!((604_790..=604_800).contains(&wait), "a token a week: {wait}");
        let reset = seconds(bucket.header("x-ratelimit-reset").unwrap());
        assert!((4 * 604_800 - 10..=4 * 604_800).contains(&reset), "four of them: {reset}");
    }
}

/// Requests for a counter that is being asked already go together in the next call, and are told apart all
/// the same: each has its own place in the window.
#[test]
fn requests_that_come_together_are_counted_together_and_exactly() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}', timeout: 9s }}", redis.url()), 15, "60");
    assert_eq!(passed(&statuses(&gateway, 1)), 1);
    let before = redis.calls("evalsha");
    redis.hang();
    let mut connections: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    for connection in &mut connections {
        connection.send("GET /users HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    std::thread::sleep(Duration::from_millis(300));
    redis.go_on();
    let answers: Vec<_> = connections.iter_mut().map(|connection| connection.answer(false)).collect();
    assert_eq!(passed(&answers.iter().map(|answer| answer.status).collect::<Vec<_>>()), 14);
    let mut left: Vec<u32> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| answer.header("x-ratelimit-remaining").unwrap().parse().unwrap())
        .collect();
    left.sort_unstable();
    assert_eq!(left, (0..14).collect::<Vec<_>>());
    assert_eq!(redis.count("aegis:rl:{127.0.0.1}:/users"), 15);
    let calls = redis.calls("evalsha") - before;
    assert!((1..=3).contains(&calls), "{calls} calls for 20 requests");
}

#[test]
fn a_client_that_goes_on_after_its_429_costs_redis_nothing() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}', timeout: 5s }}", redis.url()), 2, "60");
    let before = redis.calls("evalsha");
    assert_eq!(passed(&statuses(&gateway, 300)), 2);
    assert_eq!(redis.calls("evalsha") - before, 3, "two that passed and the first that was refused");
    let refused = gateway.get("/users");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-reset"), refused.header("retry-after"));
}

#[test]
fn scripts_that_were_flushed_are_sent_again() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}' }}", redis.url()), 10, "60");
    assert_eq!(passed(&statuses(&gateway, 3)), 3);
    assert_eq!(redis.run(&["SCRIPT", "FLUSH"]), "OK");
    assert_eq!(passed(&statuses(&gateway, 10)), 7);
    assert_eq!(crate::outages::store_of(&gateway), "redis");
}

#[test]
fn a_counter_that_lost_its_expiry_does_not_refuse_for_ever() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    redis.run(&["SET", "aegis:rl:{127.0.0.1}:/users", "1000000"]);
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}' }}", redis.url()), 2, "60");
    assert_eq!(passed(&statuses(&gateway, 3)), 2);
}

#[test]
fn a_window_that_was_shortened_does_not_wait_for_the_long_one() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let block = format!("redis: {{ url: '{}' }}", redis.url());
    assert_eq!(passed(&statuses(&limited(&upstream, &block, 2, "7d"), 3)), 2);
    let shorter = limited(&upstream, &block, 2, "60");
    assert_eq!(passed(&statuses(&shorter, 3)), 2);
    let ttl: i64 = redis.run(&["PTTL", "aegis:rl:{127.0.0.1}:/users"]).parse().unwrap();
    assert!(ttl <= 60_000, "{ttl}");
}

#[test]
fn a_key_of_another_type_is_nobodys_500() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    redis.run(&["HSET", "aegis:rl:{127.0.0.1}:/users", "a", "b"]);
    let gateway = limited(&upstream, &format!("redis: {{ url: '{}' }}", redis.url()), 2, "60");
    assert_eq!(passed(&statuses(&gateway, 5)), 2, "decided from memory");
}

#[test]
fn clients_behind_a_trusted_proxy_are_told_apart_and_nobody_can_pose_as_another() {
    let upstream = Upstream::start();
    let trusting = limited(&upstream, "trustedProxies: [127.0.0.1]", 1, "60");
    let from = |gateway: &Gateway, list: &str| gateway.request("GET", "/users", &[("X-Forwarded-For", list)]).status;
    assert_eq!(from(&trusting, "203.0.113.1"), 200);
    assert_eq!(from(&trusting, "203.0.113.1"), 429);
    assert_eq!(from(&trusting, "203.0.113.2"), 200);
    // What stands left of the address that the proxy vouches for is the client's own invention.
    assert_eq!(from(&trusting, "198.51.100.9, 203.0.113.2"), 429);
    assert_eq!(from(&trusting, "2001:db8:0:1::1"), 200);
    assert_eq!(from(&trusting, "2001:db8:0:1:2:3:4:5"), 429, "one client has a whole /64");
    assert_eq!(from(&trusting, "2001:db8:0:2::1"), 200);
    let plain = limited(&upstream, "", 1, "60");
    assert_eq!(from(&plain, "203.0.113.1"), 200);
    assert_eq!(from(&plain, "203.0.113.2"), 429, "an untrusted peer chose its own address");
}

#[test]
fn routes_are_limited_apart_and_auth_comes_first() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        concat!(
            "routes:\n",
            "  - {{ path: /a, targets: {0}, plugins: {{ auth: true, rateLimit: {{ max: 1, window: 60 }} }} }}\n",
            "  - {{ path: /b, targets: {0}, plugins: {{ rateLimit: {{ max: 1, window: 60 }} }} }}\n",
        ),
        upstream.url()
    ));
    for _ in 0..5 {
        let refused = gateway.get("/a");
        refused.is_problem(401, "token_missing");
        assert_eq!(refused.header("x-ratelimit-limit"), None, "a request that is refused before is not counted");
    }
    assert_eq!(gateway.get_as("u", "/a").status, 200);
    assert_eq!(gateway.get_as("u", "/a").status, 429);
    assert_eq!(gateway.get("/b").status, 200);
}

/// They shared one counter: requests of one used up what the other's were allowed.
#[test]
fn a_limit_of_a_list_and_a_route_that_is_called_like_it_count_apart() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        concat!(
            "routes:\n",
            "  - {{ path: /a, targets: {0}, plugins: {{ rateLimit: [{{ max: 1, window: 1h }}, {{ max: 9, window: 2h }}] }} }}\n",
            "  - {{ path: '/a:3600s', targets: {0}, plugins: {{ rateLimit: {{ max: 1, window: 1h }} }} }}\n",
        ),
        upstream.url()
    ));
    assert_eq!(["/a", "/a:3600s", "/a", "/a:3600s"].map(|path| gateway.get(path).status), [200, 200, 429, 429]);
}
