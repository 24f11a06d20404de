//! What opens a circuit, and for how long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Reply, Upstream, eventually, gateway, over};

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

/// `g` is a good answer, `b` a bad one.
#[test]
fn rows_and_shares_open_a_circuit_alone_or_together_as_the_mode_says() {
    let upstream = Upstream::with(|request| match request.path() {
        "/b" => Reply::status(500, "broken"),
        _ => Reply::ok(),
    });
    for (mode, answers, state) in [
        ("any", "bb", "CLOSED"),
        ("any", "bbb", "OPEN"),
        ("any", "bgbgbgbgb", "CLOSED"),
        ("any", "bgbgbgbgbg", "OPEN"),
        ("all", "gggggggggbbb", "CLOSED"),
        ("all", "bgbgbgbgbgbg", "CLOSED"),
        ("all", "bgbgbgbgbgbgbb", "CLOSED"),
        ("all", "bgbgbgbgbgbgbbb", "OPEN"),
        ("all", "bbbbbbbbb", "CLOSED"),
        ("all", "bbbbbbbbbb", "OPEN"),
    ] {
        let gateway = over(
            &[upstream.url()],
            &format!(", breaker: {{ failures: 3, failureRatio: 50%, mode: {mode}, window: 60s, minRequests: 10 }}"),
        );
        for answer in answers.chars() {
            assert_eq!(gateway.get(&format!("/{answer}")).status, if answer == 'b' { 500 } else { 200 });
        }
        assert_eq!(gateway.states(), [state], "{mode} {answers}");
    }
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
    let (patient, quick) = (Upstream::failing(), Upstream::failing());
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
    let upstream = Upstream::failing();
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
