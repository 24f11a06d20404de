//! Which route takes a request, and by what it is known.

use serde_json::json;

use crate::support::{Gateway, Redis, Upstream, curl, eventually, gateway};

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
