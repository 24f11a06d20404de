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
