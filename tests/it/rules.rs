//! Which requests a limit counts, by what, and what it says: lists, keys, overrides, scopes, dry runs, costs.

use crate::support::{Gateway, Redis, Reply, Response, Upstream, eventually, gateway, signed};

/// A gateway with one route for each pair of a path and what stands under `plugins`.
fn routes(upstream: &Upstream, head: &str, routes: &[(&str, &str)]) -> Gateway {
    let routes: String = routes
        .iter()
        .map(|(path, plugins)| {
            format!("  - {{ path: {path}, target: '{}', plugins: {{ {plugins} }} }}\n", upstream.url())
        })
        .collect();
    gateway(format!("trustedProxies: [127.0.0.1]\n{head}\nroutes:\n{routes}"))
}

/// The same, once with Redis and once without.
fn in_both_stores(upstream: &Upstream, paths: &[(&str, &str)], check: impl Fn(&Gateway)) {
    let redis = Redis::start();
    check(&routes(upstream, &format!("redis: {{ url: '{}', timeout: 5s }}", redis.url()), paths));
    check(&routes(upstream, "", paths));
}

fn status(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> u16 {
    gateway.request("GET", path, headers).status
}

fn from(ip: &str) -> [(&'static str, &str); 1] {
    [("X-Forwarded-For", ip)]
}

#[test]
fn all_limits_of_a_list_let_a_request_pass_or_none_is_charged() {
    let upstream = Upstream::start();
    let list = "rateLimit: [{ max: 2, window: 1 }, { max: 3, window: 1h }]";
    in_both_stores(&upstream, &[("/a", list)], |gateway| {
        assert_eq!([(); 2].map(|()| status(gateway, "/a", &[])), [200, 200]);
        // The first of the two refuses; the hour is not charged for it.
        let refused = gateway.get("/a");
        refused.is_problem(429, "rate_limited");
        assert_eq!((refused.header("retry-after"), refused.header("x-ratelimit-limit")), (Some("1"), Some("2")));
        let passed = eventually("the second to be over", || {
            let answer = gateway.get("/a");
            (answer.status == 200).then_some(answer)
        });
        assert_eq!(
            (passed.header("x-ratelimit-limit"), passed.header("x-ratelimit-remaining")),
            (Some("3"), Some("0"))
        );
        let refused = gateway.get("/a");
        refused.is_problem(429, "rate_limited");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((3_500..=3_600).contains(&wait), "the longer wait is the one that counts: {wait}");
        let row = &gateway.stats()[0]["rateLimit"];
        assert_eq!((&row["allowed"], &row["rules"][1]["refused"]), (&3.into(), &1.into()), "{row}");
    });
}

#[test]
fn algorithms_can_be_mixed_in_a_list() {
    let upstream = Upstream::start();
    let list = "rateLimit: [{ max: 5, window: 1h, algorithm: slidingWindow }, \
                { max: 1, window: 1h, algorithm: tokenBucket, burst: 4 }, { max: 6, window: 1h }]";
    in_both_stores(&upstream, &[("/a", list)], |gateway| {
        let statuses: Vec<u16> = (0..6).map(|_| status(gateway, "/a", &[])).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    });
}

#[test]
fn users_claims_and_headers_are_limited_each_for_themselves() {
    let upstream = Upstream::start();
    let paths = [
        ("/user", "auth: true, rateLimit: { max: 1, window: 1h, key: user }"),
        ("/tenant", "auth: true, rateLimit: { max: 1, window: 1h, key: { claim: tenant } }"),
        ("/plan", "rateLimit: { max: 1, window: 1h, key: { header: x-plan } }"),
        ("/all", "rateLimit: { max: 1, window: 1h, key: route }"),
        ("/both", "auth: true, rateLimit: { max: 1, window: 1h, key: [user, header: x-plan] }"),
    ];
    let token = |user: &str, tenant: &str| {
        format!("Bearer {}", signed(&serde_json::json!({ "userId": user, "tenant": tenant })))
    };
    let (alice, bob, other) = (token("alice", "gold"), token("bob", "gold"), token("alice", "iron"));
    in_both_stores(&upstream, &paths, |gateway| {
        let as_user = |path: &str, token: &str| status(gateway, path, &[("Authorization", token)]);
        assert_eq!([&alice, &alice, &bob].map(|token| as_user("/user", token)), [200, 429, 200]);
        assert_eq!([&alice, &bob, &other].map(|token| as_user("/tenant", token)), [200, 429, 200]);
        let plan = |plan: &str| status(gateway, "/plan", &[("X-Plan", plan)]);
        assert_eq!(["a", "a", "b"].map(plan), [200, 429, 200]);
        assert_eq!(["203.0.113.1", "203.0.113.2"].map(|ip| status(gateway, "/all", &from(ip))), [200, 429]);
        let both = |token: &str, plan: &str| status(gateway, "/both", &[("Authorization", token), ("X-Plan", plan)]);
        assert_eq!([both(&alice, "a"), both(&alice, "a"), both(&alice, "b"), both(&bob, "a")], [200, 429, 200, 200]);
    });
}

#[test]
fn who_lacks_what_a_limit_goes_by_is_limited_by_address() {
    let upstream = Upstream::start();
    let paths = [("/plan", "rateLimit: { max: 1, window: 1h, key: { header: x-plan } }")];
    in_both_stores(&upstream, &paths, |gateway| {
        let ips = ["203.0.113.1", "203.0.113.2", "203.0.113.1"];
        assert_eq!(ips.map(|ip| status(gateway, "/plan", &from(ip))), [200, 200, 429]);
        // Nobody is counted as an address by sending its text.
        let posing = [("X-Plan", ":ip=203.0.113.9"), ("X-Forwarded-For", "203.0.113.8")];
        assert_eq!(status(gateway, "/plan", &posing), 200);
        assert_eq!(status(gateway, "/plan", &from("203.0.113.9")), 200);
    });
}

#[test]
fn prefixes_say_how_much_of_an_address_is_one_client() {
    let upstream = Upstream::start();
    let paths = [("/a", "rateLimit: { max: 1, window: 1h, prefixes: { ipv4: 24, ipv6: 128 } }")];
    in_both_stores(&upstream, &paths, |gateway| {
        let ips = ["203.0.113.1", "203.0.113.250", "203.0.114.1", "2001:db8::1", "2001:db8::2", "2001:db8::2"];
        assert_eq!(ips.map(|ip| status(gateway, "/a", &from(ip))), [200, 429, 200, 200, 200, 429]);
    });
}

#[test]
fn single_values_can_have_quotas_of_their_own_or_none() {
    let upstream = Upstream::start();
    let limit =
        "rateLimit: { max: 1, window: 1h, key: { header: x-plan }, overrides: { gold: { max: 3 }, inner: off } }";
    in_both_stores(&upstream, &[("/a", limit)], |gateway| {
        let ask = |plan: &str| gateway.request("GET", "/a", &[("X-Plan", plan)]);
        let statuses = |plan: &str| -> Vec<u16> { (0..4).map(|_| ask(plan).status).collect() };
        assert_eq!(statuses("iron"), [200, 429, 429, 429]);
        assert_eq!(statuses("gold"), [200, 200, 200, 429]);
        assert_eq!(ask("gold").header("x-ratelimit-limit"), Some("3"));
        assert_eq!(statuses("inner"), [200; 4]);
        assert_eq!(ask("inner").header("x-ratelimit-limit"), None);
    });
}

#[test]
fn routes_can_share_a_quota() {
    let upstream = Upstream::start();
    let shared = "rateLimit: { max: 2, window: 1h, scope: { shared: backend } }";
    let dear = "rateLimit: { max: 2, window: 1h, scope: { shared: backend }, cost: 2 }";
    let paths = [("/a", shared), ("/b", shared), ("/dear", dear), ("/own", "rateLimit: { max: 2, window: 1h }")];
    in_both_stores(&upstream, &paths, |gateway| {
        assert_eq!(["/a", "/b", "/a", "/b"].map(|path| status(gateway, path, &[])), [200, 200, 429, 429]);
        assert_eq!(status(gateway, "/own", &[]), 200);
        // One unit is left to somebody else: enough for one route, and not for another.
        let one = from("203.0.113.1");
        assert_eq!(["/b", "/dear", "/a", "/a"].map(|path| status(gateway, path, &one)), [200, 429, 200, 429]);
    });
}

#[test]
fn a_dry_run_counts_and_tells_the_operator_and_refuses_nobody() {
    let upstream = Upstream::start();
    let limits = "rateLimit: [{ max: 5, window: 1h }, { max: 2, window: 1h, dryRun: true }]";
    let alone = "rateLimit: { max: 1, window: 1h, dryRun: true }";
    in_both_stores(&upstream, &[("/a", limits), ("/alone", alone)], |gateway| {
        let answers: Vec<Response> = (0..6).map(|_| gateway.get("/a")).collect();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
        let limits: Vec<_> = answers.iter().map(|answer| answer.header("x-ratelimit-limit")).collect();
        assert_eq!(limits, [Some("5"); 6], "clients are not told of it");
        assert_eq!([(); 3].map(|()| status(gateway, "/alone", &[])), [200; 3]);
        assert_eq!(gateway.get("/alone").header("x-ratelimit-limit"), None);
        let stats = gateway.stats();
        let row = &stats[0]["rateLimit"];
        assert_eq!((&row["allowed"], &row["refused"]), (&5.into(), &1.into()), "{row}");
        let dry = &row["rules"][1];
        assert_eq!((&dry["dryRun"], &dry["name"], &dry["max"]), (&true.into(), &"3600s-2".into(), &2.into()));
        assert!(dry["refused"].as_u64() >= Some(3), "what it would have refused: {dry}");
        assert_eq!(stats[1]["rateLimit"]["rules"][0]["refused"], 3);
    });
}

#[test]
fn requests_can_cost_more_than_one() {
    let upstream = Upstream::start();
    let paths = [("/a", "rateLimit: { max: 10, window: 1h, cost: 4 }")];
    in_both_stores(&upstream, &paths, |gateway| {
        let answers = [(); 3].map(|()| gateway.get("/a"));
        assert_eq!(answers.each_ref().map(|answer| answer.status), [200, 200, 429]);
        let left = answers.each_ref().map(|answer| answer.header("x-ratelimit-remaining").map(str::to_owned));
        assert_eq!(left.each_ref().map(Option::as_deref), [Some("6"), Some("2"), Some("2")]);
    });
}

#[test]
fn the_upstream_can_say_what_a_request_has_cost() {
    let upstream = Upstream::with(|request| {
        let cost = request.header("x-want").unwrap_or("1");
        Reply::Bytes(format!("HTTP/1.1 200 OK\r\nX-Cost: {cost}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    });
    let paths = [("/a", "rateLimit: { max: 10, window: 1h, cost: { responseHeader: x-cost } }")];
    in_both_stores(&upstream, &paths, |gateway| {
        let ask = |ip: &str, cost: &str| {
            let answer = gateway.request("GET", "/a", &[("X-Forwarded-For", ip), ("X-Want", cost)]);
            (answer.status, answer.header("x-ratelimit-remaining").map(|left| left.parse::<u32>().unwrap()))
        };
        assert_eq!(ask("203.0.113.1", "6"), (200, Some(9)), "one is taken before, the rest after the answer");
        eventually("the cost to be counted", || (ask("203.0.113.1", "1") == (200, Some(3))).then_some(()));
        // What is no number costs what was taken, and nothing is given back.
        for (ip, cost) in [("203.0.113.2", "many"), ("203.0.113.3", "-5"), ("203.0.113.4", "0"), ("203.0.113.5", "1")] {
            assert_eq!([ask(ip, cost), ask(ip, cost)], [(200, Some(9)), (200, Some(8))], "{cost}");
        }
        // More than the whole quota is the whole quota.
        for (ip, cost) in
            [("203.0.113.6", "4000000000"), ("203.0.113.7", "5000000000"), ("203.0.113.8", &"9".repeat(40))]
        {
            assert_eq!(ask(ip, cost), (200, Some(9)));
            // After nine more there would be nothing left, whatever it has cost.
            let is_counted = (0..5).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(50));
                ask(ip, "1").0 == 429
            });
            assert!(is_counted, "{cost}");
        }
        let refused = gateway.request("GET", "/a", &from("203.0.113.6"));
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 3_600);
    });
}

#[test]
fn ietf_fields_tell_of_every_limit_on_200_and_on_429() {
    let upstream = Upstream::start();
    let paths = [
        ("/one", "rateLimit: { max: 2, window: 60, headers: ietf }"),
        ("/list", "rateLimit: [{ max: 9, window: 1s, headers: both }, { max: 2, window: 1h, headers: both }]"),
        ("/bucket", "rateLimit: { max: 60, window: 60, algorithm: tokenBucket, burst: 3, headers: ietf }"),
        ("/short", "rateLimit: { max: 3, window: 1500ms, headers: ietf }"),
        ("/off", "rateLimit: { max: 1, window: 60, headers: off }"),
    ];
    in_both_stores(&upstream, &paths, |gateway| {
        let fields = |path: &str| {
            let answer = gateway.get(path);
            let field = |name: &str| answer.header(name).unwrap_or("-").to_owned();
            (answer.status, field("ratelimit-policy"), field("ratelimit"))
        };
        let is = |found: (u16, String, String), status: u16, policy: &str, limit: &str| {
            assert_eq!((found.0, &*found.1, &*found.2), (status, policy, limit));
        };
        is(fields("/one"), 200, "\"default\";q=2;w=60", "\"default\";r=1;t=60");
        is(fields("/one"), 200, "\"default\";q=2;w=60", "\"default\";r=0;t=60");
        is(fields("/one"), 429, "\"default\";q=2;w=60", "\"default\";r=0;t=60");
        assert_eq!(gateway.get("/one").header("x-ratelimit-limit"), None);
        let policy = "\"1s\";q=9;w=1, \"3600s\";q=2;w=3600";
        is(fields("/list"), 200, policy, "\"1s\";r=8;t=1, \"3600s\";r=1;t=3600");
        assert_eq!(gateway.get("/list").header("x-ratelimit-limit"), Some("2"));
        // 60 a minute, three at once: three in three seconds.
        is(fields("/bucket"), 200, "\"default\";q=3;w=3", "\"default\";r=2;t=1");
        is(fields("/short"), 200, "\"default\";q=3", "\"default\";r=2;t=2");
        is(fields("/off"), 200, "-", "-");
        is(fields("/off"), 429, "-", "-");
    });
}

/// A value cannot choose its place in Redis, whatever is in it, and what may be a secret is not to be read there.
#[test]
fn keys_in_redis_are_readable_and_safe() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let paths = [
        ("/plan", "rateLimit: { max: 9, window: 1h, key: { header: x-plan } }"),
        ("/key", "rateLimit: { max: 9, window: 1h, key: { header: x-api-key } }"),
        ("/list", "rateLimit: [{ max: 9, window: 1h }, { max: 99, window: 1d, scope: { shared: all } }]"),
    ];
    let gateway = routes(&upstream, &format!("redis: {{ url: '{}' }}", redis.url()), &paths);
    status(&gateway, "/plan", &[("X-Plan", "gold}:/other")]);
    status(&gateway, "/plan", &[("X-Plan", &"a".repeat(5_000))]);
    status(&gateway, "/key", &[("X-Api-Key", "hunter2")]);
    status(&gateway, "/list", &[]);
    let said = redis.run(&["KEYS", "aegis:rl:{*"]);
    let mut keys: Vec<&str> = said.lines().collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "aegis:rl:{127.0.0.1}:/list#3600s",
            "aegis:rl:{127.0.0.1}:shared=all",
            "aegis:rl:{header.x-api-key=~F52FBD32B2B3B86FF88EF6C490628285}:/key",
            "aegis:rl:{header.x-plan=gold%7D%3A/other}:/plan",
            keys.iter().find(|key| key.contains("x-plan=~")).expect("a hashed one"),
        ]
    );
}
