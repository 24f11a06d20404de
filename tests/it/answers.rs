//! Routes that answer by themselves.

use serde_json::json;

use crate::support::{curl, eventually, gateway};

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
