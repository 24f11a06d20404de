//! Why requests went as they did, and how others would go.

use std::fs;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::gateway::directory;
use crate::support::{
    Connection, Gateway, Redis, Reply, Response, Upstream, aegis, eventually, gateway, nobody, token,
};

const ADMIN: &str = "admin: { listen: 127.0.0.1:0 }\n";

/// What became of the last request of that name, once it is over.
fn past(gateway: &Gateway, id: &str) -> Value {
    eventually(&format!("{id} to be remembered"), || {
        let answer = gateway.operate("GET", &format!("/explain?request_id={id}"), &[]);
        (answer.status == 200).then(|| answer.json()["requests"][0].clone())
    })
}

/// How a request would go.
fn ask(gateway: &Gateway, question: &Value) -> Response {
    let (admin, body) = (gateway.admin(), question.to_string());
    let head = format!("POST /explain HTTP/1.1\r\nHost: {admin}\r\nContent-Length: {}\r\n\r\n", body.len());
    Connection::open(admin).send(head + &body).answer(false)
}

fn outlook(gateway: &Gateway, path: &str) -> Value {
    ask(gateway, &json!({ "method": "GET", "url": path, "token": token("alice") })).json()
}

/// Gives the detail.
fn is_denied(answer: &Response, status: u16, code: &str) -> String {
    assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{answer:?}");
    answer.json()["detail"].as_str().unwrap().to_owned()
}

fn send(gateway: &Gateway, id: &str, path: &str) -> u16 {
    let bearer = format!("Bearer {}", token("alice"));
    gateway.request("GET", path, &[("X-Request-ID", id), ("Authorization", &bearer)]).status
}

#[test]
fn what_became_of_a_request_is_told_from_the_route_to_the_last_attempt() {
    let (redis, upstream) = (Redis::start(), Upstream::start());
    let gateway = gateway(format!(
        "{ADMIN}redis: {{ url: '{}' }}\nroutes:\n  - path: /users\n    targets: ['http://{}', {}]\n    \
         plugins: {{ auth: true, ipDeny: 192.0.2.0/24, rateLimit: {{ max: 10, window: 60 }} }}\n",
        redis.url(),
        nobody(),
        upstream.url(),
    ));
    // Whose turn it is first is the one that is not there.
    assert_eq!(send(&gateway, "first", "/users/7?token=hidden"), 200);
    let told = past(&gateway, "first");
    for (name, value) in [
        ("method", json!("GET")),
        ("path", json!("/users/7")),
        ("client", json!("127.0.0.1")),
        ("config", json!(1)),
        ("status", json!(200)),
        ("reason", json!("retried")),
        ("route", json!({ "name": "/users", "path": "/users" })),
    ] {
        assert_eq!(told[name], value, "{told}");
    }
    let plugins = told["plugins"].as_array().unwrap();
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin["plugin"].as_str().unwrap()).collect();
    assert_eq!(names, ["ipRules", "auth", "rateLimit"]);
    assert!(plugins.iter().all(|plugin| plugin["passed"] == true), "{told}");
    assert_eq!(plugins[0]["wentBy"], json!({ "client": "127.0.0.1", "isInDeny": false, "isInAllow": null }));
    let by = &plugins[1]["wentBy"];
    assert_eq!((&by["by"], &by["from"], &by["user"]), (&json!("jwt"), &json!("header authorization"), &json!("alice")));
    let counted = &plugins[2]["wentBy"];
    assert_eq!(counted["countedIn"], "redis");
    let limit = &counted["limits"][0];
    assert_eq!((&limit["key"], &limit["remaining"]), (&json!("aegis:rl:{127.0.0.1}:/users"), &json!(9)), "{limit}");
    let attempts = told["attempts"].as_array().unwrap();
    let ends: Vec<_> = attempts.iter().map(|one| (one["outcome"].as_str().unwrap(), &one["status"])).collect();
    assert_eq!(ends, [("failure", &Value::Null), ("success", &json!(200))], "{told}");
    assert!(attempts[0]["cause"].as_str().unwrap().starts_with("cannot connect: "), "{told}");
    assert_eq!((&attempts[1]["target"], &attempts[1]["reused"]), (&json!(upstream.url()), &json!(false)));
    assert!(attempts[1]["atMs"].as_f64() > attempts[0]["atMs"].as_f64());
    let all = told.to_string();
    assert!(!all.contains("hidden") && !all.contains(&token("alice")), "{all}");
}

#[test]
fn targets_that_were_passed_over_are_told_with_the_reason() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "{ADMIN}routes:\n  - {{ path: /, targets: ['http://{}', {}], breaker: {{ failures: 1, cooldown: 1h }} }}\n",
        nobody(),
        upstream.url(),
    ));
    assert_eq!((send(&gateway, "one", "/"), send(&gateway, "two", "/"), send(&gateway, "three", "/")), (200, 200, 200));
    let skipped: Vec<Value> = ["one", "two", "three"].map(|id| past(&gateway, id)["skipped"].clone()).into();
    let open = skipped.iter().flat_map(|list| list.as_array().unwrap()).find(|one| one["why"] == "circuit_open");
    assert_eq!(open.expect("one found it open")["afterAttempts"], 0, "{skipped:?}");
    let live = outlook(&gateway, "/");
    assert_eq!(live["outcome"], json!({ "is": "forwarded", "target": upstream.url(), "path": "/" }));
}

#[test]
fn refusals_are_told_and_what_is_not_remembered_is_said_so() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "{ADMIN}routes:\n  - {{ path: /a, target: {}, plugins: {{ auth: true, rateLimit: {{ max: 1, window: 1h }} }} }}\n",
        upstream.url(),
    ));
    gateway.request("GET", "/a", &[("X-Request-ID", "bare")]);
    assert_eq!(
        (send(&gateway, "good", "/a"), send(&gateway, "many", "/a"), send(&gateway, "lost", "/b")),
        (200, 429, 404)
    );
    gateway.request("GET", "/gateway/livez", &[("X-Request-ID", "own")]);
    for (id, status, reason, plugins) in [
        ("bare", 401, "token_missing", 1),
        ("good", 200, "forwarded", 2),
        ("many", 429, "rate_limited", 2),
        ("lost", 404, "no_route", 0),
        ("own", 200, "gateway", 0),
    ] {
        let told = past(&gateway, id);
        assert_eq!((&told["status"], &told["reason"]), (&json!(status), &json!(reason)), "{told}");
        let said = told["plugins"].as_array().unwrap();
        assert_eq!(said.len(), plugins, "{told}");
        if status != 200 && plugins > 0 {
            assert_eq!((&said[plugins - 1]["passed"], &said[plugins - 1]["code"]), (&json!(false), &json!(reason)));
        }
    }
    let broken = gateway.raw("GET / HTTP/1.1\r\nHost: x\r\nHost : y\r\n\r\n");
    let told = past(&gateway, broken.header("x-request-id").unwrap());
    assert_eq!((&told["status"], &told["reason"]), (&json!(400), &json!("bad_request")));
    let page = |query: &str| gateway.operate("GET", &format!("/explain{query}"), &[]);
    is_denied(&page("?request_id=nobody"), 404, "request_unknown");
    is_denied(&page(""), 400, "request_id_missing");
    let text = gateway.operate("GET", "/explain?request_id=many", &[("Accept", "text/plain")]);
    assert!(text.text().starts_with("[GET] /a → 429 rate_limited\n"), "{}", text.text());
    let off =
        self::gateway("admin: { listen: 127.0.0.1:0, explain: off }\nroutes: [{ path: /, target: http://a:1 }]\n");
    is_denied(&off.operate("GET", "/explain?request_id=x", &[]), 404, "explain_off");
}

/// What one has, and what one lacks.
#[test]
fn without_redis_and_without_a_user_it_is_told_so() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "{ADMIN}redis: {{ url: 'redis://{}' }}\nroutes:\n  - path: /a\n    target: {}\n    \
         plugins: {{ auth: {{ optional: true }}, rateLimit: {{ max: 2, window: 1h }} }}\n  \
         - {{ path: /b, target: {1}, plugins: {{ auth: {{ requireScopes: [read], requireRoles: [admin] }} }} }}\n",
        nobody(),
        upstream.url(),
    ));
    let told = ask(&gateway, &json!({ "method": "GET", "url": "/a" })).json();
    assert_eq!(told["plugins"][0]["wentBy"], json!({ "by": null }));
    assert_eq!(told["plugins"][1]["wentBy"]["countedIn"], "memory");
    let told = outlook(&gateway, "/b");
    assert_eq!(told["plugins"][0]["wentBy"]["missing"], json!(["scope read", "role admin"]));
    assert_eq!(told["outcome"]["code"], "insufficient_scope");
}

/// However often it is asked, nobody's quota shrinks and no probe is used up.
#[test]
fn asking_changes_nothing() {
    for redis in [None, Some(Redis::start())] {
        let is_well = Arc::new(AtomicBool::new(false));
        let seen = is_well.clone();
        let upstream = Upstream::with(move |_| match seen.load(Ordering::Relaxed) {
            true => Reply::ok(),
            false => Reply::status(500, "no"),
        });
        let store = redis.as_ref().map_or_else(String::new, |redis| format!("redis: {{ url: '{}' }}\n", redis.url()));
        let gateway = gateway(format!(
            "{ADMIN}{store}routes:\n  - path: /a\n    target: {}\n    breaker: {{ failures: 1, cooldown: 300ms }}\n    \
             plugins: {{ rateLimit: {{ max: 2, window: 1h }} }}\n",
            upstream.url(),
        ));
        let left = |told: &Value| told["plugins"][0]["wentBy"]["limits"][0]["remaining"].clone();
        (0..5).for_each(|_| assert_eq!(left(&outlook(&gateway, "/a")), 2));
        assert_eq!(send(&gateway, "one", "/a"), 500);
        let told = outlook(&gateway, "/a");
        assert_eq!((left(&told), &told["outcome"]["code"]), (json!(1), &json!("no_target_available")), "{told}");
        assert_eq!(told["skipped"][0]["why"], "circuit_open");
        // Half-open, somebody who asks is no probe.
        let forwarded = || (outlook(&gateway, "/a")["outcome"]["is"] == "forwarded").then_some(());
        eventually("the cooldown to be over", forwarded);
        (0..5).for_each(|_| assert_eq!(forwarded(), Some(())));
        is_well.store(true, Ordering::Relaxed);
        assert_eq!(send(&gateway, "two", "/a"), 200);
        assert_eq!(past(&gateway, "two")["attempts"][0]["probe"], true);
        let told = outlook(&gateway, "/a");
        assert_eq!(told["outcome"]["code"], "rate_limited", "{told}");
        assert_eq!((left(&told), upstream.received().len()), (json!(0), 2));
    }
}

#[test]
fn routes_that_were_passed_over_are_told_with_the_reason() {
    let gateway = gateway(format!(
        "{ADMIN}routes:\n\
         \x20 - {{ path: /, target: http://a:1 }}\n\
         \x20 - {{ path: /users, target: http://a:2 }}\n\
         \x20 - {{ path: /users, host: api.example.com, target: http://a:3 }}\n\
         \x20 - {{ path: /users, methods: [PUT], target: http://a:4 }}\n\
         \x20 - {{ path: /users/7, matchHeaders: {{ x-version: 2 }}, target: http://a:5 }}\n\
         \x20 - {{ path: /product, target: http://a:6 }}\n\
         \x20 - {{ path: /old, redirect: {{ to: /new }} }}\n\
         \x20 - {{ path: /fixed, respond: {{ status: 410, body: gone }} }}\n",
    ));
    let told = outlook(&gateway, "/users/./7");
    assert_eq!((&told["path"], &told["route"]["name"]), (&json!("/users/7"), &json!("/users")));
    let skipped = told["skippedRoutes"].as_array().unwrap();
    let whys: Vec<&str> = skipped.iter().map(|route| route["why"].as_str().unwrap()).collect();
    let expected = [
        "/users is more particular",
        "it is for api.example.com",
        "it takes PUT",
        "its matchHeaders asks for another x-version",
    ];
    assert_eq!(whys, expected);
    let outcome = |path: &str| outlook(&gateway, path)["outcome"].clone();
    assert_eq!(outcome("/old/x"), json!({ "is": "answered", "status": null }));
    assert_eq!(outcome("/fixed"), json!({ "is": "answered", "status": 410 }));
    assert_eq!(outcome("/gateway/stats"), json!({ "is": "own" }));
    assert_eq!(outcome("/users%2f7")["code"], "path_invalid");
    assert_eq!(outcome("http://api.example.com/users")["target"], "http://a:3", "before its name is known");
    for (question, part) in [
        (json!({ "method": "G T", "url": "/" }), "is no method"),
        (json!({ "method": "GET", "url": "users" }), "is no URL"),
        (json!({ "method": "GET", "url": "/", "headers": [["a b", "c"]] }), "no header field"),
        (json!({ "method": "GET", "url": "/", "secret": "hidden" }), "Line 1"),
    ] {
        let answer = ask(&gateway, &question);
        let detail = is_denied(&answer, 400, "question_invalid");
        assert!(detail.contains(part) && !detail.contains("hidden"), "{detail}");
    }
    let huge = json!({ "method": "GET", "url": format!("/{}", "a".repeat(70_000)) });
    is_denied(&ask(&gateway, &huge), 413, "body_too_large");
}

/// `aegis explain` with a config of this text.
fn explain(config: &str, args: &[&str]) -> Output {
    let file = directory().join("aegis.yaml");
    fs::write(&file, config).unwrap();
    let mut command = aegis(&["explain", "-c", file.to_str().unwrap()]);
    command.args(args).env("JWT_SECRET", crate::support::SECRET).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_command_tells_what_the_gateway_would_do_that_runs_or_one_that_starts() {
    let upstream = Upstream::start();
    let routes = format!(
        "routes:\n  - {{ path: /users, targets: ['{}'], plugins: {{ auth: true, rateLimit: {{ max: 3, window: 60 }} }} }}\n",
        upstream.url(),
    );
    let token = token("alice");
    let args = ["GET", "/users/7", "--ip", "203.0.113.7", "--token", &token];
    let offline = explain(&routes, &args);
    assert_eq!(offline.status.code(), Some(0), "{offline:?}");
    let lines: Vec<&str> = text(&offline.stdout).lines().collect();
    assert_eq!(lines[0], format!("[GET] /users/7 → forwarded to {}", upstream.url()));
    assert_eq!(lines[1..3], ["client    203.0.113.7", "route     /users"]);
    assert!(
        lines
            .iter()
            .any(|line| line
                .contains("limit default, key aegis:rl:{203.0.113.7}:/users, algorithm fixedWindow, max 3, ")),
        "{lines:#?}"
    );
    assert!(text(&offline.stderr).contains("as a gateway would see it that has just started"));

    let gateway = gateway(format!("{ADMIN}{routes}"));
    assert_eq!(gateway.get_as("alice", "/users").status, 200);
    gateway.operate("POST", &format!("/circuits/open?target={}", upstream.url()), &[]);
    let listen = format!("admin: {{ listen: '{}' }}\n{routes}", gateway.admin());
    let live = explain(&listen, &args);
    assert!(text(&live.stdout).starts_with("[GET] /users/7 → 503 no_target_available: "), "{live:?}");
    assert!(text(&live.stdout).contains("its circuit is held open by hand (held_open)"), "{live:?}");
    assert!(text(&live.stderr).contains("as the gateway sees it"), "{live:?}");
    let json = explain(&listen, &["GET", "/users", "--json", "-H", "Host: x"]);
    let told: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(told["outcome"]["code"], "token_missing");
    let again = explain(&listen, &[&args[..], &["--offline"]].concat());
    assert!(text(&again.stdout).contains("forwarded to"), "{again:?}");
    let address = gateway.admin().to_string();
    let other = aegis(&["explain", "GET", "/nowhere", "--admin", &address]).output().unwrap();
    assert!(text(&other.stdout).starts_with("[GET] /nowhere → 404 no_route: "), "{other:?}");
    for (args, exit, part) in [
        (vec!["GET", "users"], 1, "write http://localhost:8000/users, or /users"),
        (vec!["GET", "/", "-H", "nothing"], 2, "write NAME: VALUE"),
        (vec!["GET", "/", "--admin", "127.0.0.1:1"], 2, "no gateway answers at 127.0.0.1:1"),
    ] {
        let output = explain(&routes, &args);
        assert_eq!(output.status.code(), Some(exit), "{output:?}");
        assert!(text(&output.stderr).contains(part), "{output:?}");
    }
}

/// It was said to be forwarded.
#[test]
fn a_request_that_is_too_large_is_foreseen_as_well() {
    let gateway =
        gateway(format!("{ADMIN}limits: {{ maxUri: 1KiB }}\nroutes: [{{ path: /, target: 'http://127.0.0.1:1' }}]\n"));
    let path = format!("/{}", "x".repeat(2_000));
    let foreseen = outlook(&gateway, &path);
    assert_eq!(
        (&foreseen["outcome"]["status"], &foreseen["outcome"]["code"]),
        (&json!(414), &json!("uri_too_long")),
        "{foreseen}"
    );
    gateway.get(&path).is_problem(414, "uri_too_long");
}
