//! Requests that no two servers would read alike, and what is no request at all.

use crate::support::gateway::open;
use crate::support::{Reply, Upstream, gateway};

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

/// It was sent chunks, which it takes for the body, on a connection that stayed.
#[test]
fn a_client_of_http_1_0_is_answered_in_what_it_knows() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let upstream = Upstream::with(move |request| match request.path() {
        "/users/chunks" => Reply::Bytes(
            format!("{hint}HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n")
                .into(),
        ),
        "/users/close" => Reply::Close(b"HTTP/1.0 200 OK\r\n\r\nok".to_vec()),
        _ => Reply::Bytes(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()),
    });
    let gateway = open(&upstream);
    let long = "x".repeat(20_000);
    for (path, keep) in [("chunks", "close"), ("close", "close"), ("length", "keep-alive")] {
        for body in ["", &long] {
            let (mut connection, length) = (gateway.connect(), body.len());
            let fields = format!("Connection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n");
            connection.send(format!("POST /users/{path} HTTP/1.0\r\n{fields}{body}"));
            if keep == "keep-alive" {
                // Its end shows that of the first.
                connection.send("GET /users/close HTTP/1.0\r\n\r\n");
            }
            let bytes = String::from_utf8(connection.rest()).unwrap();
            let (head, rest) = bytes.split_once("\r\n\r\n").unwrap();
            let head = head.to_lowercase();
            assert!(head.starts_with("http/1.1 200") && head.contains(&format!("connection: {keep}")), "{bytes}");
            assert!(!head.contains("transfer-encoding"), "{bytes}");
            assert!(if keep == "close" { rest == "ok" } else { rest.starts_with("okHTTP/1.1 200") }, "{bytes}");
        }
    }
    assert!(upstream.received().iter().all(|received| received.header("expect").is_none()));
}

/// What there is of a length in them would be somebody's idea of where the next answer begins.
#[test]
fn an_interim_answer_says_nothing_of_its_connection_or_of_a_length() {
    let hints = "connection: close, x-own\r\nx-own: 1\r\ncontent-length: 10\r\nkeep-alive: 5\r\nlink: </a>\r\n\r\n";
    let answer = format!("HTTP/1.1 103 Early Hints\r\n{hints}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let upstream = Upstream::with(move |_| Reply::Bytes(answer.clone().into()));
    let gateway = open(&upstream);
    for body in ["", &"x".repeat(20_000)] {
        let mut connection = gateway.connect();
        connection.send(format!("POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        let hint = connection.next_answer(true);
        let of_itself = ["connection", "x-own", "content-length", "transfer-encoding", "keep-alive"];
        assert_eq!((hint.status, hint.header("link")), (103, Some("</a>")));
        assert!(of_itself.iter().all(|name| hint.header(name).is_none()), "{hint:?}");
        let answer = connection.answer(false);
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }
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
