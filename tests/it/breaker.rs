//! Targets that fail, and come back.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Gateway, Reply, Upstream, eventually, gateway, nobody, over};

#[test]
fn three_failures_in_a_row_open_a_circuit_and_the_others_carry_on() {
    let (bad, good) = (Upstream::failing(), Upstream::start());
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
    let (a, b) = (Upstream::failing(), Upstream::failing());
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
    for line in [": its circuit is open for 0.3 s: status 500", ": its circuit is closed again"] {
        gateway.said(&format!("{}{line}", upstream.url()));
    }
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
fn one_circuit_serves_all_routes_that_name_the_target() {
    let upstream = Upstream::failing();
    let gateway =
        gateway(format!("routes:\n  - {{ path: /a, target: {0} }}\n  - {{ path: /b, target: {0} }}\n", upstream.url()));
    for target in ["/a", "/b", "/a"] {
        assert_eq!(gateway.get(target).status, 500);
    }
    gateway.get("/b").is_problem(503, "no_target_available");
    assert_eq!(gateway.states(), ["OPEN", "OPEN"]);
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

/// However it ends then, it has no say any more.
#[test]
fn a_probe_that_hangs_gives_its_place_to_the_next_when_its_time_is_over() {
    let (ill, hangs) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let (is_ill, is_hung) = (ill.clone(), hangs.clone());
    let upstream = Upstream::with(move |request| {
        while request.path() == "/hung" && is_hung.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if request.path() == "/hung" || is_ill.load(Ordering::SeqCst) { Reply::status(500, "x") } else { Reply::ok() }
    });
    let gateway = over(&[upstream.url()], ", breaker: { failures: 1, cooldown: 100ms, probeTimeout: 1s }");
    assert_eq!(gateway.get("/").status, 500);
    ill.store(false, Ordering::SeqCst);
    eventually("the cooldown to be over", || (gateway.states() == ["HALF_OPEN"]).then_some(()));
    let (mut probe, sent) = (gateway.connect(), Instant::now());
    probe.send("GET /hung HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the probe to be under way", || (upstream.received().len() == 2).then_some(()));
    eventually("the next probe", || (gateway.get("/").status == 200).then_some(()));
    assert!(sent.elapsed() >= Duration::from_secs(1), "{:?}", sent.elapsed());
    assert_eq!((gateway.states(), &gateway.stats()[0]["inFlight"]), (vec!["CLOSED".to_owned()], &1.into()));
    hangs.store(false, Ordering::SeqCst);
    assert_eq!(probe.answer(false).status, 500);
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failures"], &row["failed"]), (&"CLOSED".into(), &0.into(), &2.into()), "{row}");
}
