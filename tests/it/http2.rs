//! Clients that speak HTTP/2, to targets that speak HTTP/1.1.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;

use crate::support::{Gateway, Reply, Upstream, curl, eventually, gateway, token};

fn over(upstream: &Upstream, extra: &str) -> Gateway {
    gateway(format!("h2c: true\nroutes: [{{ path: /, target: {}{extra} }}]\n", upstream.url()))
}

/// A request by curl in plain HTTP/2.
fn ask(gateway: &Gateway, path: &str, args: &[&str]) -> crate::support::curl::Curled {
    let url = format!("http://{}{path}", gateway.address);
    curl(&[&["--http2-prior-knowledge", "--path-as-is", &url], args].concat())
}

fn silent() -> Reply {
    Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0; 1]))))
}

/// Does something with a connection of the library's, on a runtime that ends with it.
fn with_h2<T>(gateway: &Gateway, act: impl AsyncFnOnce(SendRequest<Bytes>) -> T) -> T {
    let address = gateway.address;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        act(client.ready().await.unwrap()).await
    })
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://gateway.test{path}")).body(()).unwrap()
}

#[test]
fn a_request_arrives_as_one_of_http_1_1_would() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, "");
    let args =
        ["-H", "Cookie: a=1", "-H", "cookie: b=2", "-H", "x-user-id: root", "-d", "body", "-H", "Host: api.test"];
    let answer = ask(&gateway, "/a/../b?c=d", &args);
    assert_eq!((answer.status, answer.version.as_str(), answer.body.as_str()), (200, "2", "hello\n"), "{answer:?}");
    assert_eq!(answer.header("connection"), None);
    let received = upstream.only();
    assert_eq!((received.line.as_str(), received.header("host")), ("POST /b?c=d HTTP/1.1", Some("api.test")));
    assert_eq!((received.header("cookie"), received.header("x-user-id")), (Some("a=1; b=2"), None));
    assert_eq!((received.header("content-length"), &received.body[..]), (Some("4"), &b"body"[..]));
    assert_eq!(received.header("x-request-id"), answer.header("x-request-id"));
    assert!(gateway.log_line("[POST]").contains("/b → 200"));
}

#[test]
fn refusals_are_the_same_and_connections_live_on() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, ", plugins: { auth: true, rateLimit: { max: 1, window: 60 } }");
    let bearer = format!("Authorization: Bearer {}", token("u"));
    for (path, args, status, code) in [
        ("/", &[][..], 401, "token_missing"),
        ("/a/..%2fb", &[], 400, "path_invalid"),
        ("/", &["-X", "TRACE"], 405, "method_not_allowed"),
        ("/gateway/nothing", &[], 404, "no_route"),
        ("/", &["-H", &bearer], 200, ""),
        ("/", &["-H", &bearer], 429, "rate_limited"),
    ] {
        let answer = ask(&gateway, path, args);
        assert_eq!((answer.status, answer.code().unwrap_or_default()), (status, code), "{path} {answer:?}");
    }
    let statuses = with_h2(&gateway, async |client| {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let (answer, _) = client.clone().ready().await.unwrap().send_request(get("/"), true).unwrap();
            statuses.push(answer.await.unwrap().status().as_u16());
        }
        statuses
    });
    assert_eq!(statuses, [401; 3]);
}

#[test]
fn who_speaks_http_1_on_the_same_port_is_served_too() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, "");
    assert_eq!(gateway.get("/").status, 200);
    let short = gateway.raw("GET / HTTP/1.0\r\n\r\n");
    assert_eq!((short.status, short.text()), (200, "hello\n"));
    // The first word of a request may come in pieces.
    let mut slow = gateway.connect();
    for piece in ["P", "U", "T / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"] {
        slow.send(piece);
        std::thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(slow.answer(false).status, 200);
    let without = gateway_without(&upstream);
    assert_eq!(ask(&without, "/", &[]).status, 0, "nobody has asked for HTTP/2 there");
}

fn gateway_without(upstream: &Upstream) -> Gateway {
    gateway(format!("routes: [{{ path: /, target: {} }}]\n", upstream.url()))
}

#[test]
fn bodies_of_any_size_pass_in_both_directions() {
    const SIZE: usize = 20_000_000;
    let upstream = Upstream::with(|request| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len());
        Reply::Bytes([head.as_bytes(), &request.body].concat())
    });
    let gateway = over(&upstream, "");
    let file = crate::support::gateway::directory().join("body");
    std::fs::write(&file, vec![b'x'; SIZE]).unwrap();
    let body = format!("@{}", file.display());
    for extra in [&[][..], &["-H", "Content-Length:"]] {
        let answer = ask(&gateway, "/", &[&["-X", "PUT", "--data-binary", &body], extra].concat());
        assert_eq!((answer.status, answer.body.len()), (200, SIZE));
    }
    let chunked = Upstream::with(|_| {
        Reply::Bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec())
    });
    let answer = ask(&over(&chunked, ""), "/", &[]);
    assert_eq!((answer.body.as_str(), answer.header("transfer-encoding")), ("abc", None));
    let head = ask(&gateway, "/", &["-I"]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn requests_of_one_connection_wait_each_for_itself() {
    let upstream = Upstream::with(|request| match request.path() {
        "/hangs" => silent(),
        _ => Reply::ok(),
    });
    let gateway = over(&upstream, ", timeouts: { firstByte: 400ms }");
    with_h2(&gateway, async |client| {
        let start = Instant::now();
        let (hangs, _) = client.clone().send_request(get("/hangs"), true).unwrap();
        for _ in 0..5 {
            let (answer, _) = client.clone().ready().await.unwrap().send_request(get("/"), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        assert!(start.elapsed() < Duration::from_millis(400));
        let late = hangs.await.unwrap();
        assert_eq!(
            (late.status().as_u16(), &late.headers()["x-gateway-error"]),
            (504, &"upstream_timeout".parse().unwrap())
        );
        assert!((400..1_500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    });
    assert_eq!(gateway.settled_stats()[0]["lastFailure"]["cause"], "timed out: no answer within 400 ms");
}

#[test]
fn deadlines_hold_as_they_do_over_http_1_1() {
    let upstream = Upstream::with(|request| match request.path() {
        "/drips" => Reply::Talk(Box::new(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            while stream.write_all(b"1\r\nx\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        })),
        _ => silent(),
    });
    let gateway = over(&upstream, ", timeouts: { total: 600ms, read: 300ms }");
    let start = Instant::now();
    let cut = ask(&gateway, "/drips", &[]);
    assert!(cut.status == 200 && (600..1_800).contains(&start.elapsed().as_millis()), "{:?} {cut:?}", start.elapsed());
    let late = ask(&gateway, "/silent", &[]);
    assert_eq!((late.status, late.code()), (504, Some("upstream_timeout")));
    // A client that does not finish its request.
    let status = with_h2(&gateway, async |mut client| {
        let post = Request::post("http://gateway.test/").body(()).unwrap();
        let (answer, mut body) = client.send_request(post, false).unwrap();
        body.send_data(Bytes::from_static(b"x"), false).unwrap();
        let answer = answer.await.unwrap();
        (answer.status().as_u16(), answer.headers()["x-gateway-error"].clone())
    });
    assert_eq!(status, (408, "request_timeout".parse().unwrap()));
}

#[test]
fn a_client_that_resets_its_request_harms_nobody() {
    let upstream = Upstream::with(|request| match request.path() {
        "/slow" => {
            std::thread::sleep(Duration::from_millis(500));
            Reply::ok()
        }
        _ => Reply::ok(),
    });
    let gateway = over(&upstream, ", breaker: { failures: 1 }");
    with_h2(&gateway, async |client| {
        for _ in 0..10 {
            let (answer, body) = client.clone().ready().await.unwrap().send_request(get("/slow"), true).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            drop((answer, body));
        }
        let (answer, _) = client.clone().ready().await.unwrap().send_request(get("/"), true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200, "the connection goes on");
    });
    let row = eventually("the requests to be over", || {
        Some(gateway.stats().swap_remove(0)).filter(|row| row["inFlight"] == 0)
    });
    assert_eq!((&row["state"], &row["failed"]), (&"CLOSED".into(), &0.into()), "{row}");
    assert!(gateway.log_line("client_gone").contains("→ 499"));
}

#[test]
fn what_goes_wrong_goes_out_again_and_half_an_answer_is_none() {
    let (resets, good) = (Upstream::with(|_| Reply::Reset(Vec::new())), Upstream::start());
    let gateway = gateway(format!("h2c: true\nroutes: [{{ path: /, targets: [{}, {}] }}]\n", resets.url(), good.url()));
    (0..4).for_each(|_| assert_eq!(ask(&gateway, "/", &[]).status, 200));
    let half = Upstream::with(|_| Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()));
    let cut = ask(&over(&half, ""), "/", &[]);
    assert!(cut.error.contains("HTTP/2 stream"), "{cut:?}");
}

#[test]
fn an_upgrade_is_of_no_use_and_exempts_nothing() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, ", plugins: { auth: true }");
    with_h2(&gateway, async |client| {
        // What is between two ends of one connection only makes a request malformed (RFC 9113, section 8.2.2).
        for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket"), ("transfer-encoding", "chunked")] {
            let mut request = get("/");
            request.headers_mut().insert(name, value.parse().unwrap());
            let sent = client.clone().ready().await.unwrap().send_request(request, true);
            assert!(match sent {
                Ok((answer, _)) => answer.await.is_err(),
                Err(_) => true,
            });
        }
    });
    assert!(upstream.received().is_empty());
}

#[test]
fn a_gateway_that_ends_lets_requests_end() {
    let upstream = Upstream::with(|_| {
        std::thread::sleep(Duration::from_millis(700));
        Reply::ok()
    });
    let mut gateway = over(&upstream, "");
    let address = gateway.address;
    let asked = std::thread::spawn(move || curl(&["--http2-prior-knowledge", &format!("http://{address}/")]).status);
    eventually("the request to be under way", || (upstream.connections() == 1).then_some(()));
    gateway.signal(15);
    assert_eq!(asked.join().unwrap(), 200);
    assert!(gateway.wait().success());
}
