//! Whose slowness it is, the client's or the target's, and that no deadline can be slept through.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use crate::support::client::head;
use crate::support::{Connection, Gateway, Reply, Upstream, eventually, gateway};

fn over(target: &str, extra: &str) -> Gateway {
    gateway(format!("routes: [{{ path: /, target: '{target}', {extra} }}]\n"))
}

fn silent() -> Reply {
    Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0; 1]))))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A server that does what it likes with each connection.
fn server(each: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let each = each.clone();
            spawn(move || each(stream));
        }
    });
    url
}

/// Reads up to the end of a head.
fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut got = Vec::new();
    let mut chunk = [0; 4_096];
    while !got.windows(4).any(|end| end == b"\r\n\r\n") {
        let n = stream.read(&mut chunk).ok().filter(|n| *n > 0)?;
        got.extend_from_slice(&chunk[..n]);
    }
    Some(got)
}

fn post(gateway: &Gateway, length: usize, begin: &[u8]) -> Connection {
    let mut connection = gateway.connect();
    connection.send(head("POST", "/", &[("Content-Length", &length.to_string())])).send(begin);
    connection
}

/// What is sent ahead while a request waits is nothing to stop waiting for.
#[test]
fn a_byte_of_the_next_request_silences_no_deadline() {
    let upstream = Upstream::with(|request| match request.path() {
        "/drips" => Reply::Talk(Box::new(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            while stream.write_all(b"1\r\nx\r\n").is_ok() {
                sleep(millis(50));
            }
        })),
        _ => silent(),
    });
    let gateway = over(&upstream.url(), "timeouts: { firstByte: 400ms, total: 900ms }");
    for (path, least) in [("/", 400), ("/drips", 900)] {
        let (mut connection, start) = (gateway.connect(), Instant::now());
        connection.send(head("GET", path, &[]));
        sleep(millis(100));
        connection.send("G");
        let answer = connection.rest();
        let took = start.elapsed().as_millis();
        assert!((least..least + 1_500).contains(&took), "{path}: {took} ms, {}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn requests_sent_ahead_in_pieces_are_answered_in_order() {
    let upstream = Upstream::with(|request| {
        sleep(millis(200));
        Reply::status(200, request.path())
    });
    let gateway = over(&upstream.url(), "");
    let mut connection = gateway.connect();
    connection.send(head("GET", "/a", &[]));
    sleep(millis(50));
    let next = head("GET", "/b", &[]);
    for piece in [&next[..1], &next[1..9], &next[9..]] {
        connection.send(piece);
        sleep(millis(20));
    }
    connection.send(head("GET", "/c", &[]));
    assert_eq!(["/a", "/b", "/c"].map(|_| connection.answer(false).text().to_owned()), ["/a", "/b", "/c"]);
}

#[test]
fn a_slow_upload_is_no_slow_answer() {
    let upstream = Upstream::start();
    let gateway = over(&upstream.url(), "breaker: { failures: 1, slowerThan: 300ms }");
    let mut upload = post(&gateway, 2, b"x");
    sleep(millis(600));
    assert_eq!(upload.send("y").answer(false).status, 200);
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["succeeded"]), (&"CLOSED".into(), &1.into()), "{row}");
    assert!(row["latency"]["p99"].as_f64().unwrap() < 300.0, "{row}");
}

/// As servers do that have a time-out of their own for requests.
#[test]
fn a_target_that_gives_up_on_a_slow_client_is_not_to_blame() {
    let url = server(|mut stream| {
        drop(read_head(&mut stream));
        sleep(millis(1_500));
    });
    let gateway = over(&url, "breaker: { failures: 1 }");
    post(&gateway, 100, b"x").answer(false).is_problem(408, "request_timeout");
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["neutral"]), (&"CLOSED".into(), &1.into()), "{row}");
    let quick = server(|mut stream| drop(read_head(&mut stream)));
    let gateway = over(&quick, "breaker: { failures: 1 }");
    post(&gateway, 100, b"x").answer(false).is_problem(502, "upstream_reset");
    assert_eq!(gateway.states(), ["OPEN"], "who has not waited has not waited for the client");
}

#[test]
fn a_target_that_is_being_probed_is_no_other_one_to_try() {
    let hangs = Arc::new(AtomicBool::new(false));
    let slow = Upstream::with(|_| {
        sleep(millis(600));
        Reply::ok()
    });
    let probed = {
        let hangs = hangs.clone();
        Upstream::with(move |_| if hangs.load(Ordering::SeqCst) { silent() } else { Reply::status(500, "") })
    };
    let gateway = gateway(format!(
        "routes: [{{ path: /, targets: [{}, {}], breaker: {{ failures: 1, cooldown: 1s }},
                     retry: {{ on: [timeout], perTryTimeout: 200ms }} }}]\n",
        slow.url(),
        probed.url()
    ));
    eventually("one to open", || {
        gateway.request("POST", "/", &[("Content-Length", "0")]);
        (gateway.states()[1] == "OPEN").then_some(())
    });
    hangs.store(true, Ordering::SeqCst);
    eventually("its cooldown to end", || (gateway.states()[1] == "HALF_OPEN").then_some(()));
    // One of these is the probe.
    let _probes: Vec<Connection> = (0..2).map(|_| post(&gateway, 0, b"")).collect();
    eventually("the probe to be under way", || (gateway.stats()[1]["inFlight"] == 1).then_some(()));
    assert_eq!(gateway.get("/").status, 200, "{:?}", gateway.stats());
    assert_eq!(gateway.states()[0], "CLOSED");
}

#[test]
fn one_routes_haste_is_not_that_of_another_with_the_same_target() {
    const SIZE: usize = 8_000_000;
    let url = server(|mut stream| {
        while let Some(head) = read_head(&mut stream) {
            let mut left = if head.starts_with(b"POST") { SIZE } else { 0 };
            if left > 0 {
                sleep(millis(2_000));
                left -= head.len() - head.windows(4).position(|end| end == b"\r\n\r\n").unwrap() - 4;
            }
            let mut chunk = vec![0; 65_536];
            while left > 0 {
                left -= stream.read(&mut chunk).unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /quick, target: '{url}', timeouts: {{ firstByte: 400ms, read: 400ms }} }}\n  - {{ path: /, target: '{url}' }}\n"
    ));
    assert_eq!(gateway.get("/quick").status, 200);
    let mut upload = post(&gateway, SIZE, b"");
    assert_eq!(upload.send(vec![b'x'; SIZE]).answer(false).status, 200);
}

#[test]
fn the_end_of_all_waiting_holds_within_an_upload() {
    let url = server(|mut stream| {
        let mut chunk = vec![0; 65_536];
        while stream.read(&mut chunk).is_ok_and(|n| n > 0) {
            sleep(millis(50));
        }
    });
    let gateway = over(&url, "timeouts: { total: 800ms }");
    let start = Instant::now();
    let mut upload = post(&gateway, 100_000_000, b"");
    let mut sender = upload.stream.try_clone().unwrap();
    let sending = spawn(move || while sender.write_all(&[b'x'; 65_536]).is_ok() {});
    upload.answer(false).is_problem(504, "upstream_timeout");
    let took = start.elapsed().as_millis();
    assert!((800..3_500).contains(&took), "{took} ms");
    drop(upload);
    sending.join().unwrap();
}

#[test]
fn an_early_answer_does_not_make_an_upload_endless() {
    for answer in [
        "401 Unauthorized\r\ncontent-length: 2\r\n\r\nno",
        "401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
        "204 No Content\r\n\r\n",
    ] {
        let url = server(move |mut stream| {
            drop(read_head(&mut stream));
            write!(stream, "HTTP/1.1 {answer}").unwrap();
            drop(stream.read_to_end(&mut Vec::new()));
        });
        let gateway = over(&url, "timeouts: { total: 1s }, concurrency: 1");
        let mut upload = post(&gateway, 1_000, b"x");
        assert!(answer.starts_with(&upload.answer(false).status.to_string()));
        eventually("the place to be free", || {
            let _ = upload.stream.write_all(b"x");
            sleep(millis(50));
            (gateway.stats()[0]["inFlight"] == 0).then_some(())
        });
        assert_eq!(gateway.settled_stats()[0]["failed"], 0, "{answer}");
    }
}

/// Its answer is whole, and has no body whose end could be heard.
#[test]
fn who_falls_silent_after_an_early_answer_is_not_held_against_its_target() {
    let url = server(|mut stream| {
        drop(read_head(&mut stream));
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let gateway = over(&url, "timeouts: { read: 300ms }, breaker: { failures: 1 }");
    let mut upload = post(&gateway, 1_000, b"x");
    assert_eq!(upload.answer(false).status, 204);
    upload.stream.write_all(b"x").unwrap();
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failed"]), (&"CLOSED".into(), &0.into()), "{row}");
}

/// The target answers one request on each connection and closes it when the next one comes.
#[test]
fn a_stale_connection_is_nobodys_fault_whatever_is_sent_on_it() {
    let url = server(|mut stream| {
        let Some(got) = read_head(&mut stream) else { return };
        let body = got.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        // Its path is the length of its body.
        let path = std::str::from_utf8(&got).unwrap_or_default().split(['/', ' ']).nth(2);
        let length: usize = path.and_then(|path| path.parse().ok()).unwrap();
        if stream.read_exact(&mut vec![0; (body + length).saturating_sub(got.len())]).is_ok() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        }
        drop(stream.read(&mut [0; 16]));
    });
    for (method, repeatable, sizes) in
        [("GET", true, &[0][..]), ("PUT", true, &[2_000, 40_000]), ("POST", false, &[0, 2_000, 40_000])]
    {
        let gateway = over(&url, "breaker: { failures: 1 }");
        for &size in sizes {
            let send = |method: &str| {
                let head = head(method, &format!("/{size}"), &[("Content-Length", &size.to_string())]);
                gateway.connect().send([head.into_bytes(), vec![b'x'; size]].concat()).answer(false).status
            };
            let ask = || {
                // Of the same length, since short ones have connections of their own.
                assert_eq!(send("PUT"), 200);
                // The connection is kept once the request is over, a moment after its answer.
                gateway.settled_stats();
                send(method)
            };
            // One that is looked at in that very moment, whether it is closed, is passed over and a new one made: on a busy
            // machine many times in a row.
            let mut statuses: Vec<u16> = (0..5).map(|_| ask()).collect();
            while !repeatable && !statuses.contains(&502) && statuses.len() < 200 {
                sleep(millis(statuses.len() as u64));
                statuses.push(ask());
            }
            let is_met = statuses.contains(&502) && statuses.iter().all(|status| [200, 502].contains(status));
            assert!(if repeatable { statuses == [200; 5] } else { is_met }, "{method} of {size}: {statuses:?}");
        }
        let row = &gateway.settled_stats()[0];
        assert_eq!((&row["state"], &row["failed"]), (&"CLOSED".into(), &0.into()), "{method}: {row}");
    }
}

#[test]
fn an_upload_that_takes_its_time_does_not_keep_a_target_from_being_probed() {
    let fails = Arc::new(AtomicBool::new(true));
    let upstream = {
        let fails = fails.clone();
        Upstream::with(move |_| if fails.load(Ordering::SeqCst) { Reply::status(500, "") } else { Reply::ok() })
    };
    let gateway = over(&upstream.url(), "breaker: { failures: 1, cooldown: 500ms }");
    assert_eq!(gateway.get("/").status, 500);
    fails.store(false, Ordering::SeqCst);
    eventually("the cooldown to end", || (gateway.states()[0] == "HALF_OPEN").then_some(()));
    let _drips = post(&gateway, 100, b"x");
    eventually("the probe to be under way", || (gateway.stats()[0]["inFlight"] == 1).then_some(()));
    let start = Instant::now();
    eventually("somebody else to probe", || (gateway.get("/").status == 200).then_some(()));
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn a_target_that_says_to_wait_and_then_nothing_is_late() {
    let upstream = Upstream::with(|_| {
        Reply::Talk(Box::new(|stream| {
            let _ = stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
            drop(stream.read(&mut [0; 1]));
        }))
    });
    for (timeouts, cause) in [
        ("total: 400ms", "timed out: no end of its answer within 400 ms"),
        ("firstByte: 400ms", "timed out: no answer within 400 ms"),
    ] {
        let gateway = over(&upstream.url(), &format!("timeouts: {{ {timeouts} }}"));
        gateway.get("/").is_problem(504, "upstream_timeout");
        assert_eq!(gateway.settled_stats()[0]["lastFailure"]["cause"], cause);
    }
}

#[test]
fn the_cause_tells_how_long_an_attempt_was_waited_for() {
    let (hangs, good) = (Upstream::with(|_| silent()), Upstream::start());
    let gateway = gateway(format!(
        "routes: [{{ path: /, targets: [{}, {}], retry: {{ on: [timeout], perTryTimeout: 300ms }} }}]\n",
        hangs.url(),
        good.url()
    ));
    (0..2).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    assert_eq!(gateway.stats()[0]["lastFailure"]["cause"], "timed out: no answer within 300 ms");
}
