//! How long a request waits, for whom, and what it hears then.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::client::head;
use crate::support::{Gateway, Reply, Upstream, eventually, gateway};

fn over(target: &str, extra: &str) -> Gateway {
    gateway(format!("routes: [{{ path: /, target: '{target}', {extra} }}]\n"))
}

/// Sends each of `pieces` after a pause, for as long as somebody takes it.
fn drip(pieces: Vec<Vec<u8>>, pause: Duration) -> Reply {
    Reply::Talk(Box::new(move |stream| {
        for piece in pieces {
            std::thread::sleep(pause);
            if stream.write_all(&piece).is_err() {
                return;
            }
        }
        drop(stream.read(&mut [0; 1]));
    }))
}

fn bytes(text: &str) -> Vec<Vec<u8>> {
    text.bytes().map(|byte| vec![byte]).collect()
}

fn silent() -> Reply {
    Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0; 1]))))
}

/// How long it takes, in milliseconds.
fn timed<T>(act: impl FnOnce() -> T) -> (T, u128) {
    let start = Instant::now();
    let result = act();
    (result, start.elapsed().as_millis())
}

#[test]
fn a_target_that_accepts_and_never_answers_is_left_after_the_first_byte_is_due() {
    let upstream = Upstream::with(|_| silent());
    let gateway = over(&upstream.url(), "timeouts: { firstByte: 300ms }");
    for _ in 0..3 {
        let (response, took) = timed(|| gateway.get("/"));
        response.is_problem(504, "upstream_timeout");
        assert!((300..900).contains(&took), "{took} ms");
    }
    let row = &gateway.stats()[0];
    assert_eq!(
        (&row["state"], &row["lastFailure"]["cause"]),
        (&"OPEN".into(), &"timed out: no answer within 300 ms".into()),
        "{row}"
    );
}

#[test]
fn a_head_that_drips_is_no_first_byte() {
    let upstream =
        Upstream::with(|_| drip(bytes("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Duration::from_millis(50)));
    let gateway = over(&upstream.url(), "timeouts: { firstByte: 500ms }");
    let (response, took) = timed(|| gateway.get("/"));
    response.is_problem(504, "upstream_timeout");
    assert!((500..1_500).contains(&took), "{took} ms");
}

#[test]
fn a_body_may_take_its_time_but_not_stop() {
    let answer = |end: &[u8]| {
        let mut pieces = vec![b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n".to_vec()];
        pieces.extend(end.iter().map(|byte| vec![*byte]));
        drip(pieces, Duration::from_millis(100))
    };
    let upstream = Upstream::with(move |request| match request.path() {
        "/slow" => answer(b"0123456789"),
        _ => answer(b"012"),
    });
    let gateway = over(&upstream.url(), "timeouts: { firstByte: 400ms, read: 500ms }");
    let slow = gateway.get("/slow");
    assert_eq!((slow.status, slow.text()), (200, "0123456789"));
    let mut connection = gateway.connect();
    connection.send(head("GET", "/stops", &[]));
    let (cut, took) = timed(|| connection.rest());
    assert!(cut.ends_with(b"\r\n\r\n012") && (800..2_000).contains(&took), "{took} ms");
    let row = &gateway.settled_stats()[0];
    assert_eq!(
        (&row["failures"], &row["succeeded"], &row["lastFailure"]["cause"]),
        (&1.into(), &1.into(), &"timed out: no more of its answer within 500 ms".into())
    );
}

#[test]
fn all_of_a_request_has_an_end_for_which_a_target_that_answers_is_not_to_blame() {
    let upstream = Upstream::with(|request| match request.path() {
        "/stream" => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
            let chunks = std::iter::once(head).chain((0..100).map(|_| "1\r\nx\r\n".to_owned()));
            drip(chunks.map(String::into_bytes).collect(), Duration::from_millis(50))
        }
        "/tunnel" => Reply::Talk(Box::new(|stream| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(100));
                stream.write_all(b"x").unwrap();
            }
        })),
        _ => silent(),
    });
    let gateway = over(&upstream.url(), "timeouts: { total: 600ms }");
    let mut connection = gateway.connect();
    connection.send(head("GET", "/stream", &[]));
    let (cut, took) = timed(|| connection.rest());
    assert!(cut.len() > 100 && !cut.ends_with(b"0\r\n\r\n") && (550..1_500).contains(&took), "{took} ms");
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["neutral"], &row["failed"]), (&1.into(), &0.into()), "{row}");
    let mut tunnel = gateway.connect();
    tunnel.send(head("GET", "/tunnel", &[("Upgrade", "websocket"), ("Connection", "Upgrade")]));
    assert_eq!(tunnel.next_answer(false).status, 101);
    assert_eq!(tunnel.rest(), b"xxxxxxxxxx", "a tunnel has no end of its own");
    let (response, took) = timed(|| gateway.get("/silent"));
    response.is_problem(504, "upstream_timeout");
    assert!((600..1_500).contains(&took), "{took} ms");
    assert_eq!(gateway.stats()[0]["lastFailure"]["cause"], "timed out: no end of its answer within 600 ms");
}

/// The kernel drops what would connect to a socket whose queue is full.
#[test]
fn a_target_that_does_not_take_a_connection_is_left_in_time() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let listener: TcpListener = socket.into();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
    }
    let gateway = over(&format!("http://{address}"), "timeouts: { connect: 300ms }");
    let (response, took) = timed(|| gateway.get("/"));
    response.is_problem(504, "upstream_timeout");
    assert!((300..1_500).contains(&took), "{took} ms");
    let row = &gateway.stats()[0];
    assert!(row["lastFailure"]["cause"].as_str().unwrap().contains("ConnectTimedout"), "{row}");
}

#[test]
fn a_target_that_does_not_take_the_request_is_to_blame() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = over(&format!("http://{}", listener.local_addr().unwrap()), "timeouts: { read: 400ms }");
    let mut connection = gateway.connect();
    connection.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    let mut upload = connection.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || while upload.write_all(&[b'x'; 65_536]).is_ok() {});
    connection.answer(false).is_problem(504, "upstream_timeout");
    drop(connection);
    sender.join().unwrap();
    assert_eq!(gateway.settled_stats()[0]["failed"], 1);
}

#[test]
fn an_upload_may_take_its_time_but_not_stop() {
    let upstream = Upstream::start();
    let gateway = over(&upstream.url(), "timeouts: { firstByte: 300ms, read: 500ms }");
    let mut slow = gateway.connect();
    slow.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100));
        slow.send("x");
    }
    assert_eq!(slow.answer(false).status, 200);
    let mut stops = gateway.connect();
    stops.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nxxx");
    let (response, took) = timed(|| stops.answer(false));
    response.is_problem(408, "request_timeout");
    assert!((450..1_500).contains(&took), "{took} ms");
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["succeeded"], &row["neutral"]), (&1.into(), &1.into()), "{row}");
}

#[test]
fn a_client_that_reads_in_spells_is_given_the_time() {
    const SIZE: usize = 16 * 1024 * 1024;
    let upstream = Upstream::with(|_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
        Reply::Bytes([head.into_bytes(), vec![b'x'; SIZE]].concat())
    });
    let gateway = over(&upstream.url(), "timeouts: { firstByte: 300ms, read: 300ms }");
    let mut connection = gateway.connect();
    connection.send(head("GET", "/", &[("Connection", "close")]));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(700));
        connection.take(1024 * 1024);
    }
    assert!(connection.rest().len() > SIZE - 3 * 1024 * 1024);
}

/// A client that sends its next request ahead is not listened to any more.
#[test]
fn a_request_sent_ahead_does_not_make_a_target_immortal() {
    let upstream = Upstream::with(|_| silent());
    let gateway = over(&upstream.url(), "timeouts: { firstByte: 300ms, read: 300ms }");
    let mut connection = gateway.connect();
    connection.send([head("GET", "/", &[]), head("GET", "/", &[])].concat());
    let (response, took) = timed(|| connection.answer(false));
    response.is_problem(504, "upstream_timeout");
    assert!((300..3_000).contains(&took), "{took} ms");
}

#[test]
fn unused_connections_are_kept_for_as_long_as_the_config_says() {
    let upstream = Upstream::start();
    let gateway = over(&upstream.url(), "timeouts: { idle: 300ms }");
    eventually("a connection to be used again", || {
        let before = upstream.connections();
        assert_eq!(gateway.get("/").status, 200);
        (upstream.connections() == before).then_some(())
    });
    let before = upstream.connections();
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(upstream.connections(), before + 1);
}
