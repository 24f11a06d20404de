//! The access log.

use crate::support::{Gateway, Upstream, eventually, gateway};

#[test]
fn every_request_has_its_line() {
    let upstream = Upstream::start();
    let gateway = gateway(format!("routes: [{{ path: /users, target: {} }}]\n", upstream.url()));
    gateway.request("GET", "/users/7?token=secret", &[("X-Request-ID", "served")]);
    gateway.request("DELETE", "/nowhere", &[("X-Request-ID", "refused")]);
    let served = gateway.log_line("[served]");
    let (before, after) = served.split_once(" → 200 (").unwrap();
    assert_eq!(before, format!("[GET] {}/users/7", upstream.url()), "without the query");
    assert!(after.ends_with("ms) [served]"), "{served}");
    let refused = gateway.log_line("[refused]");
    assert!(
        refused.starts_with("[DELETE] /nowhere → 404 (") && refused.ends_with("ms) [refused] no_route"),
        "{refused}"
    );
    assert!(!gateway.stdout().contains("secret"));
}

#[test]
fn a_client_that_leaves_has_its_line_too() {
    let upstream = Upstream::with(|_| {
        crate::support::Reply::Talk(Box::new(|stream| {
            let _ = std::io::Read::read(stream, &mut [0; 1]);
        }))
    });
    let gateway = gateway(format!("routes: [{{ path: /, target: {} }}]\n", upstream.url()));
    let mut connection = gateway.connect();
    connection.send("GET /x HTTP/1.1\r\nHost: x\r\nX-Request-ID: gone\r\n\r\n");
    eventually("the request to arrive", || upstream.received().first().map(|_| ()));
    drop(connection);
    let line = gateway.log_line("[gone]");
    assert!(line.contains("/x → 499 ("), "{line}");
}

#[test]
fn a_client_that_leaves_after_a_hint_has_not_got_an_answer() {
    let upstream = Upstream::with(|_| {
        crate::support::Reply::Talk(Box::new(|stream| {
            std::io::Write::write_all(stream, b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").unwrap();
            let _ = std::io::Read::read(stream, &mut [0; 1]);
        }))
    });
    let gateway = gateway(format!("routes: [{{ path: /, target: {} }}]\n", upstream.url()));
    let mut connection = gateway.connect();
    connection.send("GET /x HTTP/1.1\r\nHost: x\r\nX-Request-ID: hinted\r\n\r\n");
    assert_eq!(connection.next_answer(false).status, 103);
    drop(connection);
    assert!(gateway.log_line("[hinted]").contains("→ 499 ("));
}

#[test]
fn the_client_of_a_line_is_the_one_behind_the_proxy() {
    let upstream = Upstream::start();
    let config = format!(
        "trustedProxies: 127.0.0.1\naccessLog: {{ format: json }}\nroutes: [{{ path: /, target: {} }}]\n",
        upstream.url()
    );
    let gateway = gateway(config);
    gateway.request("GET", "/", &[("X-Forwarded-For", "203.0.113.7"), ("X-Request-ID", "proxied")]);
    assert!(gateway.log_line("proxied").contains("\"client\":\"203.0.113.7\""));
}

#[test]
fn lines_can_be_json_in_a_file() {
    let upstream = Upstream::start();
    let file = crate::support::gateway::directory().join("access.log");
    let config = format!(
        "accessLog: {{ format: json, file: '{}' }}\nroutes: [{{ path: /, target: {} }}]\n",
        file.display(),
        upstream.url()
    );
    let gateway = Gateway::start(&config, &[]);
    gateway.request("GET", "/a%20b", &[("X-Request-ID", "json-1")]);
    let line = eventually("the line", || {
        std::fs::read_to_string(&file).ok()?.lines().find(|line| line.contains("json-1")).map(str::to_owned)
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["method"], &line["path"], &line["status"]), (&"GET".into(), &"/a%20b".into(), &200.into()));
    assert_eq!(
        (&line["target"], &line["client"], &line["attempts"]),
        (&upstream.url().into(), &"127.0.0.1".into(), &1.into())
    );
    assert!(line["durationMs"].as_f64().is_some_and(|ms| ms > 0.0) && line["time"].as_str().is_some());
    assert_eq!(gateway.stdout(), "");
}

/// A gateway with this for its access log, and a token in its queries.
fn logging(log: &str, upstream: &Upstream) -> Gateway {
    gateway(format!(
        "accessLog: {{ {log} }}\nroutes:\n  - {{ path: /users, target: {}, plugins: {{ auth: {{ tokenFrom: {{ query: t }} }} }} }}\n  \
         - {{ path: /public, target: {0} }}\n",
        upstream.url()
    ))
}

#[test]
fn lines_have_the_form_that_is_asked_for() {
    let upstream = Upstream::start();
    let format = r#"format: "{client} {user} \"{method} {path} {protocol}\" {status} {bytesReceived} {bytesSent} \"{header.user-agent}\" {host} {reason} {requestId}""#;
    let gateway = logging(format, &upstream);
    let target = format!("/users?t={}", crate::support::token("alice"));
    let agent = ("User-Agent", "a \"quoted\" agent");
    gateway.request("GET", &target, &[agent, ("X-Request-ID", "formed"), ("Host", "api.example.com")]);
    let line = gateway.log_line("formed");
    let expected = "127.0.0.1 alice \"GET /users HTTP/1.1\" 200 0 6 \"a \\u{22}quoted\\u{22} agent\" api.example.com forwarded formed";
    assert_eq!(line, expected);
    gateway.raw("POST /public HTTP/1.1\r\nHost: x\r\nX-Request-ID: body\r\nContent-Length: 3\r\n\r\nabc");
    assert!(gateway.log_line("body").contains(" 200 3 6 "), "{}", gateway.log_line("body"));
}

#[test]
fn users_and_clients_can_be_masked_and_queries_shown_without_their_values() {
    let upstream = Upstream::start();
    let token = crate::support::token("alice");
    let target = format!("/users?page=2&t={token}&name=secret");
    for (log, query) in [
        ("format: json, mask: [client, user], query: names", Some("page=***&name=***")),
        ("format: json, mask: [client, user], query: full", Some("page=2&name=secret")),
        ("format: json, mask: [client, user]", None),
    ] {
        let gateway = logging(log, &upstream);
        gateway.request("GET", &target, &[("X-Request-ID", "one")]);
        gateway.request("GET", &target, &[("X-Request-ID", "two")]);
        let line = |id: &str| serde_json::from_str::<serde_json::Value>(&gateway.log_line(id)).unwrap();
        let (one, two) = (line("\"one\""), line("\"two\""));
        assert_eq!((one["query"].as_str(), &one["client"]), (query, &"127.0.0.0".into()), "{log}: {one}");
        let user = one["user"].as_str().unwrap();
        assert!(user.starts_with("user-") && one["user"] == two["user"], "{one}");
        assert_eq!((&one["reason"], &one["bytesSent"]), (&"forwarded".into(), &6.into()));
        assert!(!gateway.stdout().contains("alice") && !gateway.stdout().contains(&token));
    }
    let gateway = logging("query: names", &upstream);
    gateway.request("GET", "/public?a=secret", &[("X-Request-ID", "text")]);
    assert!(gateway.log_line("text").starts_with(&format!("[GET] {}/public?a=*** → 200 ", upstream.url())));
}

#[test]
fn of_what_went_well_some_lines_are_enough() {
    let upstream = Upstream::start();
    let gateway = logging("sample: 10%", &upstream);
    let mut connection = gateway.connect();
    for _ in 0..1_000 {
        assert_eq!(connection.request("GET", "/public", &[]).status, 200);
    }
    for _ in 0..20 {
        connection.request("GET", "/nowhere", &[]);
    }
    let count = |part: &str| gateway.stdout().lines().filter(|line| line.contains(part)).count();
    eventually("the lines", || (count("/nowhere → 404") == 20).then_some(()));
    assert!((50..170).contains(&count("/public → 200")), "{}", count("/public → 200"));
}

#[test]
fn a_token_in_a_query_is_not_shown_whatever_becomes_of_its_request() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "accessLog: {{ format: json, query: full }}\nroutes:\n  \
         - {{ path: /users, methods: GET, target: {target}, plugins: {{ auth: {{ tokenFrom: {{ query: t }}, requireScopes: read }} }} }}\n  \
         - {{ path: /far, target: {target}, plugins: {{ ipDeny: 127.0.0.1, auth: {{ tokenFrom: {{ query: t }} }} }} }}\n",
        target = upstream.url()
    ));
    let token = crate::support::token("alice");
    for (number, (method, target, status)) in [
        ("GET", format!("/users?x=1&t={token}"), 403),
        ("GET", format!("/users?x=1&t={token}&t={token}"), 401),
        ("POST", format!("/users?x=1&t={token}"), 405),
        ("GET", format!("/far?x=1&t={token}"), 403),
        ("GET", format!("/nowhere?x=1&t={token}"), 404),
        ("GET", format!("/users/%zz?x=1&t={token}"), 400),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("refused-{number}");
        assert_eq!(gateway.request(method, &target, &[("X-Request-ID", &id)]).status, status, "{target}");
        let line = gateway.log_line(&id);
        assert!(line.contains("\"query\":\"x=1\"") && !line.contains(&token), "{line}");
    }
}

#[test]
fn no_line_has_a_method_of_any_length_or_what_steers_a_terminal() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "admin: {{ listen: 127.0.0.1:0 }}\naccessLog: {{ format: json }}\nroutes: [{{ path: /, target: {} }}]\n",
        upstream.url()
    ));
    let long = "M".repeat(20_000);
    gateway.raw(format!("{long} / HTTP/1.1\r\nHost: x\r\nX-Request-ID: long\r\nConnection: close\r\n\r\n"));
    let line = gateway.log_line("long");
    assert!(line.len() < 1_000, "{} bytes", line.len());
    let explained = gateway.operate("GET", "/explain?request_id=long", &[]);
    assert!(explained.status == 200 && explained.body.len() < 4_000, "{} bytes", explained.body.len());
    gateway.raw("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: a\r\nX-Request-ID: odd\r\nHost: \u{9b}2J\u{202e}\u{85}\r\nConnection: close\r\n\r\n");
    gateway.raw("GET /\u{9b}31m\u{202e}\u{85} HTTP/1.1\r\nHost: x\r\nX-Request-ID: odder\r\nConnection: close\r\n\r\n");
    gateway.raw("GET / HTTP/1.1\r\nHost: x\u{9b}2J\r\nX-Request-ID: oddest\r\nConnection: close\r\n\r\n");
    gateway.get("/last");
    gateway.log_line("/last");
    assert!(gateway.stdout().is_ascii(), "{}", gateway.stdout());
}
