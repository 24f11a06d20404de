//! Clients that send or take a byte at a time, as slowly as no deadline for one piece forbids.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;

use crate::support::client::head;
use crate::support::{Gateway, Reply, Upstream, gateway};

const GRACE: u128 = 500;

/// A gateway that asks for so many bytes a second, beyond half a second.
fn asking(rate: &str, target: &str, route: &str) -> Gateway {
    gateway(format!(
        "h2c: true\nlimits: {{ minRate: {rate}, minRateGrace: {GRACE}ms }}\nroutes: [{{ path: /, target: '{target}' {route} }}]\n"
    ))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Sends a body a piece at a time; the status that it is answered with, if it is answered, and when.
fn drip(gateway: &Gateway, piece: &[u8], pieces: usize) -> (u16, u128) {
    let (mut connection, start) = (gateway.connect(), Instant::now());
    let length = (piece.len() * pieces).to_string();
    connection.send(head("POST", "/", &[("Content-Length", &length)]));
    let mut stream = connection.stream.try_clone().unwrap();
    let piece = piece.to_owned();
    std::thread::spawn(move || {
        for _ in 0..pieces {
            sleep(millis(50));
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
    });
    let answer = connection.answer(false);
    let took = start.elapsed().as_millis();
    if answer.status == 408 {
        answer.is_problem(408, "request_timeout");
        assert!(connection.is_closed());
    }
    (answer.status, took)
}

/// The same over HTTP/2, with `fields`.
fn drip_h2(gateway: &Gateway, pieces: usize, fields: &[(&str, &str)]) -> u16 {
    let address = gateway.address;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::post("http://gateway.test/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (answer, mut body) = client.ready().await.unwrap().send_request(request.body(()).unwrap(), false).unwrap();
        let send = async move {
            for piece in 0..pieces {
                tokio::time::sleep(millis(50)).await;
                if body.send_data(Bytes::from_static(b"x"), piece + 1 == pieces).is_err() {
                    break;
                }
            }
            body
        };
        let (answer, _body) = tokio::join!(answer, send);
        answer.unwrap().status().as_u16()
    })
}

#[test]
fn a_body_that_drips_is_given_up_and_no_target_to_blame() {
    let upstream = Upstream::start();
    let gateway = asking("1kB", &upstream.url(), ", breaker: { failures: 1 }");
    let (status, took) = drip(&gateway, b"x", 200);
    assert!(status == 408 && (GRACE..GRACE + 1_500).contains(&took), "{status} after {took} ms");
    assert_eq!(drip_h2(&gateway, 40, &[]), 408);
    assert_eq!(drip(&gateway, &[b'x'; 1_000], 30).0, 200, "who is fast enough may take as long as that");
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["failed"], &row["neutral"], &row["state"]), (&0.into(), &2.into(), &"CLOSED".into()), "{row}");
    assert_eq!(drip_h2(&gateway, 40, &[("content-type", "application/grpc")]), 200, "calls are silent when they like");
}

#[test]
fn a_route_may_ask_for_less() {
    let upstream = Upstream::start();
    let gateway = asking("1kB", &upstream.url(), ", limits: { minRate: off }");
    assert_eq!(drip(&gateway, b"x", 30).0, 200);
}

/// The target reads nothing for a while, so the gateway reads nothing of the client.
#[test]
fn a_slow_target_makes_no_client_slow() {
    const SIZE: usize = 32 << 20;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        sleep(millis(3 * GRACE as u64));
        let (mut left, mut chunk) = (SIZE, vec![0; 1 << 16]);
        while left > 0 {
            left = left.saturating_sub(stream.read(&mut chunk).unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        drop(stream.read(&mut [0; 1]));
    });
    let gateway = asking("1kB", &url, "");
    let mut connection = gateway.connect();
    connection.send(head("POST", "/", &[("Content-Length", &SIZE.to_string())])).send(vec![b'x'; SIZE]);
    assert_eq!(connection.answer(false).status, 200);
}

#[test]
fn an_answer_that_is_taken_by_drops_is_given_up() {
    const SIZE: usize = 64 << 20;
    let upstream = Upstream::with(|_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        Reply::Bytes([head.into_bytes(), vec![b'x'; SIZE]].concat())
    });
    // What the kernel takes in place of the client buys no time to speak of.
    let gateway = asking("100MB", &upstream.url(), ", breaker: { failures: 1 }");
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.write_all(head("GET", "/", &[]).as_bytes()).unwrap();
    let (start, mut taken) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(15) {
        match stream.read(&mut [0; 100]) {
            Ok(0) | Err(_) => break,
            Ok(read) => taken += read,
        }
        if gateway.stdout().contains("client_gone") {
            break;
        }
        sleep(millis(10));
    }
    let line = gateway.log_line("client_gone");
    assert!(line.contains("→ 200"), "{line}");
    assert!(taken < 1 << 20, "{taken}");
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["failed"], &row["state"]), (&0.into(), &"CLOSED".into()), "{row}");
}

/// Over HTTP/2 what is not taken is one answer, and the others go on.
#[test]
fn an_answer_of_http_2_that_is_not_taken_is_given_up_alone() {
    let upstream = Upstream::with(|request| match request.path() {
        "/large" => Reply::status(200, &"x".repeat(1 << 20)),
        _ => Reply::ok(),
    });
    let gateway = asking("1MB", &upstream.url(), "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut get = |path: &str| {
            let request = Request::get(format!("http://gateway.test{path}")).body(()).unwrap();
            client.send_request(request, true).unwrap().0
        };
        let large = get("/large").await.unwrap();
        let start = Instant::now();
        let mut body = large.into_body();
        let mut taken = 0;
        let end = loop {
            match body.data().await {
                // Its window stays as it is.
                Some(Ok(piece)) => taken += piece.len(),
                Some(Err(error)) => break error,
                None => panic!("all of it has come"),
            }
        };
        assert!(end.is_reset() && taken == 65_535, "{end}, {taken}");
        let took = start.elapsed().as_millis();
        assert!((GRACE..GRACE + 3_000).contains(&took), "{took} ms");
        assert_eq!(get("/").await.unwrap().status(), 200);
    });
    assert_eq!(gateway.settled_stats()[0]["failed"], 0);
}

#[test]
fn an_answer_that_says_nothing_for_a_while_is_not_taken_slowly() {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let wait: &'static _ = Box::leak(Box::new(wait));
    let upstream = Upstream::with(move |_| {
        Reply::Talk(Box::new(move |stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na").unwrap();
            wait.lock().unwrap().recv().unwrap();
            stream.write_all(b"b").unwrap();
            drop(stream.read(&mut [0; 1]));
        }))
    });
    let gateway = asking("100MB", &upstream.url(), "");
    let mut connection = gateway.connect();
    connection.send(head("GET", "/", &[]));
    sleep(millis(3 * GRACE as u64));
    go_on.send(()).unwrap();
    assert_eq!(connection.answer(false).text(), "ab");
}
