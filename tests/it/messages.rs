//! HTTP/1.1 as it really comes: bodies of any size in both directions, requests sent ahead, answers that
//! come early, late, in pieces or not at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::support::gateway::open;
use crate::support::{Reply, Upstream, eventually, gateway};

/// The answer comes while the client is still sending what nobody will read. A connection that is closed
/// with unread bytes in it is reset, and the reset takes the answer away from a client that has not read it.
#[test]
fn a_client_that_reads_only_after_it_has_sent_everything_still_gets_an_early_answer() {
    const SIZE: usize = 8 * 1024 * 1024;
    let gone = format!("http://{}", crate::support::nobody());
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /a, target: {gone}, plugins: {{ auth: true }} }}\n  - {{ path: /b, target: {gone} }}\n"
    ));
    let body = vec![b'x'; SIZE];
    for (target, framing, status) in [
        ("/a", format!("Content-Length: {SIZE}"), 401),
        ("/b", format!("Content-Length: {SIZE}"), 502),
        ("/nowhere", "Transfer-Encoding: chunked".to_owned(), 404),
        ("/nowhere", "Content-Length: x".to_owned(), 400),
    ] {
        let mut connection = gateway.connect();
        connection.send(format!("POST {target} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"));
        for piece in body.chunks(256 * 1024) {
            connection.send(piece);
            std::thread::sleep(Duration::from_millis(1));
        }
        let response = connection.answer(false);
        assert_eq!((response.status, response.header("connection")), (status, Some("close")), "{target} {framing}");
        assert!(connection.is_closed());
    }
}

#[test]
fn head_has_the_headers_and_no_body() {
    let upstream = Upstream::with(|request| match request.line.starts_with("HEAD") {
        true => Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n".to_vec()),
        false => Reply::ok(),
    });
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    let response = connection.request("HEAD", "/users", &[]);
    assert_eq!((response.status, response.header("content-length")), (200, Some("1234")));
    let refused = connection.request("HEAD", "/nowhere", &[]);
    assert_eq!((refused.status, refused.header("x-gateway-error")), (404, Some("no_route")));
    let stats = connection.request("HEAD", "/gateway/stats", &[]);
    assert_eq!(stats.status, 200);
    assert_eq!(connection.request("GET", "/users", &[]).text(), "hello\n");
}

/// Short bodies that have come with their heads go another way than those that are still to come, and what has come of one of them
/// goes along. A target that breaks off is asked once, the next one gets all of it anew.
#[test]
fn a_body_arrives_whole_however_much_of_it_comes_with_its_head() {
    let breaks = Upstream::with(|_| Reply::Reset(Vec::new()));
    let takes = Upstream::with(|request| Reply::status(200, &request.body.len().to_string()));
    let targets =
        format!("targets: ['{}', '{}'], retry: {{ on: reset, methods: PUT, budget: 100% }}", breaks.url(), takes.url());
    let gateway = gateway(format!("routes: [{{ path: /, {targets}, breaker: off }}]\n"));
    let mut connection = gateway.connect();
    for size in [0, 1, 2_000, 16_384, 16_385, 60_000] {
        for first in [0, 1, size / 2, size] {
            let body: Vec<u8> = (0..size).map(|nth| nth as u8).collect();
            let head = format!("PUT /{size}/{first} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
            let (with, after) = body.split_at(first.min(size));
            gateway.settled_stats();
            connection.send([head.as_bytes(), with].concat());
            if !after.is_empty() {
                let is_begun = || gateway.stats().iter().any(|row| row["inFlight"] == 1);
                eventually("a target to be chosen", || is_begun().then_some(()));
                connection.send(after);
            }
            assert_eq!(connection.answer(false).text(), size.to_string(), "{first} of {size}");
            let received = takes.received();
            let last = received.last().unwrap();
            assert_eq!(
                (last.path(), last.header("content-length")),
                (&*format!("/{size}/{first}"), Some(&*size.to_string()))
            );
            assert!(last.body == body, "{first} of {size}");
        }
    }
    assert_eq!(takes.received().len(), 24);
    assert!(breaks.received().len() >= 8, "{}", breaks.received().len());
}

/// Whoever names the length of a body as a matter of its own connection still has sent that body.
#[test]
fn a_body_is_sent_on_whatever_its_client_says_of_its_length() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    for size in [5, 20_000] {
        let fields = format!("Host: x\r\nContent-Length: {size}\r\nConnection: Content-Length, X-Hop\r\nX-Hop: 1\r\n");
        let head = format!("POST /users HTTP/1.1\r\n{fields}\r\n");
        let answer = gateway.connect().send([head.into_bytes(), vec![b'x'; size]].concat()).answer(false);
        assert_eq!(answer.status, 200, "{size}");
        let received = upstream.received().pop().unwrap();
        assert_eq!((received.body.len(), received.header("x-hop")), (size, None), "{received:?}");
    }
}

/// It answers whoever connects and closes: what is sent then breaks the connection, and the answer is there all the same.
#[test]
fn an_answer_that_was_there_before_the_request_is_handed_on() {
    const TOO_MUCH: &[u8] = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno";
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().try_for_each(|stream| stream?.write_all(TOO_MUCH)));
    let gateway = gateway(format!("routes: [{{ path: /, target: '{target}', breaker: off }}]\n"));
    for size in [100, 16_000] {
        for nth in 0..50 {
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n");
            let answer = gateway.connect().send([head.into_bytes(), vec![b'x'; size]].concat()).answer(false);
            assert_eq!((answer.status, answer.text()), (413, "no"), "{nth} of {size}");
        }
    }
}

/// Neither what has come with the head nor what has not makes the target good or bad.
#[test]
fn a_client_that_leaves_within_a_short_body_says_nothing_of_its_target() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    for _ in 0..20 {
        let mut connection = gateway.connect();
        connection.send("POST /users HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf of it");
    }
    eventually("all of them to have come", || (gateway.stats()[0]["requests"] == 20).then_some(()));
    let row = &gateway.settled_stats()[0];
    let ended = ["succeeded", "failed", "neutral"].map(|name| row[name].as_u64());
    assert_eq!(ended, [Some(0), Some(0), Some(20)], "{row}");
}

#[test]
fn bodies_of_many_megabytes_stream_in_both_directions() {
    const SIZE: usize = 64 * 1024 * 1024;
    let upstream = Upstream::with(|request| {
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len()).into_bytes();
        answer.extend_from_slice(&request.body);
        Reply::Bytes(answer)
    });
    let gateway = open(&upstream);
    assert_eq!(gateway.raw("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello").status, 200);
    let before = gateway.memory_kib("VmHWM:");
    let body: Vec<u8> = (0..SIZE).map(|i| (i / 7) as u8).collect();
    for chunked in [false, true] {
        let mut connection = gateway.connect();
        let mut sending = connection.stream.try_clone().unwrap();
        let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {SIZE}") };
        write!(sending, "POST /up HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n").unwrap();
        let copy = body.clone();
        let sender = std::thread::spawn(move || {
            if !chunked {
                return sending.write_all(&copy).unwrap();
            }
            for chunk in copy.chunks(100_000) {
                write!(sending, "{:x}\r\n", chunk.len()).unwrap();
                sending.write_all(chunk).unwrap();
                sending.write_all(b"\r\n").unwrap();
            }
            sending.write_all(b"0\r\n\r\n").unwrap();
        });
        let response = connection.answer(false);
        sender.join().unwrap();
        assert!(response.body == body, "chunked: {chunked}, {} bytes", response.body.len());
    }
    let held = 1_024 * (gateway.memory_kib("VmHWM:") - before) as usize;
    assert!(held < SIZE / 2, "the gateway took {held} bytes more: it buffers bodies");
}

#[test]
fn chunked_answers_answers_until_close_and_empty_answers_arrive_whole() {
    let upstream = Upstream::with(|request| {
        match request.path() {
        "/users/chunked" => Reply::Bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n".to_vec()),
        "/users/close" => Reply::Close(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec()),
        "/users/none" => Reply::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        "/users/hints" => Reply::Bytes(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()),
        _ => Reply::ok(),
    }
    });
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    assert_eq!(connection.request("GET", "/users/chunked", &[]).text(), "abcde");
    assert_eq!(connection.request("GET", "/users/none", &[]).status, 204);
    assert_eq!(connection.request("GET", "/users/close", &[]).text(), "until the end");
    assert_eq!(connection.request("GET", "/users/hints", &[]).text(), "ok");
    assert_eq!(connection.request("GET", "/users", &[]).text(), "hello\n");
    assert_eq!(gateway.stats().iter().map(|row| row["failed"].as_u64().unwrap()).sum::<u64>(), 0);
}

#[test]
fn request_trailers_and_chunk_extensions_do_no_harm() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    let request = "POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;ext=1\r\nhello\r\n0\r\nX-Sum: 1\r\nX-User-Id: admin\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(connection.send(request).answer(false).status, 200);
    }
    for received in upstream.received() {
        assert_eq!(received.body, b"hello");
        assert!(!received.trailers.iter().any(|line| line.to_lowercase().contains("x-user-id")), "{received:?}");
    }
}

#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    connection.send("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(connection.next_answer(false).status, 100);
    assert_eq!(connection.send("hello").answer(false).status, 200);
    assert_eq!(upstream.only().body, b"hello");
}

/// Its body, which it may leave out now, cannot be told from the next request.
#[test]
fn who_waits_for_a_100_and_is_refused_gets_no_second_request_on_the_connection() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    connection.send("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\nExpect: 100-continue\r\n\r\n");
    let refused = connection.answer(false);
    assert_eq!((refused.status, refused.header("connection")), (404, Some("close")));
    connection.send("GET /users HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(connection.is_closed());
    assert!(upstream.received().is_empty());
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let upstream = Upstream::with(|request| Reply::status(200, request.path()));
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    let ahead: String = (0..20).map(|i| format!("GET /users/{i} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
    connection.send(ahead);
    for i in 0..20 {
        assert_eq!(connection.answer(false).text(), format!("/users/{i}"));
    }
}

#[test]
fn an_upstreams_own_errors_pass_untouched() {
    let upstream = Upstream::with(|_| Reply::status(503, "my own words"));
    let gateway = open(&upstream);
    let response = gateway.get("/users");
    assert_eq!((response.status, response.text(), response.header("x-gateway-error")), (503, "my own words", None));
}

#[test]
fn an_answer_that_is_no_http_or_never_comes_is_the_gateways_to_explain() {
    let upstream = Upstream::with(|request| match request.path() {
        "/users/garbage" => Reply::Close(b"\x00\x01garbage\r\n\r\n".to_vec()),
        "/users/hangs-up" => Reply::Close(Vec::new()),
        "/users/resets" => Reply::Reset(Vec::new()),
        "/users/lengths" => {
            Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy".to_vec())
        }
        _ => Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0; 1])))),
    });
    let gateway = gateway(format!(
        "routes: [{{ path: /, target: {}, breaker: off, timeouts: {{ firstByte: 300ms }} }}]\n",
        upstream.url()
    ));
    gateway.get("/users/garbage").is_problem(502, "upstream_bad_answer");
    gateway.get("/users/lengths").is_problem(502, "upstream_bad_answer");
    gateway.get("/users/hangs-up").is_problem(502, "upstream_reset");
    gateway.get("/users/resets").is_problem(502, "upstream_reset");
    gateway.get("/users/silent").is_problem(504, "upstream_timeout");
    let line = gateway.log_line("upstream_timeout");
    assert!(line.starts_with(&format!("[GET] {}/users/silent → 504 (3", upstream.url())), "{line}");
}

/// An upstream may close a connection at the very moment that a request goes out on it.
#[test]
fn a_connection_that_died_while_it_waited_costs_nothing_where_a_request_may_be_repeated() {
    eventually("a connection to be used again", || {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let upstream = Upstream::with(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 2 {
            0 => Reply::ok(),
            _ => Reply::Close(Vec::new()),
        });
        let gateway = open(&upstream);
        let mut connection = gateway.connect();
        assert_eq!(connection.request("GET", "/users", &[]).status, 200);
        let repeated = connection.request("GET", "/users", &[("X-Request-ID", "repeated")]);
        if repeated.status == 502 && upstream.connections() == 2 {
            // The connection was not back yet, and on a new one nothing is repeated.
            return None;
        }
        assert_eq!(repeated.status, 200, "{repeated:?}");
        assert!(gateway.log_line("[repeated]").ends_with("attempts=2"));
        assert_eq!((upstream.connections(), upstream.received().len()), (2, 3));
        let row = &gateway.settled_stats()[0];
        assert_eq!((&row["neutral"], &row["failed"]), (&1.into(), &0.into()), "it says nothing of the target: {row}");
        let post = connection.request("POST", "/users", &[("Content-Length", "0")]);
        post.is_problem(502, "upstream_reset");
        assert_eq!(upstream.received().len(), 4, "a POST was sent twice");
        Some(())
    });
}

#[test]
fn slow_bytes_arrive_as_they_come() {
    let upstream = Upstream::with(|_| {
        Reply::Talk(Box::new(|stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n").unwrap();
            // The second event only once the first has been seen to arrive: the reader says so by closing.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
            let _ = stream.read(&mut [0; 1]);
        }))
    });
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    connection.send(crate::support::client::head("GET", "/users/events", &[]));
    let text = loop {
        let text = connection.take(1);
        if text == b"1" {
            break text;
        }
    };
    assert_eq!(text, b"1");
}

/// A server that says the first half of its answer as soon as it has a head, and the rest with the end of the body.
fn says_half() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let lines = reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let head: Vec<String> = lines.collect();
                let chunked = head.iter().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
                // Since it does close: a request on a connection that is about to be would be lost.
                let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
                (&stream).write_all(format!("{answer}5\r\nhello\r\n").as_bytes()).unwrap();
                if chunked {
                    reader.lines().map_while(Result::ok).take_while(|line| line != "0").for_each(drop);
                } else if head[0].starts_with("POST") {
                    reader.read_exact(&mut [0; 20_000]).unwrap();
                }
                (&stream).write_all(b"5\r\nworld\r\n0\r\n\r\n").unwrap();
            });
        }
    });
    url
}

/// What followed was taken for the client's leaving, and the answer was cut off.
#[test]
fn what_is_sent_ahead_while_an_early_answer_comes_does_not_cut_it_off() {
    let gateway = gateway(format!("routes: [{{ path: /, target: {} }}]\n", says_half()));
    let (begun, rest) = ("x".repeat(10_000), "x".repeat(10_000));
    for (framing, begun, rest) in
        [("Transfer-Encoding: chunked", "5\r\nabcde\r\n", "0\r\n\r\n"), ("Content-Length: 20000", &*begun, &*rest)]
    {
        for ahead in ["GET /b HTTP/1.1\r\nHost: x\r\n\r\n", "G", ""] {
            let mut connection = gateway.connect();
            connection.send(format!("POST /a HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{begun}"));
            let mut half = Vec::new();
            while !half.ends_with(b"hello\r\n") {
                half.extend(connection.take(1));
            }
            assert!(half.starts_with(b"HTTP/1.1 200 ") && String::from_utf8_lossy(&half).contains("Connection: close"));
            connection.send(format!("{rest}{ahead}"));
            assert_eq!(connection.take(15), b"5\r\nworld\r\n0\r\n\r\n", "{framing}, {ahead}");
            assert!(connection.is_closed());
        }
    }
}
