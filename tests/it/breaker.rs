//! Targets that fail, and clients that only look like it.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Gateway, Reply, Upstream, eventually, gateway, nobody};

/// A route over all of `targets`.
fn over(targets: &[String], extra: &str) -> Gateway {
    gateway(format!("routes: [{{ path: /, targets: [{}]{extra} }}]\n", targets.join(", ")))
}

fn failing() -> Upstream {
    Upstream::with(|_| Reply::status(500, "broken"))
}

#[test]
fn three_failures_in_a_row_open_a_circuit_and_the_others_carry_on() {
    let (bad, good) = (failing(), Upstream::start());
    let gateway = over(&[bad.url(), good.url()], "");
    let statuses: Vec<u16> = (0..20).map(|_| gateway.get("/").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 500).count(), 3, "{statuses:?}");
    assert_eq!((bad.received().len(), good.received().len()), (3, 17));
    assert_eq!(gateway.states(), ["OPEN", "CLOSED"]);
    let row = &gateway.stats()[0];
    assert_eq!(
        (&row["failures"], &row["trips"], &row["lastFailure"]["cause"]),
        (&3.into(), &1.into(), &"status 500".into())
    );
}

#[test]
fn when_all_circuits_are_open_the_answer_is_503_at_once() {
    let (a, b) = (failing(), failing());
    let gateway = over(&[a.url(), b.url()], "");
    for _ in 0..6 {
        assert_eq!(gateway.get("/").status, 500);
    }
    let mut connection = gateway.connect();
    for _ in 0..50 {
        let response = connection.request("GET", "/", &[]);
        response.is_problem(503, "no_target_available");
        let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
        assert!((55..=60).contains(&wait), "{wait}");
    }
    assert_eq!(a.received().len() + b.received().len(), 6);
    assert_eq!(gateway.states(), ["OPEN", "OPEN"]);
}

#[test]
fn after_the_cooldown_one_probe_decides() {
    let (well, hits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (is_well, count) = (well.clone(), hits.clone());
    let upstream = Upstream::with(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        if is_well.load(Ordering::SeqCst) { Reply::ok() } else { Reply::status(500, "broken") }
    });
    let gateway = over(&[upstream.url()], ", breaker: { failures: 2, cooldown: 300ms }");
    let trip = |gateway: &Gateway| {
        eventually("the circuit to open", || {
            gateway.get("/");
            (gateway.states() == ["OPEN"]).then_some(())
        })
    };
    trip(&gateway);
    let before = hits.load(Ordering::SeqCst);
    // It is still ill: of many requests after the cooldown one goes through, and it opens again.
    eventually("the cooldown to be over", || (gateway.states() == ["HALF_OPEN"]).then_some(()));
    let opened = Instant::now();
    let statuses: Vec<u16> = (0..10).map(|_| gateway.get("/").status).collect();
    if opened.elapsed() < Duration::from_millis(250) {
        assert_eq!(hits.load(Ordering::SeqCst), before + 1, "{statuses:?}");
        assert_eq!(gateway.states(), ["OPEN"]);
    }
    well.store(true, Ordering::SeqCst);
    eventually("the circuit to close", || (gateway.get("/").status == 200).then_some(()));
    assert_eq!(gateway.states(), ["CLOSED"]);
    assert_eq!(gateway.stats()[0]["failures"], 0);
}

#[test]
fn a_target_that_refuses_connections_costs_clients_nothing() {
    let good = Upstream::start();
    let dead = format!("http://{}", nobody());
    let gateway = over(&[dead.clone(), good.url(), format!("http://{}", nobody())], "");
    for i in 0..30 {
        // Nothing was sent to the dead ones, so any method may go on to the next target.
        let response = gateway.raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(response.status, 200, "request {i}: {response:?}");
    }
    assert_eq!(good.received().len(), 30);
    assert!(good.received().iter().all(|request| request.body == b"hello"));
    let stats = gateway.settled_stats();
    assert_eq!(gateway.states(), ["OPEN", "CLOSED", "OPEN"]);
    assert_eq!((&stats[0]["failures"], &stats[0]["failed"], &stats[0]["requests"]), (&3.into(), &3.into(), &3.into()));
    assert!(stats[0]["lastFailure"]["cause"].as_str().unwrap().starts_with("cannot connect"), "{stats:?}");
    assert_eq!((&stats[1]["succeeded"], &stats[1]["failed"]), (&30.into(), &0.into()));
    assert!(gateway.log_line("attempts=").contains("→ 200"));
}

#[test]
fn when_nobody_can_be_connected_to_the_answer_is_502_and_then_503() {
    let gateway = over(&[format!("http://{}", nobody()), format!("http://{}", nobody())], "");
    for _ in 0..3 {
        gateway.get("/").is_problem(502, "upstream_connect_failed");
    }
    gateway.get("/").is_problem(503, "no_target_available");
}

#[test]
fn a_body_that_breaks_off_counts_although_its_head_was_good() {
    let upstream =
        Upstream::with(|_| Reply::Close(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this".to_vec()));
    let gateway = over(&[upstream.url()], "");
    for _ in 0..3 {
        let mut connection = gateway.connect();
        connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(String::from_utf8_lossy(&connection.rest()).ends_with("only this"));
    }
    eventually("the circuit to open", || (gateway.states() == ["OPEN"]).then_some(()));
    assert_eq!(gateway.stats()[0]["failed"], 3);
}

#[test]
fn statuses_and_off_are_configurable() {
    let upstream = Upstream::with(|request| Reply::status(request.path()[1..].parse().unwrap(), "x"));
    let picky = over(&[upstream.url()], ", breaker: { failures: 1, statuses: [503] }");
    for _ in 0..5 {
        assert_eq!(picky.get("/500").status, 500);
    }
    assert_eq!(picky.get("/503").status, 503);
    assert_eq!(picky.states(), ["OPEN"]);
    let off = over(&[upstream.url()], ", breaker: off");
    for _ in 0..10 {
        assert_eq!(off.get("/500").status, 500);
    }
    assert_eq!(off.states(), ["CLOSED"]);
    let row = &off.settled_stats()[0];
    assert_eq!((&row["failed"], &row["lastFailure"]["cause"]), (&10.into(), &"status 500".into()), "{row}");
}

/// Half of the answers fail, never two in a row: no row opens the circuit, the share does.
#[test]
fn a_share_of_failures_opens_a_circuit_that_no_row_would() {
    let count = AtomicUsize::new(0);
    let upstream = Upstream::with(move |_| match count.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Reply::ok(),
        _ => Reply::status(500, "broken"),
    });
    let by_row = over(&[upstream.url()], "");
    (0..40).for_each(|_| drop(by_row.get("/")));
    assert_eq!(by_row.states(), ["CLOSED"]);
    let by_share = over(&[upstream.url()], ", breaker: { failureRatio: 40%, window: 60s, minRequests: 20 }");
    (0..19).for_each(|_| drop(by_share.get("/")));
    let row = &by_share.settled_stats()[0];
    assert_eq!(
        (&row["state"], &row["recent"]["requests"], &row["recent"]["slow"]),
        (&"CLOSED".into(), &19.into(), &0.into())
    );
    by_share.get("/");
    assert_eq!(by_share.states(), ["OPEN"]);
    by_share.get("/").is_problem(503, "no_target_available");
}

#[test]
fn slow_answers_are_failures_or_a_share_of_their_own() {
    let upstream = Upstream::with(|_| {
        std::thread::sleep(Duration::from_millis(120));
        Reply::ok()
    });
    let strict = over(&[upstream.url()], ", breaker: { slowerThan: 100ms }");
    assert_eq!([(); 3].map(|()| strict.get("/").status), [200; 3], "what has come is not taken away");
    assert_eq!(strict.states(), ["OPEN"]);
    let cause = strict.stats()[0]["lastFailure"]["cause"].clone();
    assert!(cause.as_str().is_some_and(|cause| cause.starts_with("slow answer: 1")), "{cause}");
    let share = over(&[upstream.url()], ", breaker: { slowerThan: 100ms, slowRatio: 100%, minRequests: 5 }");
    assert_eq!([(); 4].map(|()| share.get("/").status), [200; 4]);
    let row = &share.settled_stats()[0];
    assert_eq!((&row["state"], &row["recent"]["slow"], &row["failed"]), (&"CLOSED".into(), &4.into(), &0.into()));
    assert_eq!(share.get("/").status, 200);
    assert_eq!(share.states(), ["OPEN"]);
}

/// As an answer without a body has it: in its head.
#[test]
fn statuses_of_grpc_count() {
    let upstream = Upstream::with(|request| {
        let status = &request.path()[1..];
        let head = format!("content-type: application/grpc\r\ngrpc-status: {status}\r\ncontent-length: 0\r\n");
        Reply::Bytes(format!("HTTP/1.1 200 OK\r\n{head}\r\n").into())
    });
    let gateway = over(&[upstream.url()], ", breaker: { failures: 2 }");
    for (path, failures) in [("/14", 1), ("/0", 0), ("/13", 1), ("/12", 0), ("/14", 1)] {
        assert_eq!(gateway.get(path).status, 200);
        assert_eq!(gateway.stats()[0]["failures"], failures, "{path}");
    }
    assert_eq!(gateway.stats()[0]["lastFailure"]["cause"], "gRPC status UNAVAILABLE");
    assert_eq!(gateway.get("/2").status, 200);
    assert_eq!(gateway.states(), ["OPEN"]);
}

#[test]
fn a_target_may_have_a_breaker_of_its_own() {
    let (patient, quick) = (failing(), failing());
    let gateway = gateway(format!(
        "routes: [{{ path: /, targets: [{}, {{ url: {}, breaker: {{ failures: 1 }} }}], breaker: {{ failures: 4 }} }}]\n",
        patient.url(),
        quick.url()
    ));
    (0..3).for_each(|_| drop(gateway.get("/")));
    assert_eq!(gateway.states(), ["CLOSED", "OPEN"]);
    (0..2).for_each(|_| drop(gateway.get("/")));
    assert_eq!(gateway.states(), ["OPEN", "OPEN"]);
}

#[test]
fn a_cooldown_grows_while_probes_fail() {
    let upstream = failing();
    let extra = ", breaker: { failures: 1, cooldown: 100ms, backoff: { factor: 10, max: 1h, jitter: 0% } }";
    let gateway = over(&[upstream.url()], extra);
    assert_eq!(gateway.get("/").status, 500);
    eventually("the probe", || (gateway.get("/").status == 500).then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(gateway.get("/").status, 503, "a second, this time");
    eventually("the next probe", || (gateway.get("/").status == 500).then_some(()));
    let row = &gateway.stats()[0];
    assert_eq!((&row["trips"], upstream.received().len()), (&3.into(), 3));
}

#[test]
fn one_circuit_serves_all_routes_that_name_the_target() {
    let upstream = failing();
    let gateway =
        gateway(format!("routes:\n  - {{ path: /a, target: {0} }}\n  - {{ path: /b, target: {0} }}\n", upstream.url()));
    for target in ["/a", "/b", "/a"] {
        assert_eq!(gateway.get(target).status, 500);
    }
    gateway.get("/b").is_problem(503, "no_target_available");
    assert_eq!(gateway.states(), ["OPEN", "OPEN"]);
}

/// A hundred clients of each kind that break their own requests.
fn clients_at_fault(misbehave: impl Fn(&Gateway, usize)) {
    // Answers only whole requests, and slowly when asked: some clients leave before.
    let upstream = Upstream::with(|request| {
        if request.path() == "/slow" {
            std::thread::sleep(Duration::from_millis(20));
        }
        Reply::ok()
    });
    let gateway = over(&[upstream.url(), upstream.url().replace("127.0.0.1", "localhost")], "");
    for i in 0..100 {
        misbehave(&gateway, i);
    }
    for row in gateway.settled_stats() {
        assert_eq!(
            (&row["state"], &row["failures"], &row["failed"]),
            (&"CLOSED".into(), &0.into(), &0.into()),
            "{row}"
        );
    }
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn clients_that_send_bad_chunks_open_no_circuit() {
    clients_at_fault(|gateway, i| {
        let chunk = ["zz\r\nhello\r\n", "5\r\nhel", "-1\r\nx\r\n", "5\r\nhello world\r\n"][i % 4];
        let mut connection = gateway.connect();
        connection.send(format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n{chunk}"));
        drop(connection);
    });
}

#[test]
fn clients_that_cut_their_uploads_open_no_circuit() {
    clients_at_fault(|gateway, i| {
        let mut connection = gateway.connect();
        connection.send(format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(i * 50)));
        if i % 2 == 0 {
            socket2::SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(connection);
    });
}

#[test]
fn clients_that_leave_before_the_answer_open_no_circuit() {
    clients_at_fault(|gateway, i| {
        let mut connection = gateway.connect();
        connection.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
        if i % 2 == 0 {
            socket2::SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(connection);
    });
}

#[test]
fn clients_that_stall_their_uploads_open_no_circuit() {
    let upstream = Upstream::start();
    let gateway = over(&[upstream.url()], ", timeouts: { read: 200ms }");
    for _ in 0..4 {
        let mut connection = gateway.connect();
        connection.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
        connection.answer(false).is_problem(408, "request_timeout");
    }
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failed"], &row["neutral"]), (&"CLOSED".into(), &0.into(), &4.into()), "{row}");
}

#[test]
fn tunnels_that_end_open_no_circuit_however_they_end() {
    let upstream = Upstream::with(|request| match request.path() {
        "/" => Reply::ok(),
        path => {
            let reset = path == "/reset";
            Reply::Talk(Box::new(move |stream| {
                let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
                stream.write_all(head.as_bytes()).unwrap();
                // Silence, until the gateway or the client has had enough; or the hammer.
                let _ = std::io::Read::read(stream, &mut [0; 1]);
                if reset {
                    let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                }
            }))
        }
    });
    let gateway = over(&[upstream.url()], ", timeouts: { read: 200ms }");
    for target in ["/silent", "/reset", "/silent", "/reset", "/silent"] {
        let mut connection = gateway.connect();
        let headers = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
        connection.send(crate::support::client::head("GET", target, &headers));
        assert_eq!(connection.next_answer(false).status, 101);
        if target == "/reset" {
            connection.send("x");
        }
        assert!(connection.is_closed());
    }
    assert_eq!(gateway.get("/").status, 200);
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failed"], &row["succeeded"]), (&"CLOSED".into(), &0.into(), &6.into()), "{row}");
}

/// The upstream waits for the client, too, and at some time gives up: that is no fault of the upstream's.
#[test]
fn clients_that_read_too_slowly_open_no_circuit() {
    const SIZE: usize = 32 * 1024 * 1024;
    let upstream = Upstream::with(|request| match request.path() {
        "/large" => Reply::Talk(Box::new(|stream| {
            stream.set_write_timeout(Some(Duration::from_millis(600))).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
            let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![b'x'; SIZE]));
            assert!(sent.is_err(), "the client has read everything");
            let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
        })),
        _ => Reply::ok(),
    });
    let gateway = over(&[upstream.url()], "");
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
            connection
        })
        .collect();
    std::thread::sleep(Duration::from_millis(2_000));
    for mut connection in clients {
        let got = connection.rest().len();
        assert!((1..SIZE).contains(&got), "{got} bytes");
    }
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failed"], &row["neutral"]), (&"CLOSED".into(), &0.into(), &4.into()), "{row}");
}

#[test]
fn a_probe_whose_client_leaves_gives_its_place_to_the_next() {
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = ill.clone();
    let upstream = Upstream::with(move |request| match (is_ill.load(Ordering::SeqCst), request.path()) {
        (true, _) => Reply::status(500, "broken"),
        (false, "/slow") => Reply::Talk(Box::new(|stream| {
            // Answers nothing until the other side gives up.
            let _ = std::io::Read::read(stream, &mut [0; 1]);
        })),
        _ => Reply::ok(),
    });
    let gateway = over(&[upstream.url()], ", breaker: { failures: 1, cooldown: 100ms }");
    assert_eq!(gateway.get("/").status, 500);
    ill.store(false, Ordering::SeqCst);
    eventually("the cooldown to be over", || (gateway.states() == ["HALF_OPEN"]).then_some(()));
    let mut probe = gateway.connect();
    probe.stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    eventually("the probe to be under way", || (gateway.stats()[0]["requests"] == 2).then_some(()));
    let meanwhile = gateway.get("/");
    meanwhile.is_problem(503, "no_target_available");
    assert_eq!(meanwhile.header("retry-after"), Some("1"), "when the probe ends is anybody's guess");
    drop(probe);
    eventually("the next probe to close the circuit", || (gateway.get("/").status == 200).then_some(()));
    assert_eq!(gateway.states(), ["CLOSED"]);
}
