//! Requests that no two servers would read alike, and what is no request at all.

use crate::support::gateway::open;
use crate::support::{Upstream, gateway};

#[test]
fn the_path_that_is_matched_is_the_path_that_is_forwarded() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    for (sent, arrived) in [
        ("/users", "/users"),
        ("/users/", "/users/"),
        ("/users/7?x=/../y", "/users/7?x=/../y"),
        ("/x/../users/7", "/users/7"),
        ("/x/%2e%2E/users", "/users"),
        ("//users//7", "/users/7"),
        ("/%75sers/%61", "/users/a"),
        ("/users/a%2fb", "/users/a%2Fb"),
        ("http://gateway.test/users/7", "/users/7"),
    ] {
        assert_eq!(gateway.get(sent).status, 200, "{sent}");
        assert_eq!(upstream.received().last().unwrap().path(), arrived);
    }
}

#[test]
fn what_servers_would_disagree_about_is_refused_and_the_connection_lives_on() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    for target in [
        "/users/%00",
        "/users/..;/x",
        "/users/%2f..",
        "/users/..%5cx",
        "/../users",
        "/users/\\..\\x",
        "/users/%zz",
        "/users/%0d%0ax",
        "*",
    ] {
        connection.request("GET", target, &[]).is_problem(400, "path_invalid");
    }
    for target in ["/nowhere", "/users-old", "/users/../nowhere", "/", "/gateway", "/gateway/../x"] {
        connection.request("GET", target, &[]).is_problem(404, "no_route");
    }
    for method in ["FOO", "TRACE", "get"] {
        let response = connection.request(method, "/users", &[]);
        response.is_problem(405, "method_not_allowed");
        assert!(response.header("allow").unwrap().contains("GET"));
    }
    connection.send("GET /users HTTP/1.1\r\n\r\n").answer(false).is_problem(400, "host_invalid");
    for host in ["", "a b", "a/b", "<x>"] {
        connection.request("GET", "/users", &[("Host", host)]).is_problem(400, "host_invalid");
    }
    assert_eq!(connection.request("GET", "/users", &[]).status, 200);
    assert_eq!(upstream.received().len(), 1, "something else was forwarded: {:?}", upstream.received());
}

/// A server that decodes `%2F`, or cuts off `;x`, would see a protected path where the gateway saw a public one.
#[test]
fn a_path_that_another_server_would_read_as_another_routes_is_refused() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /, target: {0} }}\n  - {{ path: /adm, target: {0}, plugins: {{ auth: true }} }}\n",
        upstream.url()
    ));
    for target in
        ["/adm%2Fx", "/adm;a/x", "/adm%3Ba/x", "/adm%5cx", "/%2fadm", "/x;/%2e%2e/adm;/x", "/;x%2Fy/adm", "/adm;%2f/x"]
    {
        let response = gateway.get(target);
        assert!(matches!(response.status, 400 | 401), "{target}: {response:?}");
    }
    assert!(upstream.received().is_empty());
    for target in ["/a%2Fb", "/a;v=1/b", "/caf%C3%A9"] {
        assert_eq!(gateway.get(target).status, 200, "{target}");
        assert_eq!(upstream.received().last().unwrap().path(), target);
    }
}

#[test]
fn a_request_of_http_1_0_without_a_host_gets_one() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    assert_eq!(gateway.raw("GET /users HTTP/1.0\r\n\r\n").status, 200);
    let received = upstream.only();
    assert_eq!(
        (received.line.as_str(), received.header("host")),
        ("GET /users HTTP/1.1", Some(&*upstream.address.to_string()))
    );
}

#[test]
fn a_request_that_is_no_http_gets_an_answer_like_any_other() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    for bytes in [
        "nonsense\r\n\r\n",
        "GET /users HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /users HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        "GET /users HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET /users HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "GET /users HTTP/1.1\r\nBad Name: x\r\nHost: a\r\n\r\n",
        "GET http://a/users HTTP/1.1\r\nHost: b\r\n\r\n",
    ] {
        let mut connection = gateway.connect();
        let response = connection.send(bytes).answer(false);
        response.is_problem(400, "bad_request");
        assert!(uuid::Uuid::parse_str(response.header("x-request-id").unwrap()).is_ok());
        assert!(connection.is_closed(), "{bytes}");
        let line = gateway.log_line(response.header("x-request-id").unwrap());
        assert!(line.contains("→ 400 (") && line.ends_with("bad_request"), "{line}");
    }
    gateway.raw("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").is_problem(405, "method_not_allowed");
    assert!(upstream.received().is_empty());
}

#[test]
fn a_transfer_coding_that_would_be_lost_on_the_way_is_refused() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    for (codings, status, code) in [
        ("gzip, chunked", 501, "transfer_coding_unsupported"),
        ("identity, chunked", 501, "transfer_coding_unsupported"),
        ("gzip\r\nTransfer-Encoding: chunked", 400, "bad_request"),
    ] {
        let request = format!("POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {codings}\r\n\r\n0\r\n\r\n");
        gateway.raw(request).is_problem(status, code);
    }
    assert!(upstream.received().is_empty());
}
