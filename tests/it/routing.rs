//! Which route takes a request, and by what it is known.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::support::{Gateway, Received, Redis, Reply, Response, Upstream, curl, eventually, gateway};

/// Has the config replaced and read.
fn reload(gateway: &Gateway, config: &str) {
    let generation = gateway.stats()[0]["configGeneration"].as_u64().unwrap();
    gateway.configure(config);
    gateway.signal(libc::SIGHUP);
    eventually("the config to be read", || {
        (gateway.stats()[0]["configGeneration"].as_u64().unwrap() > generation).then_some(())
    });
}

#[test]
fn a_route_that_is_elsewhere_keeps_its_counts_and_limits_by_its_name() {
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let named = |name: &str, path: &str| {
        let limit = "rateLimit: { max: 3, window: 60 }";
        format!("  - {{ name: {name}, path: {path}, targets: {}, plugins: {{ {limit} }} }}\n", upstream.url())
    };
    let config = |routes: &[String]| format!("redis: {{ url: {} }}\nroutes:\n{}", redis.url(), routes.concat());
    let gateway = gateway(config(&[named("one", "/a"), named("two", "/b")]));
    assert_eq!([(); 2].map(|()| gateway.get("/a").status), [200; 2]);
    assert_eq!(redis.count("aegis:rl:{127.0.0.1}:one"), 2, "the name is in the key");

    reload(&gateway, &config(&[named("two", "/a"), named("one", "/v2/a")]));
    assert_eq!([(); 2].map(|()| gateway.get("/v2/a").status), [200, 429], "two of three are used up");
    assert_eq!([(); 3].map(|()| gateway.get("/a").status), [200; 3], "another one has the path, and has not been used");
    let rows = eventually("all to be counted", || {
        let rows = gateway.stats();
        (rows[0]["route"]["requests"] == 3 && rows[1]["route"]["requests"] == 4).then_some(rows)
    });
    assert_eq!((&rows[0]["route"]["name"], &rows[1]["route"]["name"]), (&json!("two"), &json!("one")));
    assert_eq!((&rows[1]["path"], &rows[1]["rateLimit"]["allowed"]), (&json!("/v2/a"), &json!(3)));
    gateway.said("routes: two changed; routes: one changed; routes: in another order");
}

#[test]
fn lines_of_the_log_say_which_route_it_was_where_its_path_does_not() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "routes: [{{ name: own, path: /a, targets: {0} }}, {{ path: /b, targets: {0} }}]\n",
        upstream.url()
    ));
    for (path, id) in [("/a/1", "named"), ("/b/1", "plain")] {
        gateway.request("GET", path, &[("X-Request-ID", id)]);
    }
    assert!(gateway.log_line("[named]").ends_with("ms) [named] route=own"));
    assert!(gateway.log_line("[plain]").ends_with("ms) [plain]"));
}

/// One line of a table in the docs.
struct Line {
    request: String,
    outcome: String,
}

/// The examples of the page: each config, and the lines of the table that follows it.
fn examples() -> Vec<(String, Vec<Line>)> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/routing.md")).unwrap();
    let mut examples = Vec::new();
    for part in page.split("```yaml\n").skip(1) {
        let (config, after) = part.split_once("```\n").unwrap();
        let table = after.trim_start().split("\n\n").find(|block| block.starts_with("| request |"));
        let cells = |line: &str| {
            let (request, outcome) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
            Some(Line { request: request.to_owned(), outcome: outcome.to_owned() })
        };
        let lines: Vec<Line> = table.iter().flat_map(|table| table.lines().skip(2)).filter_map(cells).collect();
        assert!(!lines.is_empty(), "no requests for\n{config}");
        examples.push((config.to_owned(), lines));
    }
    examples
}

/// The parts of a cell that are code.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The targets that a config names.
fn targets(config: &str) -> BTreeSet<String> {
    let urls = config.split("http://").skip(1);
    urls.map(|rest| format!("http://{}", rest.split([',', ' ', '}', ']', '\n']).next().unwrap())).collect()
}

#[test]
fn every_example_of_the_docs_does_what_its_table_says() {
    let mut count = 0;
    for (mut config, lines) in examples() {
        let upstreams: Vec<(String, Upstream)> =
            targets(&config).into_iter().map(|url| (url, Upstream::with(answer))).collect();
        for (url, upstream) in &upstreams {
            config = config.replace(url, &upstream.url());
        }
        let gateway = gateway(&config);
        for Line { request, outcome } in &lines {
            let before: Vec<usize> = upstreams.iter().map(|(_, upstream)| upstream.received().len()).collect();
            let answer = send(&gateway, request);
            let arrived = upstreams.iter().zip(before).find_map(|((url, upstream), before)| {
                let received = upstream.received();
                let received = received.get(before)?;
                let prefix =
                    received.header("x-forwarded-prefix").map(|told| format!(", `X-Forwarded-Prefix: {told}`"));
                Some(format!("`{url}{}`{}", received.path(), prefix.unwrap_or_default()))
            });
            let said = arrived.unwrap_or_else(|| told(&answer));
            assert_eq!(&said, outcome, "{request} with\n{config}");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// Well, and no body to `HEAD`.
fn answer(request: &Received) -> Reply {
    match request.line.starts_with("HEAD ") {
        true => Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n".to_vec()),
        false => Reply::ok(),
    }
}

/// Sends what a cell of the table says: `GET http://host/path` with `name: value`.
fn send(gateway: &Gateway, request: &str) -> Response {
    let parts = code(request);
    let (method, url) = parts[0].split_once(" http://").unwrap();
    let (host, target) = url.split_at(url.find('/').unwrap());
    let fields: Vec<(&str, &str)> = parts[1..].iter().map(|field| field.split_once(": ").unwrap()).collect();
    gateway.request(method, target, &[&[("Host", host)], &fields[..]].concat())
}

/// An answer of the gateway's own, as the table has it.
fn told(answer: &Response) -> String {
    let code = answer.header("x-gateway-error").map_or_else(String::new, |code| format!(" {code}"));
    let mut told = format!("`{}{code}`", answer.status);
    for name in ["Allow", "Location", "Content-Type"] {
        let value = answer.header(&name.to_lowercase()).filter(|value| *value != "application/problem+json");
        told += &value.map_or_else(String::new, |value| format!(", `{name}: {value}`"));
    }
    told
}

/// Routes of three kinds for a host, and one for all others.
fn by_host(upstream: &Upstream, extra: &str) -> Gateway {
    gateway(format!(
        "{extra}routes:
  - {{ name: own, path: /, host: api.example.com, target: {0}, plugins: {{ auth: true }} }}
  - {{ name: below, path: /, host: '*.example.com', target: {0}, plugins: {{ auth: true }} }}
  - {{ name: all, path: /open, target: {0} }}
",
        upstream.url()
    ))
}

#[test]
fn the_authority_of_http2_and_of_absolute_targets_is_the_host() {
    let upstream = Upstream::start();
    let gateway = by_host(&upstream, "h2c: true\n");
    let to = format!("::{}", gateway.address);
    let ask = |url: &str| curl(&["--http2-prior-knowledge", "--connect-to", &to, url]);
    for (url, status) in [
        ("http://api.example.com/open", 401),
        ("http://API.Example.com./open", 401),
        ("http://x.example.com:81/open", 401),
        ("http://example.com/open", 200),
        ("http://example.com/", 404),
    ] {
        let answer = ask(url);
        assert_eq!((answer.status, &*answer.version), (status, "2"), "{url}: {answer:?}");
        let host = url.split('/').nth(2).unwrap();
        let absolute = gateway.raw(format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(absolute.status, status, "{url}");
        let old = gateway.raw(format!("GET {url} HTTP/1.0\r\n\r\n"));
        assert_eq!(old.status, status, "{url}, without Host");
    }
    let two = gateway.raw("GET http://example.com/open HTTP/1.1\r\nHost: api.example.com\r\n\r\n");
    assert_eq!(two.status, 400);
    let none = gateway.raw("GET /open HTTP/1.0\r\n\r\n");
    assert_eq!(none.status, 200, "a route for all hosts is for none, too");
}

#[test]
fn no_spelling_of_a_host_leads_around_its_route() {
    let upstream = Upstream::start();
    let gateway = by_host(&upstream, "");
    for (host, status) in [
        ("api.example.com", 401),
        ("aPi.eXample.cOm", 401),
        ("api.example.com.", 401),
        ("api.example.com:1", 401),
        ("api.example.com.:65535", 401),
        ("other.api.example.com", 401),
        (" api.example.com ", 401),
        ("api.example.com..", 400),
        (".api.example.com", 400),
        ("api..example.com", 400),
        ("api.example.com:", 400),
        ("api.example.com:x", 400),
        ("api.example.com:+80", 400),
        ("api.example.com:65536", 400),
        ("api.example.com:80:80", 400),
        ("api.example.com,x", 400),
        ("api.example.com x", 400),
        ("x@api.example.com", 400),
        ("api.example.com/", 400),
        ("api.example.com%2e", 400),
        ("api%2eexample.com", 400),
        ("api.example.com\\x", 400),
        ("api.example.com\u{3002}", 400),
        ("\u{430}pi.example.com", 400),
        ("[api.example.com]", 400),
        ("xn--api-example.com", 404),
        ("example.com", 404),
        ("api.example.com.evil.test", 404),
        ("evilexample.com", 404),
    ] {
        let answer = gateway.raw(format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
    let forwarded = [("Host", "gateway.test"), ("X-Forwarded-Host", "api.example.com"), ("X-Host", "api.example.com")];
    assert_eq!(gateway.request("GET", "/open", &forwarded).status, 200, "the host is what the request is for");
    assert_eq!(upstream.only().header("x-forwarded-host"), Some("gateway.test"));
}

#[test]
fn a_path_that_reads_as_another_routes_is_refused_whatever_tells_the_routes_apart() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /, target: {0} }}\n  - {{ path: /a/b, host: x.example, target: {0} }}\n  - {{ path: /m/b, methods: PUT, target: {0} }}\n",
        upstream.url()
    ));
    for (method, host, path, status) in [
        ("GET", "x.example", "/a%2Fb", 400),
        ("GET", "y.example", "/a%2Fb", 200),
        ("GET", "x.example", "/a;v/b", 400),
        ("PUT", "y.example", "/m%2fb", 400),
        ("GET", "y.example", "/m%2fb", 200),
    ] {
        let answer = gateway.request(method, path, &[("Host", host), ("Content-Length", "0")]);
        assert_eq!(answer.status, status, "{method} {host}{path}");
    }
}

#[test]
fn the_path_that_was_asked_for_decides_and_another_is_sent() {
    let (upstream, shadow) = (Upstream::start(), Upstream::start());
    let gateway = gateway(format!(
        "trustedProxies: 127.0.0.1
auth: {{ jwt: {{ secret: '${{JWT_SECRET}}' }} }}
routes:
  - path: /api
    stripPrefix: true
    target: {0}
    mirror: {{ target: {1} }}
    plugins: {{ auth: {{ tokenFrom: {{ query: t }}, forwardToken: false }} }}
  - {{ path: /, target: {0} }}
",
        upstream.url(),
        shadow.url()
    ));
    let token = crate::support::token("u");
    let fields = [("X-Request-ID", "sent"), ("X-Forwarded-Prefix", "/outer")];
    assert_eq!(gateway.request("GET", &format!("/api/a%20b?x=1&t={token}"), &fields).status, 200);
    let received = upstream.only();
    assert_eq!((received.path(), received.header("x-forwarded-prefix")), ("/a%20b?x=1", Some("/outer, /api")));
    let copy = eventually("the copy", || shadow.received().pop());
    assert_eq!(copy.path(), "/a%20b?x=1");
    let line = gateway.log_line("[sent]");
    assert!(line.starts_with(&format!("[GET] {}/a%20b → 200 (", upstream.url())), "{line}");
    assert!(line.ends_with("[sent] asked=/api/a%20b"), "{line}");
    gateway.request("GET", "/api/x", &[]).is_problem(401, "token_missing");
    gateway.request("GET", "/x/../api/x", &[]).is_problem(401, "token_missing");
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn what_is_sent_again_or_by_http2_has_the_same_path() {
    let (resets, good) = (Upstream::with(|_| Reply::Reset(Vec::new())), Upstream::start());
    let gateway = gateway(format!(
        "h2c: true\nroutes: [{{ path: /a, rewrite: {{ regex: '/(b+)', replacement: '/$$1$$1' }}, targets: [{}, {}] }}]\n",
        resets.url(),
        good.url()
    ));
    let url = format!("http://{}/a/b/c?q", gateway.address);
    (0..4).for_each(|_| assert_eq!(curl(&["--http2-prior-knowledge", &url]).status, 200));
    let paths =
        |upstream: &Upstream| upstream.received().iter().map(|request| request.path().to_owned()).collect::<Vec<_>>();
    let all: Vec<String> = [paths(&resets), paths(&good)].concat();
    assert!(all.len() > 4 && all.iter().all(|path| path == "/a/bb/c?q"), "{all:?}");
}

#[test]
fn no_rewrite_can_be_talked_into_a_path_that_is_refused() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /cut, rewrite: {{ regex: x, replacement: '' }}, target: {0} }}\n  - {{ path: /strip, stripPrefix: true, target: {0} }}\n",
        upstream.url()
    ));
    for path in
        ["/cut/.x./a", "/cut/%x2e", "/cut/.x", "/cut/..x%2Fa", "/cut/%2x", "/cut/%x5c", "/cut/..;x/", "/cut/.x/"]
    {
        let answer = gateway.get(path);
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
    for (path, sent) in [
        ("/strip//a", "/a"),
        ("/strip/%2F/a", "/%2F/a"),
        ("/strip/./", "/"),
        ("/cut/x/x/a", "/cut/x/a"),
        ("/cut/x", "/cut/"),
    ] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        assert_eq!(upstream.received().last().unwrap().path(), sent);
    }
    assert!(gateway.get("/cut/.x").json()["detail"].as_str().unwrap().contains("as this route rewrites it"));
}

#[test]
fn a_preflight_is_answered_by_the_route_of_the_request_that_it_is_about() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "auth: {{ jwt: {{ secret: '${{JWT_SECRET}}' }} }}
routes:
  - path: /api
    methods: [PUT, GET]
    target: {0}
    plugins: {{ auth: true, cors: {{ origins: https://a.example }} }}
  - {{ path: /api, methods: DELETE, target: {0} }}
  - {{ path: /all, target: {0}, plugins: {{ cors: {{ origins: https://b.example }} }} }}
  - {{ path: /all, methods: OPTIONS, target: {0} }}
",
        upstream.url()
    ));
    let ask = |method: &str, path: &str, announced: &str| {
        let fields = [("Origin", "https://a.example"), ("Access-Control-Request-Method", announced)];
        gateway.request(method, path, &fields)
    };
    let answer = ask("OPTIONS", "/api/x", "PUT");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, Some("https://a.example")));
    for (method, path, announced, status) in [
        ("OPTIONS", "/api/x", "HEAD", 204),
        ("OPTIONS", "/api/x", "DELETE", 405),
        ("OPTIONS", "/api/x", "PATCH", 405),
        ("OPTIONS", "/api/x", "TRACE", 405),
        ("OPTIONS", "/api/x", "", 405),
        ("PUT", "/api/x", "DELETE", 401),
        ("OPTIONS", "/all", "GET", 204),
    ] {
        assert_eq!(ask(method, path, announced).status, status, "{method} {path} about {announced}");
    }
    assert!(upstream.received().is_empty());
    assert_eq!(gateway.request("OPTIONS", "/all", &[]).status, 200, "which is about nothing");
}

#[test]
fn a_route_that_answers_does_so_after_its_plugins_and_is_counted() {
    let gateway = gateway(
        "auth: { jwt: { secret: '${JWT_SECRET}' } }
h2c: true
defaults: { timeouts: { connect: 1s }, retry: { attempts: 3 }, plugins: { headers: { response: { set: { cache-control: max-age=60 } } } } }
routes:
  - path: /go
    redirect: { to: https://b.example/x, keepPath: true, keepQuery: true }
    plugins: { auth: { tokenFrom: { query: t }, forwardToken: false }, rateLimit: { max: 2, window: 60 } }
  - { name: down, path: /down, respond: { status: 503, body: 'Back soon.' } }
  - { path: /none, respond: { status: 204 } }
  - { path: /empty, methods: GET, respond: {} }
",
    );
    gateway.get("/go/a").is_problem(401, "token_missing");
    let token = crate::support::token("u");
    let gone = gateway.get(&format!("/go/a?x=1&t={token}&y"));
    assert_eq!((gone.status, gone.header("location")), (302, Some("https://b.example/x/a?x=1&y")), "without the token");
    assert_eq!((gone.header("content-length"), gone.header("cache-control")), (Some("0"), Some("max-age=60")));
    assert!(gone.header("x-request-id").is_some() && gone.header("x-ratelimit-remaining") == Some("1"));
    assert_eq!(gateway.get(&format!("/go?t={token}")).header("location"), Some("https://b.example/x"));
    gateway.get(&format!("/go?t={token}")).is_problem(429, "rate_limited");

    let mut connection = gateway.connect();
    for (method, path, status, body) in [
        ("GET", "/down/x", 503, "Back soon."),
        ("HEAD", "/down", 503, ""),
        ("GET", "/none", 204, ""),
        ("HEAD", "/empty", 200, ""),
        ("GET", "/empty", 200, ""),
        ("POST", "/empty", 405, "-"),
    ] {
        let answer = connection.request(method, path, &[("X-Request-ID", "answered")]);
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(body == "-" || answer.text() == body, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("content-length").is_none(), status == 204, "{method} {path}");
    }
    connection.send("POST /down HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!((connection.answer(false).status, connection.request("GET", "/none", &[]).status), (503, 204));
    let url = format!("http://{}/down", gateway.address);
    let curled = curl(&["--http2-prior-knowledge", &url]);
    assert_eq!((curled.status, &*curled.body, &*curled.version), (503, "Back soon.", "2"));

    let line = gateway.log_line("/down/x");
    assert!(line.starts_with("[GET] /down/x → 503 (") && line.ends_with("[answered] route=down"), "{line}");
    let rows = eventually("all to be counted", || {
        let rows = gateway.stats();
        (rows[1]["route"]["requests"] == 4).then_some(rows)
    });
    assert_eq!(
        (&rows[1]["path"], &rows[1]["targetUrl"], &rows[1]["state"]),
        (&json!("/down"), &json!(""), &json!("CLOSED"))
    );
    assert_eq!((&rows[1]["route"]["failed"], &rows[1]["route"]["upstreamErrors"]), (&json!(4), &json!(0)));
    assert_eq!((&rows[0]["route"]["requests"], &rows[0]["rateLimit"]["refused"]), (&json!(4), &json!(1)));
}

#[test]
fn no_request_leads_a_redirect_to_another_host() {
    let gateway = gateway(
        "routes:
  - { path: /, redirect: { to: /, keepPath: true, keepQuery: true } }
  - { path: /old, redirect: { to: https://b.example, keepPath: true, keepQuery: true } }
",
    );
    for (target, location) in [
        ("//evil.example/a", "/evil.example/a"),
        ("///evil.example", "/evil.example"),
        ("/.//evil.example", "/evil.example"),
        ("/x/..//evil.example", "/evil.example"),
        ("/%2Fevil.example", "/%2Fevil.example"),
        ("/?//evil.example", "/?//evil.example"),
        ("/old//evil.example", "https://b.example/evil.example"),
        ("/old/.evil.example", "https://b.example/.evil.example"),
        ("/old/@evil.example", "https://b.example/@evil.example"),
        ("/old?a=1%0d%0aX:%201", "https://b.example/?a=1%0d%0aX:%201"),
        ("/old?a='|{}^`", "https://b.example/?a='|{}^`"),
        ("http://gateway.test//evil.example", "/evil.example"),
    ] {
        assert_eq!(gateway.get(target).header("location"), Some(location), "{target}");
    }
    for target in ["/\\evil.example", "/old\\evil.example", "/old.evil.example/%00", "/%5C..%5Cevil"] {
        gateway.get(target).is_problem(400, "path_invalid");
    }
    let other =
        gateway.raw("GET //evil.example/ HTTP/1.1\r\nHost: gateway.test\r\nX-Forwarded-Host: evil.example\r\n\r\n");
    assert_eq!(other.header("location"), Some("/evil.example/"));
}
