//! Every file of `conf/examples` runs and does what its comment says.

use std::fs;
use std::path::PathBuf;

use crate::support::issuer::{Issuer, Key, jwks};
use crate::support::{Gateway, Redis, Reply, SECRET, Upstream, now, signed};

/// An example with its targets and addresses on free ports.
fn example(name: &str, upstreams: &[(&str, &Upstream)], env: &[(&str, &str)]) -> Gateway {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conf/examples").join(name);
    let mut text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    for (written, upstream) in upstreams {
        assert!(text.contains(written), "{name} has no {written}");
        text = text.replace(written, &upstream.url());
    }
    let listens = text.contains("\nlisten:");
    let text = text.replace("listen: [127.0.0.1:8000, \"[::1]:8000\"]", "listen: [127.0.0.1:0, \"[::1]:0\"]");
    let mut command = crate::support::aegis(&["run", "-c", name]);
    let listen = if listens { "" } else { "listen: 127.0.0.1:0\n" };
    fs::write(command.get_current_dir().unwrap().join(name), format!("{listen}{text}")).unwrap();
    command.env("JWT_SECRET", SECRET).envs(env.iter().copied());
    Gateway::spawn(command)
}

#[test]
fn every_example_is_exercised() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conf/examples");
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "auth.yaml",
            "breaker.yaml",
            "browsers.yaml",
            "canary.yaml",
            "identity.yaml",
            "json-log.yaml",
            "rate-limit.yaml",
            "routing.yaml",
            "smallest.yaml",
            "tenants.yaml",
            "upstreams.yaml"
        ],
        "a new example wants a test here"
    );
}

#[test]
fn what_docker_runs_is_good_and_says_what_it_needs() {
    let check = |env: &[(&str, &str)]| {
        let mut command = crate::support::aegis(&["check", "-c", "conf/aegis.yaml"]);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).envs(env.iter().copied()).output().unwrap()
    };
    let good = check(&[("JWT_SECRET", SECRET), ("REDIS_URL", "redis://redis:6379")]);
    assert_eq!(
        (good.status.code(), good.stdout.as_slice()),
        (Some(0), &b"conf/aegis.yaml: good, 2 routes\n"[..]),
        "{good:?}"
    );
    let bare = check(&[]);
    assert_eq!(bare.status.code(), Some(1));
    let said = String::from_utf8(bare.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.contains("the environment variable JWT_SECRET is not set"), "{said}");
}

#[test]
fn smallest() {
    let upstream = Upstream::start();
    let gateway = example("smallest.yaml", &[("http://127.0.0.1:3001", &upstream)], &[]);
    assert_eq!(gateway.get("/any/thing").text(), "hello\n");
}

#[test]
fn identity() {
    let (upstream, issuer, key) = (Upstream::start(), Issuer::start(), Key::p256("k"));
    let url = issuer.url();
    let configuration = serde_json::json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
    issuer.says("/.well-known/openid-configuration", &configuration.to_string());
    issuer.says("/keys", &jwks(&[&key]));
    let servers = [("http://127.0.0.1:3001", &upstream), ("https://login.example.com", &issuer.server)];
    let gateway = example("identity.yaml", &servers, &[]);
    let claims = serde_json::json!({ "sub": "u", "iss": url, "aud": "api", "scope": "orders.read", "exp": now() + 60 });
    let get = |path: &str, field: (&str, &str)| gateway.request("GET", path, &[field]);
    let bearer = key.bearer(&claims);
    assert_eq!(get("/orders", ("Authorization", &bearer)).status, 200);
    assert_eq!(get("/orders", ("X-Api-Key", "one")).status, 200);
    assert_eq!(upstream.received()[1].header("x-user-id"), Some("nightly-report"));
    get("/admin", ("Authorization", &bearer)).is_problem(403, "insufficient_scope");
    get("/admin", ("X-Api-Key", "one")).is_problem(401, "token_missing");
}

#[test]
fn auth() {
    let upstream = Upstream::start();
    let gateway = example("auth.yaml", &[("http://127.0.0.1:3001", &upstream)], &[]);
    let claims = serde_json::json!({ "userId": "u-1", "tenant": "gold", "iss": "https://login.example.com", "aud": "api", "exp": now() + 60 });
    let bearer = |claims: &serde_json::Value| format!("Bearer {}", signed(claims));
    let get = |path: &str, authorization: &str| gateway.request("GET", path, &[("Authorization", authorization)]);
    assert_eq!(get("/users", &bearer(&claims)).status, 200);
    let received = upstream.only();
    assert_eq!((received.header("x-user-id"), received.header("x-tenant")), (Some("u-1"), Some("gold")));
    for (claim, value) in [("iss", "https://evil.example.com"), ("aud", "web")] {
        let mut other = claims.clone();
        other[claim] = value.into();
        get("/users", &bearer(&other)).is_problem(401, "token_invalid");
    }
    let mut late = claims.clone();
    late["exp"] = (now() - 2).into();
    assert_eq!(get("/users", &bearer(&late)).status, 200, "within the leeway");
    assert_eq!(gateway.get("/public").status, 200);
}

#[test]
fn browsers() {
    let upstream = Upstream::with(|_| {
        let fields = format!("Server: old/1.0\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n", 9_000);
        Reply::Bytes(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{}", "a".repeat(9_000)).into_bytes())
    });
    let gateway = example("browsers.yaml", &[("http://127.0.0.1:3001", &upstream)], &[]);
    const ALLOWED: &str = "access-control-allow-origin";
    let page = ("Origin", "https://a.example.org");
    let asked = gateway.request("OPTIONS", "/api", &[page, ("Access-Control-Request-Method", "POST")]);
    assert_eq!((asked.status, asked.header(ALLOWED)), (204, Some(page.1)));
    let refused = gateway.request("GET", "/api", &[page]);
    refused.is_problem(401, "token_missing");
    assert_eq!((refused.header(ALLOWED), refused.header("x-frame-options")), (Some(page.1), Some("DENY")));
    let catalogue = gateway.request("GET", "/catalogue", &[page, ("Accept-Encoding", "br")]);
    assert_eq!((catalogue.header(ALLOWED), catalogue.header("content-encoding")), (Some("*"), Some("br")));
    assert!(catalogue.body.len() < 100 && catalogue.header("server").is_none(), "{catalogue:?}");
    let internal = gateway.request("GET", "/internal", &[page]);
    assert_eq!((internal.status, internal.header(ALLOWED), internal.header("x-frame-options")), (200, None, None));
}

#[test]
fn rate_limit() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = example("rate-limit.yaml", &[("http://127.0.0.1:3001", &upstream)], &[("REDIS_URL", &redis.url())]);
    let passed = |path: &str| (0..8).filter(|_| gateway.get(path).status == 200).count();
    assert_eq!((passed("/login"), passed("/users"), passed("/static")), (5, 8, 8));
    assert_eq!(passed("/search"), 3, "at once; then one a second");
    assert_eq!(gateway.get("/search").header("retry-after"), Some("1"));
    assert_eq!(gateway.get("/users").header("x-ratelimit-limit"), Some("100"));
    assert_eq!(redis.count("aegis:rl:{127.0.0.1}:/users"), 9);
    assert_eq!(gateway.get("/static").header("x-ratelimit-limit"), None);
}

#[test]
fn tenants() {
    let upstream = Upstream::with(|request| {
        let cost = if request.path() == "/query" { "999" } else { "1" };
        Reply::Bytes(format!("HTTP/1.1 200 OK\r\nX-Cost: {cost}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    });
    let gateway = example("tenants.yaml", &[("http://127.0.0.1:3001", &upstream)], &[]);
    let api = |user: &str, tenant: &str| {
        let token = signed(&serde_json::json!({ "userId": user, "tenant": tenant }));
        gateway.request("GET", "/api", &[("Authorization", &format!("Bearer {token}"))])
    };
    let policy = |tenant: &str| api(tenant, tenant).header("ratelimit-policy").unwrap().to_owned();
    assert_eq!(policy("iron"), "\"1s\";q=5;w=1, \"86400s\";q=1000;w=86400");
    assert_eq!(policy("gold"), "\"1s\";q=5;w=1, \"86400s\";q=100000;w=86400");
    assert_eq!(policy("internal"), "\"1s\";q=5;w=1");
    assert!((0..20).any(|_| api("hasty", "iron").status == 429));
    let statuses = |path: &str, count: usize| (0..count).map(|_| gateway.get(path).status).collect::<Vec<_>>();
    assert_eq!(
        (statuses("/reports", 1), statuses("/pages", 11), statuses("/reports", 1)),
        (vec![200], [vec![200; 10], vec![429]].concat(), vec![429],)
    );
    let query = || gateway.request("GET", "/query", &[("X-Client", "a")]).status;
    assert_eq!(query(), 200);
    crate::support::eventually("the cost to be counted", || (query() == 429).then_some(()));
    assert_eq!(statuses("/search", 5), [200; 5]);
    let stats = gateway.stats();
    let row = stats.iter().find(|row| row["path"] == "/search").unwrap();
    assert_eq!(row["rateLimit"]["rules"][0]["refused"], 2);
}

#[test]
fn breaker() {
    let bad = || Upstream::failing();
    let (a, b, events) = (bad(), bad(), bad());
    let targets = [("http://127.0.0.1:3001", &a), ("http://127.0.0.1:3002", &b), ("http://127.0.0.1:3003", &events)];
    let gateway = example("breaker.yaml", &targets, &[]);
    for _ in 0..4 {
        assert_eq!(gateway.get("/orders").status, 500);
    }
    let refused = gateway.get("/orders/export");
    refused.is_problem(503, "no_target_available");
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() <= 10);
    for _ in 0..6 {
        assert_eq!(gateway.get("/events").status, 500, "no breaker here");
    }
}

#[test]
fn upstreams() {
    let broken = Upstream::with(|request| match request.path() {
        "/health" => Reply::ok(),
        _ => Reply::status(503, "not now"),
    });
    let (b, c) = (Upstream::start(), Upstream::start());
    let targets = [("http://127.0.0.1:3001", &broken), ("http://127.0.0.1:3002", &b), ("http://127.0.0.1:3003", &c)];
    let gateway = example("upstreams.yaml", &targets, &[]);
    for _ in 0..20 {
        assert_eq!(gateway.get("/catalogue").status, 200, "another instance answers");
    }
    let row = &gateway.stats()[0];
    let is_known = row["state"] == "OPEN" && row["retried"].as_u64() >= Some(3) && row["health"]["state"] == "HEALTHY";
    assert!(is_known && row["concurrencyLimit"] == 200, "{row}");
    assert_eq!(gateway.request("POST", "/payments", &[("Content-Length", "0")]).status, 200);
    let carts = |upstream: &Upstream| upstream.received().iter().filter(|request| request.path() == "/carts").count();
    for _ in 0..6 {
        assert_eq!(gateway.request("GET", "/carts", &[("Cookie", "session=7")]).status, 200);
    }
    assert!([carts(&b), carts(&c)].contains(&6), "{} {}", carts(&b), carts(&c));
}

#[test]
fn canary() {
    let (stable, other, canary, next) = (Upstream::start(), Upstream::start(), Upstream::start(), Upstream::start());
    let targets = [
        ("http://127.0.0.1:3001", &stable),
        ("http://127.0.0.1:3002", &other),
        ("http://127.0.0.1:3003", &canary),
        ("http://127.0.0.1:3004", &next),
    ];
    let gateway = example("canary.yaml", &targets, &[]);
    let mut connection = gateway.connect();
    for _ in 0..300 {
        assert!(connection.request("GET", "/users", &[]).header("set-cookie").is_some());
    }
    let met = canary.received().len();
    assert!((1..45).contains(&met), "{met} of 300");
    for _ in 0..20 {
        assert_eq!(connection.request("GET", "/users", &[("Cookie", "track=canary")]).header("set-cookie"), None);
    }
    assert_eq!(canary.received().len(), met + 20);
    crate::support::eventually("copies", || (next.received().len() >= 10).then_some(()));
}

#[test]
fn routing() {
    let (tenants, api) = (Upstream::start(), Upstream::start());
    let gateway = example("routing.yaml", &[("http://127.0.0.1:3001", &tenants), ("http://127.0.0.1:3002", &api)], &[]);
    let ask = |method: &str, host: &str, target: &str, fields: &[(&str, &str)]| {
        gateway.request(method, target, &[&[("Host", host), ("Content-Length", "0")], fields].concat())
    };
    let moved = ask("GET", "www.shop.example", "/a?b", &[]);
    assert_eq!((moved.status, moved.header("location")), (308, Some("https://shop.example/a?b")));
    assert_eq!(ask("GET", "toys.shop.example", "/api", &[]).status, 200);
    assert_eq!(ask("GET", "toys.shop.example", "/office/x", &[]).status, 404);
    assert_eq!(tenants.only().path(), "/api");
    let next = [("X-Api-Version", "2")];
    assert_eq!(ask("GET", "shop.example", "/api/orders/7", &[]).status, 200);
    assert_eq!(ask("GET", "shop.example", "/api/orders/7", &next).status, 200);
    assert_eq!(ask("POST", "shop.example", "/api/orders", &next).status, 200);
    let paths: Vec<String> = api.received().iter().map(|request| request.path().to_owned()).collect();
    assert_eq!(paths, ["/orders/7", "/v2/orders/7", "/orders"]);
}

#[test]
fn json_log() {
    let upstream = Upstream::start();
    let named = upstream.url().replace("127.0.0.1", "localhost");
    assert!(named.contains("localhost"));
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("conf/examples/json-log.yaml");
    let text = fs::read_to_string(file).unwrap();
    let text = text
        .replace("http://localhost:3001", &named)
        .replace("127.0.0.1:8000, \"[::1]:8000\"", "127.0.0.1:0, \"[::1]:0\"");
    let command = crate::support::aegis(&["run", "-c", "aegis.yaml"]);
    let directory = command.get_current_dir().unwrap().to_owned();
    fs::write(directory.join("aegis.yaml"), text).unwrap();
    let gateway = Gateway::spawn(command);
    assert_eq!(gateway.stderr().matches("listening on").count(), 2);
    gateway.request("GET", "/x", &[("X-Request-ID", "in-json")]);
    crate::support::eventually("the line in access.log", || {
        let text = fs::read_to_string(directory.join("access.log")).ok()?;
        let line = text.lines().find(|line| line.contains("in-json"))?;
        serde_json::from_str::<serde_json::Value>(line).ok().filter(|line| line["status"] == 200)
    });
}
