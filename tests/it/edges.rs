//! What clients may ask for, and what becomes of those who ask for more.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use http::Request;

use crate::support::client::head;
use crate::support::{Connection, Gateway, Reply, Upstream, curl, eventually, gateway};

fn over(upstream: &Upstream, limits: &str, route: &str) -> Gateway {
    gateway(format!("h2c: true\nlimits: {{ {limits} }}\nroutes: [{{ path: /, target: {}{route} }}]\n", upstream.url()))
}

fn by_h2(gateway: &Gateway, path: &str, args: &[&str]) -> (u16, Option<String>) {
    let url = format!("http://{}{path}", gateway.address);
    let answer = curl(&[&["--http2-prior-knowledge", &url], args].concat());
    assert_ne!(answer.status, 0, "{answer:?}");
    (answer.status, answer.code().map(str::to_owned))
}

#[test]
fn heads_have_bounds() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, "maxHeaders: 20, maxHeaderBytes: 4KiB, maxUri: 1KiB", "");
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    let fields = |count: usize| -> Vec<(String, &str)> { (0..count).map(|n| (format!("X-{n}"), "y")).collect() };
    let many = |count: usize| {
        let fields = fields(count);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        gateway.request("GET", "/", &fields)
    };
    assert_eq!((gateway.get(&target(1_024)).status, many(19).status), (200, 200));
    let long = gateway.get(&target(1_025));
    long.is_problem(414, "uri_too_long");
    many(20).is_problem(431, "headers_too_large");
    let large = "x".repeat(4_100);
    gateway.request("GET", "/", &[("X", &large)]).is_problem(431, "headers_too_large");
    assert!(gateway.log_line("uri_too_long").contains("→ 414"));
    assert_eq!(by_h2(&gateway, &target(1_025), &[]), (414, Some("uri_too_long".into())));
    let args: Vec<String> = (0..20).map(|n| format!("X-{n}: y")).collect();
    let args: Vec<&str> = args.iter().flat_map(|field| ["-H", field]).collect();
    assert_eq!(by_h2(&gateway, "/", &args), (431, Some("headers_too_large".into())));
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn a_body_has_bounds_whether_its_length_is_told_or_not() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, "maxBody: 1000", "");
    let post = |length: usize| {
        let mut connection = gateway.connect();
        connection.send(head("POST", "/", &[("Content-Length", &length.to_string())])).send(vec![b'x'; length]);
        connection.answer(false)
    };
    assert_eq!(post(1_000).status, 200);
    post(1_001).is_problem(413, "body_too_large");
    let mut chunked = gateway.connect();
    chunked.send(head("POST", "/", &[("Transfer-Encoding", "chunked")]));
    for _ in 0..3 {
        chunked.send(format!("190\r\n{}\r\n", "x".repeat(400)));
    }
    chunked.answer(false).is_problem(413, "body_too_large");
    assert!(chunked.is_closed());
    let file = crate::support::gateway::directory().join("body");
    std::fs::write(&file, vec![b'x'; 100_000]).unwrap();
    let body = format!("@{}", file.display());
    for extra in [&[][..], &["-H", "Content-Length:"]] {
        let (status, code) = by_h2(&gateway, "/", &[&["--data-binary", &body], extra].concat());
        assert_eq!((status, code.as_deref()), (413, Some("body_too_large")));
    }
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["failed"], &row["state"]), (&0.into(), &"CLOSED".into()), "{row}");
    let own = over(&upstream, "maxBody: 10", ", limits: { maxBody: off }");
    let mut connection = own.connect();
    connection.send(head("POST", "/", &[("Content-Length", "5000")])).send(vec![b'x'; 5_000]);
    assert_eq!(connection.answer(false).status, 200);
}

#[test]
fn a_head_that_drips_is_given_up_and_an_unused_connection_closed() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, "headerTimeout: 500ms, idleTimeout: 1s", "");
    let (mut drips, start) = (gateway.connect(), Instant::now());
    let mut writer = drips.stream.try_clone().unwrap();
    std::thread::spawn(move || {
        for byte in b"GET / HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            std::thread::sleep(Duration::from_millis(50));
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
        }
    });
    drips.answer(false).is_problem(408, "request_timeout");
    assert!((500..1_500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    let (mut unused, start) = (gateway.connect(), Instant::now());
    assert_eq!(unused.request("GET", "/", &[]).status, 200);
    assert!(unused.is_closed() && (900..3_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[test]
fn connections_are_counted_in_all_and_for_each_client() {
    let upstream = Upstream::start();
    for limits in ["maxConnections: 3", "maxConnectionsPerClient: 3"] {
        let gateway = over(&upstream, limits, "");
        // That which asked whether it lives may still be there.
        let held = eventually("three places", || {
            let mut held: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
            held.iter_mut().all(|connection| answers(&mut connection.stream)).then_some(held)
        });
        let mut fourth = TcpStream::connect(gateway.address).unwrap();
        assert!(!answers(&mut fourth), "{limits}");
        drop(held);
        eventually("room", || answers(&mut TcpStream::connect(gateway.address).unwrap()).then_some(()));
        gateway.said("is not taken");
    }
}

/// They are told what is wrong, and then listened to for a while.
#[test]
fn connections_that_are_being_closed_are_counted_until_they_are() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, "maxConnectionsPerClient: 3", "");
    let held = eventually("three places", || {
        let mut held: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
        let refused = |connection: &mut Connection| {
            let sent = connection.stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n");
            sent.is_ok() && connection.stream.read_to_end(&mut Vec::new()).is_ok_and(|read| read > 0)
        };
        held.iter_mut().all(refused).then_some(held)
    });
    assert!(!answers(&mut TcpStream::connect(gateway.address).unwrap()));
    drop(held);
    eventually("room", || answers(&mut TcpStream::connect(gateway.address).unwrap()).then_some(()));
}

fn answers(stream: &mut TcpStream) -> bool {
    let sent = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    sent.is_ok() && stream.read(&mut [0; 1_000]).is_ok_and(|n| n > 0)
}

#[test]
fn a_connection_serves_as_many_requests_as_it_may() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, "maxRequestsPerConnection: 2", "");
    let mut connection = gateway.connect();
    assert_eq!(connection.request("GET", "/", &[]).header("connection"), Some("keep-alive"));
    let last = connection.request("GET", "/", &[]);
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(connection.is_closed());
}

/// Two thousand clients that say next to nothing, and one that wants something.
#[test]
fn slow_clients_cost_others_nothing() {
    let upstream = Upstream::start();
    let gateway = over(&upstream, "headerTimeout: 5s", "");
    gateway.limit_files(8_192);
    let mut slow: Vec<TcpStream> = Vec::new();
    for n in 0..2_000 {
        let mut stream = TcpStream::connect(gateway.address).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
        slow.push(stream);
        if n % 20 == 0 {
            assert_eq!(gateway.get("/").status, 200);
        }
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        slow.iter_mut().step_by(10).for_each(|stream| drop(stream.write_all(b"X")));
        assert_eq!(gateway.get("/").status, 200);
    }
    let mut first = slow.swap_remove(0);
    let mut answer = Vec::new();
    drop(first.read_to_end(&mut answer));
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_client_that_breaks_off_request_after_request_loses_its_connection() {
    let upstream = Upstream::with(|_| Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0; 1])))));
    let gateway = over(&upstream, "", "");
    let address = gateway.address;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sent = runtime.block_on(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        let ended = tokio::spawn(connection);
        let mut sent = 0;
        while !ended.is_finished() && sent < 5_000 {
            let Ok(ready) = client.ready().await else { break };
            client = ready;
            let request = Request::get("http://gateway.test/").body(()).unwrap();
            let Ok((answer, body)) = client.send_request(request, true) else { break };
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop((answer, body));
            sent += 1;
        }
        sent
    });
    assert!((100..1_000).contains(&sent), "{sent}");
    assert_eq!(gateway.get("/gateway/livez").status, 200);
}

/// An answer of HTTP/2 that its client does not read waits for it; the rest of it waits with the target.
#[test]
fn answers_that_nobody_reads_are_not_kept() {
    const SIZE: usize = 4 << 20;
    let upstream = Upstream::with(|_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        Reply::Bytes([head.into_bytes(), vec![b'x'; SIZE]].concat())
    });
    let gateway = over(&upstream, "", "");
    assert_eq!(gateway.get("/").status, 200);
    let (before, address) = (gateway.memory_kib("VmHWM:"), gateway.address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut builder = h2::client::Builder::new();
        let (mut client, connection) =
            builder.initial_window_size(0).handshake::<_, bytes::Bytes>(stream).await.unwrap();
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..100 {
            client = client.ready().await.unwrap();
            let request = Request::get("http://gateway.test/").body(()).unwrap();
            answers.push(client.send_request(request, true).unwrap().0);
        }
        let mut unread = Vec::new();
        for answer in answers {
            unread.push(answer.await.unwrap());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    });
    let more = gateway.memory_kib("VmHWM:").saturating_sub(before);
    assert!(more < 40 << 10, "{more} KiB for 100 answers of 4 MiB");
}

#[test]
fn a_connection_that_waits_takes_next_to_nothing() {
    const COUNT: u64 = 1_000;
    let upstream = Upstream::start();
    let gateway = over(&upstream, "", "");
    gateway.limit_files(8_192);
    let used = || {
        let mut connection = gateway.connect();
        assert_eq!(connection.request("GET", "/", &[]).status, 200);
        connection
    };
    drop((0..50).map(|_| used()).collect::<Vec<_>>());
    let before = gateway.memory_kib("VmRSS");
    let unused: Vec<_> = (0..COUNT).map(|_| used()).collect();
    let each = gateway.memory_kib("VmRSS").saturating_sub(before) as f64 / unused.len() as f64;
    assert!(each < 12.0, "{each} KiB for each of {COUNT}");
}
