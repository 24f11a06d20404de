//! Whose pages a browser lets read answers.

use crate::support::{Gateway, Received, Reply, Response, Upstream, curl, gateway, nobody, token};

/// A gateway with this under `cors`, and more beside it, in front of an upstream that has a mind of its own.
fn allowing(upstream: &Upstream, cors: &str, more: &str) -> Gateway {
    gateway(format!(
        "h2c: true\nroutes: [{{ path: /, target: {}, plugins: {{ cors: {cors}{more} }} }}]\n",
        upstream.url()
    ))
}

fn opinionated() -> Upstream {
    Upstream::with(|_: &Received| {
        let own = "access-control-allow-origin: *\r\nAccess-Control-Allow-Credentials: true\r\naccess-control-allow-methods: X\r\naccess-control-allow-headers: X\r\naccess-control-expose-headers: X\r\naccess-control-max-age: 1\r\nVary: Accept\r\n";
        Reply::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{own}\r\nok").into_bytes())
    })
}

fn preflight(gateway: &Gateway, origin: &str, more: &[(&str, &str)]) -> Response {
    let asked = [&[("Origin", origin), ("Access-Control-Request-Method", "PUT")], more].concat();
    gateway.request("OPTIONS", "/a", &asked)
}

fn from(gateway: &Gateway, origin: &str) -> Response {
    gateway.request("GET", "/a", &[("Origin", origin)])
}

/// What an answer says of it, without `access-control-`.
fn said(answer: &Response) -> Vec<(&str, &str)> {
    let own = answer.headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("access-control-")?, value)));
    let mut own: Vec<_> = own.map(|(name, value)| (name, value.as_str())).collect();
    own.sort_unstable();
    own
}

const APP: &str = "https://app.example.com";
const ONE: &str = "{ origins: 'https://app.example.com' }";
const PREFLIGHT: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

#[test]
fn a_preflight_is_answered_before_anybody_asks_for_a_token_or_counts() {
    let upstream = Upstream::start();
    let more = ", auth: true, rateLimit: { max: 1, window: 60 }";
    let gateway = allowing(&upstream, ONE, more);
    let mut connection = gateway.connect();
    for _ in 0..3 {
        let asked = [("Origin", APP), ("Access-Control-Request-Method", "PUT"), ("X-Request-Id", "p1")];
        let answer = connection.request("OPTIONS", "/a", &asked);
        assert_eq!(answer.status, 204);
        let expected = [
            ("allow-headers", "authorization, content-type"),
            ("allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE"),
            ("allow-origin", APP),
            ("max-age", "600"),
        ];
        assert_eq!(said(&answer), expected);
        assert_eq!((answer.header("vary"), answer.header("x-request-id")), (Some(PREFLIGHT), Some("p1")));
        for name in ["content-length", "content-type", "transfer-encoding", "x-gateway-error", "x-ratelimit-limit"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
    assert!(gateway.log_line("[OPTIONS]").contains("/a → 204"));
    let told = crate::support::gateway(format!(
        "accessLog: {{ format: '{{path}} {{status}} {{reason}}' }}\nroutes: [{{ path: /, target: {}, plugins: {{ cors: {ONE} }} }}]\n",
        upstream.url()
    ));
    preflight(&told, APP, &[]);
    assert_eq!(told.log_line("/a 204"), "/a 204 gateway");
    // What is no preflight is a request.
    for headers in [&[("Origin", APP)][..], &[("Access-Control-Request-Method", "PUT")]] {
        gateway.request("OPTIONS", "/a", headers).is_problem(401, "token_missing");
    }
    gateway
        .request("GET", "/a", &[("Origin", APP), ("Access-Control-Request-Method", "PUT")])
        .is_problem(401, "token_missing");
    assert!(upstream.received().is_empty());
    let stats = gateway.stats();
    assert_eq!(stats[0]["requests"], 0, "{stats:?}");
}

#[test]
fn answers_say_it_whoever_gives_them_in_place_of_what_the_upstream_says() {
    let upstream = opinionated();
    let gateway = allowing(&upstream, ONE, ", auth: true, rateLimit: { max: 1, window: 60 }");
    let bearer = format!("Bearer {}", token("u"));
    let expected = [("allow-origin", APP)];
    for (headers, status, vary) in [
        (&[("Origin", APP)][..], 401, "Origin"),
        (&[("Origin", APP), ("Authorization", &bearer)], 200, "Accept, Origin"),
        (&[("Origin", APP), ("Authorization", &bearer)], 429, "Origin"),
    ] {
        let answer = gateway.request("GET", "/a", headers);
        assert_eq!((answer.status, said(&answer), answer.header("vary")), (status, expected.to_vec(), Some(vary)));
    }
    let away = gateway_away();
    let refused = from(&away, APP);
    refused.is_problem(502, "upstream_connect_failed");
    assert_eq!((said(&refused), refused.header("vary")), (expected.to_vec(), Some("Origin")));
    let refused = from(&away, APP);
    refused.is_problem(503, "no_target_available");
    assert_eq!(said(&refused), expected);
}

fn gateway_away() -> Gateway {
    gateway(format!(
        "defaults: {{ breaker: {{ failures: 1 }}, plugins: {{ cors: {ONE} }} }}\nroutes: [{{ path: /, target: 'http://{}' }}]\n",
        nobody()
    ))
}

#[test]
fn strangers_are_served_and_told_nothing() {
    let upstream = opinionated();
    let origins = "{ origins: [https://app.example.com, 'https://*.example.org', 'http://localhost:3000'] }";
    let gateway = allowing(&upstream, origins, "");
    for (origin, known) in [
        (APP, true),
        ("http://localhost:3000", true),
        ("https://a.b.example.org", true),
        ("https://example.org", false),
        ("https://example.org.evil.com", false),
        ("https://evilexample.org", false),
        ("https://app.example.com:8443", false),
        ("http://app.example.com", false),
        ("https://APP.example.com", false),
        ("null", false),
        ("", false),
        ("https://app.example.com, https://app.example.com", false),
    ] {
        let told = if known { vec![("allow-origin", origin)] } else { Vec::new() };
        let answer = from(&gateway, origin);
        assert_eq!((answer.status, said(&answer)), (200, told), "{origin}");
        assert_eq!(answer.header("vary"), Some("Accept, Origin"));
        let answer = preflight(&gateway, origin, &[]);
        assert_eq!((answer.status, !said(&answer).is_empty()), (204, known), "{origin}");
        assert_eq!(answer.header("vary"), Some(PREFLIGHT));
    }
    let twice = gateway.request("GET", "/a", &[("Origin", APP), ("Origin", APP)]);
    assert_eq!((twice.status, said(&twice)), (200, Vec::new()));
    let none = gateway.get("/a");
    assert_eq!((said(&none), none.header("vary")), (Vec::new(), Some("Accept, Origin")));
    assert_eq!(upstream.received().len(), 14);
    assert_eq!(upstream.received()[0].header("origin"), Some(APP));
}

#[test]
fn everybody_is_told_the_same_where_everybody_may() {
    let upstream = opinionated();
    let gateway = allowing(&upstream, "{ origins: '*', exposeHeaders: [x-request-id, X-Plan], maxAge: 1h }", "");
    for headers in [&[][..], &[("Origin", "null")], &[("Origin", "https://any.test")]] {
        let answer = gateway.request("GET", "/a", headers);
        assert_eq!(said(&answer), [("allow-origin", "*"), ("expose-headers", "x-request-id, x-plan")]);
        assert_eq!(answer.header("vary"), Some("Accept"));
    }
    let answer = preflight(&gateway, "https://any.test", &[]);
    assert!(
        said(&answer).contains(&("allow-origin", "*")) && said(&answer).contains(&("max-age", "3600")),
        "{answer:?}"
    );
    let null = allowing(&upstream, "{ origins: ['null', https://a.test] }", "");
    assert_eq!(
        (said(&from(&null, "null")), said(&from(&null, "https://b.test"))),
        (vec![("allow-origin", "null")], vec![])
    );
}

#[test]
fn with_credentials_everything_is_named() {
    let upstream = opinionated();
    let gateway = allowing(
        &upstream,
        "{ origins: 'https://*.example.com', methods: '*', headers: '*', credentials: true, maxAge: 0 }",
        "",
    );
    let answer = from(&gateway, APP);
    assert_eq!(said(&answer), [("allow-credentials", "true"), ("allow-origin", APP)]);
    let answer = preflight(&gateway, APP, &[("Access-Control-Request-Headers", "x-one,X-Two")]);
    let expected = [
        ("allow-credentials", "true"),
        ("allow-headers", "x-one,X-Two"),
        ("allow-methods", "PUT"),
        ("allow-origin", APP),
        ("max-age", "0"),
    ];
    assert_eq!(said(&answer), expected);
    let long = vec!["x-long"; 1000].join(",");
    for odd in ["x one", "<script>", "x,,y", &long] {
        let answer = preflight(&gateway, APP, &[("Access-Control-Request-Headers", odd)]);
        assert!(!said(&answer).iter().any(|(name, _)| *name == "allow-headers"), "{odd}: {answer:?}");
    }
    for odd in ["TRACE", "CONNECT", "a b", "FROB"] {
        let asked = [("Origin", APP), ("Access-Control-Request-Method", odd)];
        let answer = gateway.request("OPTIONS", "/a", &asked);
        assert!(!said(&answer).iter().any(|(name, _)| *name == "allow-methods"), "{odd}: {answer:?}");
    }
    let few = allowing(&upstream, "{ origins: 'https://*.example.com', methods: [], headers: [x-one, X-Two] }", "");
    let answer = preflight(&few, APP, &[]);
    assert_eq!(said(&answer), [("allow-headers", "x-one, x-two"), ("allow-origin", APP), ("max-age", "600")]);
}

#[test]
fn over_http_2_it_is_the_same() {
    let upstream = opinionated();
    let gateway = allowing(&upstream, ONE, ", ipDeny: 192.0.2.1");
    let ask = |args: &[&str]| {
        let url = format!("http://{}/a", gateway.address);
        curl(&[&["--http2-prior-knowledge", "-H", "Origin: https://app.example.com", &url], args].concat())
    };
    let answer = ask(&["-X", "OPTIONS", "-H", "Access-Control-Request-Method: DELETE"]);
    assert_eq!((answer.status, answer.version.as_str(), answer.body.as_str()), (204, "2", ""), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, POST, PUT, PATCH, DELETE"));
    assert_eq!((answer.header("vary"), answer.header("content-length")), (Some(PREFLIGHT), None));
    let answer = ask(&[]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(APP)));
    assert_eq!((answer.header("access-control-allow-credentials"), answer.body.as_str()), (None, "ok"));
}
