//! What travels with a request, in both directions.

use std::io::Read;

use crate::support::{Gateway, Reply, Upstream, gateway, token};

fn protected(upstream: &Upstream) -> Gateway {
    gateway(format!(
        concat!(
            "auth: {{ jwt: {{ claimsToHeaders: {{ tenant: x-tenant }} }} }}\n",
            "routes:\n",
            "  - {{ path: /open, targets: {0} }}\n",
            "  - {{ path: /users, targets: {0}, plugins: {{ auth: true }} }}\n",
        ),
        upstream.url()
    ))
}

#[test]
fn the_request_id_of_a_client_is_kept_if_it_is_sane_and_replaced_if_not() {
    let upstream = Upstream::start();
    let gateway = protected(&upstream);
    let kept = gateway.request("GET", "/open", &[("X-Request-ID", "abc-123_x.Y")]);
    assert_eq!(kept.header("x-request-id"), Some("abc-123_x.Y"));
    assert_eq!(upstream.only().header("x-request-id"), Some("abc-123_x.Y"));
    assert!(gateway.log_line("abc-123_x.Y").contains("/open → 200 ("));
    for odd in ["a b", "", "a,b", "<script>", &"a".repeat(129)] {
        let replaced = gateway.request("GET", "/open", &[("X-Request-ID", odd)]);
        let id = replaced.header("x-request-id").unwrap().to_owned();
        assert!(uuid::Uuid::parse_str(&id).is_ok(), "{odd}: {id}");
        assert_eq!(upstream.received().last().unwrap().header("x-request-id"), Some(id.as_str()));
    }
    let twice = gateway.request("GET", "/open", &[("X-Request-ID", "a"), ("X-Request-ID", "b")]);
    assert!(uuid::Uuid::parse_str(twice.header("x-request-id").unwrap()).is_ok());
}

#[test]
fn an_answer_goes_on_as_it_is_but_for_how_names_are_spelled() {
    let upstream = Upstream::with(|_| {
        let answer = "HTTP/1.1 404 Gone Fishing\r\nCONTENT-length: 2\r\nSet-Cookie: a=1\r\nX-Odd-Name: x\r\n\
                      set-cookie: b=2\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\r\nno";
        Reply::Bytes(answer.into())
    });
    let gateway = protected(&upstream);
    let mut connection = gateway.connect();
    connection.send("GET /open HTTP/1.1\r\nHost: x\r\nX-Request-ID: id-7\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    connection.stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 404 Gone Fishing\r\n") && body == "no", "{answer}");
    let mut lines: Vec<&str> = head.lines().skip(1).filter(|line| !line.starts_with("Date")).collect();
    // Stable: values of one name stay in order.
    lines.sort_by_key(|line| line.split(':').next());
    let expected = ["Connection: close", "Content-Length: 2", "Set-Cookie: a=1", "Set-Cookie: b=2", "x-odd-name: x"];
    assert_eq!(lines, [&expected[..], &["x-request-id: id-7"]].concat());
}

#[test]
fn every_answer_carries_the_request_id() {
    let upstream = Upstream::start();
    let gateway = protected(&upstream);
    for target in ["/open", "/users", "/nowhere", "/%00", "/gateway/stats", "/gateway/livez", "/gateway/x"] {
        let response = gateway.request("GET", target, &[("X-Request-ID", "id-7")]);
        assert_eq!(response.header("x-request-id"), Some("id-7"), "{target}");
    }
}

#[test]
fn the_user_id_comes_from_the_token_and_from_nobody_else() {
    let upstream = Upstream::start();
    let gateway = protected(&upstream);
    let spoofs = [
        ("X-User-Id", "admin"),
        ("x_user_id", "admin"),
        ("X_User-Id", "admin"),
        ("X-Tenant", "gold"),
        ("x_tenant", "gold"),
        ("Connection", "x-user-id, x-request-id, x-tenant"),
    ];
    assert_eq!(gateway.request("GET", "/open", &spoofs).status, 200);
    let open = upstream.received().pop().unwrap();
    for name in ["x-user-id", "x_user_id", "x_user-id", "x-tenant", "x_tenant"] {
        assert_eq!(open.header(name), None, "{name} of a client arrived: {open:?}");
    }
    let bearer = format!("Bearer {}", token("u-42"));
    let mut with_token = spoofs.to_vec();
    with_token.push(("Authorization", &bearer));
    assert_eq!(gateway.request("GET", "/users", &with_token).status, 200);
    let users = upstream.received().pop().unwrap();
    assert_eq!(users.header("x-user-id"), Some("u-42"), "{users:?}");
    assert!(users.header("x-request-id").is_some());
    assert_eq!(users.header("x_user_id"), None);
}

#[test]
fn mapped_headers_are_taken_from_clients_even_if_no_route_looks_for_tokens() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "auth: {{ jwt: {{ claimsToHeaders: {{ tenant: x-tenant }} }} }}\nroutes: [{{ path: /, target: {} }}]\n",
        upstream.url()
    ));
    gateway.request("GET", "/", &[("X-Tenant", "gold"), ("X_Tenant", "gold"), ("X-User-Id", "admin")]);
    let received = upstream.only();
    assert_eq!(
        (received.header("x-tenant"), received.header("x_tenant"), received.header("x-user-id")),
        (None, None, None)
    );
}

#[test]
fn mapped_claims_travel_in_their_headers() {
    let upstream = Upstream::start();
    let gateway = protected(&upstream);
    let token = crate::support::signed(&serde_json::json!({ "sub": "s-1", "tenant": "gold" }));
    gateway.request("GET", "/users", &[("Authorization", &format!("Bearer {token}")), ("X-Tenant", "iron")]);
    let received = upstream.only();
    assert_eq!((received.header("x-user-id"), received.header("x-tenant")), (Some("s-1"), Some("gold")));
}

#[test]
fn end_to_end_headers_pass_and_hop_by_hop_headers_stay() {
    let upstream = Upstream::with(|_| {
        crate::support::Reply::Bytes(
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Answer: 1\r\nConnection: X-Internal\r\nX-Internal: secret\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok"
                .to_vec(),
        )
    });
    let gateway = protected(&upstream);
    let sent = [
        ("Accept", "text/plain"),
        ("Cookie", "a=1; b=2"),
        ("X-Custom", "1"),
        ("X-Drop", "1"),
        ("Connection", "X-Drop"),
        ("TE", "trailers"),
        ("Keep-Alive", "timeout=5"),
    ];
    let response = gateway.request("GET", "/open?q=1&r=%20", &sent);
    let received = upstream.only();
    assert_eq!(received.line, "GET /open?q=1&r=%20 HTTP/1.1");
    assert_eq!(received.header("host"), Some("gateway.test"));
    for (name, value) in [("accept", "text/plain"), ("cookie", "a=1; b=2"), ("x-custom", "1")] {
        assert_eq!(received.header(name), Some(value));
    }
    for name in ["x-drop", "te", "keep-alive", "connection"] {
        assert_eq!(received.header(name), None, "{name}");
    }
    assert_eq!(response.header("x-answer"), Some("1"));
    let cookies: Vec<_> =
        response.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, v)| v.as_str()).collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!((response.header("x-internal"), response.header("keep-alive")), (None, None));
}

#[test]
fn forwarding_headers_tell_the_truth_whatever_the_client_claims() {
    let upstream = Upstream::start();
    let gateway = protected(&upstream);
    let lies = [
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil"),
        ("X-Real-IP", "1.2.3.4"),
        ("Forwarded", "for=1.2.3.4"),
        ("x_forwarded_for", "1.2.3.4"),
    ];
    gateway.request("GET", "/open", &lies);
    let received = upstream.only();
    for (name, value) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("gateway.test")),
        ("x-real-ip", None),
        ("forwarded", None),
        ("x_forwarded_for", None),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
}

#[test]
fn a_connection_header_that_would_strip_what_the_upstream_relies_on_is_refused_before_it_costs_anything() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "routes: [{{ path: /, target: {}, plugins: {{ rateLimit: {{ max: 1, window: 60 }} }} }}]\n",
        upstream.url()
    ));
    let mut connection = gateway.connect();
    for names in ["X-Forwarded-For", "close, host", "\"x-forwarded-for\"", "a,b,c,d,e,f,g,h,i,j"] {
        let response = connection.request("GET", "/", &[("Connection", names)]);
        response.is_problem(400, "header_invalid");
        assert_eq!(response.header("x-ratelimit-remaining"), None);
        if names.starts_with("close") {
            connection = gateway.connect();
        }
    }
    assert_eq!(connection.request("GET", "/", &[]).status, 200);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_trusted_proxy_is_believed_and_continued() {
    let upstream = Upstream::start();
    let gateway =
        gateway(format!("trustedProxies: 127.0.0.0/8\nroutes: [{{ path: /, target: {} }}]\n", upstream.url()));
    let told =
        [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "api.example.com")];
    gateway.request("GET", "/", &told);
    let received = upstream.only();
    assert_eq!(received.header("x-forwarded-for"), Some("203.0.113.7, 127.0.0.1"));
    assert_eq!(received.header("x-forwarded-proto"), Some("https"));
    assert_eq!(received.header("x-forwarded-host"), Some("api.example.com"));
}
