//! When a request goes out again, and when it must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::head;
use crate::support::upstream::Received;
use crate::support::{Gateway, Reply, Response, Upstream, gateway, nobody};

fn over(targets: &[&Upstream], retry: &str) -> Gateway {
    let urls: Vec<String> = targets.iter().map(|target| target.url()).collect();
    gateway(format!("routes: [{{ path: /, targets: [{}], breaker: off, {retry} }}]\n", urls.join(", ")))
}

/// Breaks the connection when it has read a request.
fn resetting() -> Upstream {
    Upstream::with(|_| Reply::Reset(Vec::new()))
}

fn answering(status: u16) -> Upstream {
    Upstream::with(move |_| Reply::status(status, "no"))
}

fn hanging() -> Upstream {
    Upstream::with(|_| Reply::Talk(Box::new(|stream| drop(std::io::Read::read(stream, &mut [0; 1])))))
}

/// Sends so many requests, each on a connection of its own.
fn send(gateway: &Gateway, count: usize, method: &str, headers: &[(&str, &str)], body: &str) -> Vec<Response> {
    let length = body.len().to_string();
    let headers = [headers, &[("Content-Length", &length)]].concat();
    (0..count).map(|_| gateway.connect().send(head(method, "/", &headers) + body).answer(method == "HEAD")).collect()
}

fn statuses(responses: &[Response]) -> Vec<u16> {
    let mut statuses: Vec<u16> = responses.iter().map(|response| response.status).collect();
    statuses.sort_unstable();
    statuses
}

fn bodies(upstream: &Upstream) -> Vec<String> {
    upstream.received().iter().map(|request: &Received| String::from_utf8(request.body.clone()).unwrap()).collect()
}

#[test]
fn what_only_reads_goes_out_again_when_a_connection_breaks() {
    let (bad, good) = (resetting(), Upstream::start());
    let gateway = over(&[&bad, &good], "");
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(statuses(&send(&gateway, 4, method, &[], "")), [200; 4], "{method}");
    }
    assert_eq!((bad.received().len(), good.received().len()), (6, 12));
    let rows = gateway.settled_stats();
    assert_eq!((&rows[0]["retried"], &rows[0]["failed"], &rows[1]["retried"]), (&6.into(), &6.into(), &0.into()));
    assert!(gateway.log_line("attempts=2").contains("→ 200"));
}

#[test]
fn a_body_is_never_sent_twice_unless_the_config_says_so() {
    let (bad, good) = (resetting(), Upstream::start());
    for (retry, method, headers) in [
        ("", "POST", &[][..]),
        ("", "PUT", &[]),
        ("", "POST", &[("Idempotency-Key", "k-1")]),
        ("retry: { methods: [GET, PUT] }", "POST", &[("Idempotency-Key", "k-1")]),
        ("retry: { idempotencyKey: true }", "POST", &[]),
        ("retry: { idempotencyKey: true }", "POST", &[("Idempotency-Key", "")]),
        ("retry: { idempotencyKey: true }", "POST", &[("Idempotency-Key", "a"), ("Idempotency-Key", "b")]),
        ("retry: { idempotencyKey: true }", "PATCH", &[]),
        ("retry: off", "GET", &[]),
    ] {
        let (before_bad, before_good) = (bad.received().len(), good.received().len());
        let gateway = over(&[&bad, &good], retry);
        let answers = send(&gateway, 4, method, headers, "hello");
        assert_eq!(statuses(&answers), [200, 200, 502, 502], "{retry} {method} {headers:?}");
        let sent = (bad.received().len() - before_bad, good.received().len() - before_good);
        assert_eq!(sent, (2, 2), "{retry} {method} {headers:?}");
    }
    for (retry, method, headers) in [
        ("retry: { methods: [PUT] }", "PUT", &[][..]),
        ("retry: { idempotencyKey: true }", "POST", &[("Idempotency-Key", "k-1")]),
        ("retry: { idempotencyKey: true }", "PATCH", &[("Idempotency-Key", "k-1")]),
    ] {
        let before = good.received().len();
        let gateway = over(&[&bad, &good], retry);
        assert_eq!(statuses(&send(&gateway, 4, method, headers, "hello")), [200; 4], "{retry} {method}");
        assert_eq!(good.received().len() - before, 4);
        assert!(bodies(&good)[before..].iter().all(|body| body == "hello"), "the whole of it, each time");
    }
}

#[test]
fn a_body_that_is_too_large_to_be_kept_is_not_sent_again() {
    let (bad, good) = (resetting(), Upstream::start());
    let gateway = over(&[&bad, &good], "retry: { methods: [PUT] }");
    let (fits, does_not) = ("x".repeat(60_000), "x".repeat(70_000));
    assert_eq!(statuses(&send(&gateway, 2, "PUT", &[], &fits)), [200; 2]);
    assert!(bodies(&good).iter().all(|body| *body == fits));
    assert_eq!(statuses(&send(&gateway, 2, "PUT", &[], &does_not)), [200, 502]);
}

#[test]
fn a_post_is_delivered_once_where_connections_are_refused() {
    let good = Upstream::start();
    let gateway =
        gateway(format!("routes: [{{ path: /, targets: ['http://{}', '{}'], breaker: off }}]\n", nobody(), good.url()));
    assert_eq!(statuses(&send(&gateway, 6, "POST", &[], "hello")), [200; 6]);
    assert_eq!(bodies(&good), ["hello"; 6]);
    let large = "x".repeat(1_000_000);
    assert_eq!(statuses(&send(&gateway, 2, "POST", &[], &large)), [200; 2], "nothing was sent, so all of it is there");
    let never = crate::support::gateway(format!(
        "routes: [{{ path: /, targets: ['http://{}', '{}'], breaker: off, retry: {{ on: reset }} }}]\n",
        nobody(),
        good.url()
    ));
    assert_eq!(statuses(&send(&never, 4, "GET", &[], "")), [200, 200, 502, 502]);
}

#[test]
fn failing_statuses_are_asked_elsewhere_and_handed_on_when_nobody_does_better() {
    let (busy, good) = (answering(503), Upstream::start());
    let gateway = over(&[&busy, &good], "retry: { on: [502-504] }");
    assert_eq!(statuses(&send(&gateway, 6, "GET", &[], "")), [200; 6]);
    assert_eq!(busy.received().len(), 3);
    assert_eq!(statuses(&send(&gateway, 4, "POST", &[], "x")), [200, 200, 503, 503]);
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["failed"], &row["retried"]), (&5.into(), &3.into()));
    let worse = answering(503);
    let gateway = over(&[&busy, &worse], "retry: { on: [503], attempts: 2 }");
    let answers = send(&gateway, 2, "GET", &[], "");
    assert_eq!(statuses(&answers), [503; 2]);
    assert!(answers.iter().all(|answer| answer.text() == "no" && answer.header("x-gateway-error").is_none()));
    let limited = answering(429);
    let gateway = over(&[&limited, &good], "retry: { on: [429] }");
    assert_eq!(statuses(&send(&gateway, 2, "GET", &[], "")), [200; 2]);
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["succeeded"], &row["failed"]), (&1.into(), &0.into()), "it is no failure for that: {row}");
}

#[test]
fn an_attempt_that_takes_too_long_makes_room_for_another() {
    let (stuck, good) = (hanging(), Upstream::start());
    let gateway = over(&[&stuck, &good], "retry: { on: timeout, perTryTimeout: 300ms }");
    for _ in 0..4 {
        let start = Instant::now();
        assert_eq!(gateway.get("/").status, 200);
        assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    }
    assert_eq!((stuck.received().len(), good.received().len()), (2, 4));
    // The last one has all the time that any request has.
    let (first, second) = (hanging(), hanging());
    let gateway =
        over(&[&first, &second], "retry: { on: timeout, perTryTimeout: 200ms }, timeouts: { firstByte: 900ms }");
    let start = Instant::now();
    gateway.get("/").is_problem(504, "upstream_timeout");
    let took = start.elapsed().as_millis();
    assert!((1_100..2_000).contains(&took), "{took} ms");
    let gateway = over(
        &[&first, &second],
        "retry: { on: timeout, perTryTimeout: 200ms }, timeouts: { total: 500ms, firstByte: 400ms }",
    );
    let start = Instant::now();
    gateway.get("/").is_problem(504, "upstream_timeout");
    let took = start.elapsed().as_millis();
    assert!((500..900).contains(&took), "{took} ms, retries included");
}

#[test]
fn no_target_is_asked_twice_and_none_more_than_there_are_attempts() {
    let bad: Vec<Upstream> = (0..4).map(|_| answering(502)).collect();
    let all: Vec<&Upstream> = bad.iter().collect();
    let gateway = over(&all, "retry: { on: [502], attempts: 3 }");
    assert_eq!(gateway.get("/").status, 502);
    let mut asked: Vec<usize> = bad.iter().map(|upstream| upstream.received().len()).collect();
    asked.sort_unstable();
    assert_eq!(asked, [0, 1, 1, 1]);
}

#[test]
fn nothing_goes_out_again_when_a_part_of_the_answer_has_been_sent() {
    let partial = Upstream::with(|_| Reply::Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this".to_vec()));
    let early = Upstream::with(|_| Reply::Reset(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec()));
    let good = Upstream::start();
    for bad in [&partial, &early] {
        let gateway = over(&[bad, &good], "retry: { on: [connect, reset, timeout, 500-599] }");
        for _ in 0..4 {
            let mut connection = gateway.connect();
            connection.send(head("GET", "/", &[("Connection", "close")]));
            drop(connection.rest());
        }
        assert_eq!(gateway.settled_stats()[0]["retried"], 0);
        assert_eq!(bad.received().len(), 2);
    }
}

#[test]
fn retries_are_paid_from_a_budget() {
    let (bad, good) = (resetting(), Upstream::start());
    let gateway = over(&[&bad, &good], "retry: { budget: { share: 0%, min: 3 } }");
    let answers = send(&gateway, 20, "GET", &[], "");
    let failed = answers.iter().filter(|answer| answer.status == 502).count();
    let row = gateway.settled_stats().swap_remove(0);
    let denied = row["route"]["retries"]["denied"].as_u64().unwrap();
    assert_eq!((&row["retried"], &row["route"]["retries"]["made"], denied), (&3.into(), &3.into(), failed as u64));
    assert!(failed >= 6, "{failed} of about ten that met the bad one");
    let generous = over(&[&bad, &good], "retry: { budget: 100% }");
    assert_eq!(statuses(&send(&generous, 40, "GET", &[], "")), [200; 40]);
}

/// A client that is gone is no reason to bother another target.
#[test]
fn nobody_is_asked_for_a_client_that_has_left() {
    let count = Arc::new(AtomicUsize::new(0));
    let targets: Vec<Upstream> = (0..2)
        .map(|_| {
            let count = count.clone();
            Upstream::with(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(100));
                Reply::Reset(Vec::new())
            })
        })
        .collect();
    let gateway = over(&[&targets[0], &targets[1]], "retry: { on: [reset, timeout] }");
    for _ in 0..5 {
        let mut connection = gateway.connect();
        connection.send(head("GET", "/", &[]));
    }
    let rows = gateway.settled_stats();
    assert!(rows.iter().all(|row| row["retried"] == 0 && row["failed"] == 0), "{rows:?}");
    assert!(count.load(Ordering::SeqCst) <= 5);
}

/// A target that gets nothing anyhow is no other one to try.
#[test]
fn who_has_nobody_else_to_try_waits_as_long_as_for_the_first_byte() {
    let slow = Upstream::with(|_| {
        std::thread::sleep(Duration::from_millis(500));
        Reply::ok()
    });
    let broken = answering(503);
    let gateway = gateway(format!(
        "routes: [{{ path: /, targets: [{}, {}], breaker: {{ failures: 1 }}, retry: {{ on: [timeout, 503], perTryTimeout: 100ms }} }}]\n",
        broken.url(),
        slow.url()
    ));
    assert_eq!(gateway.get("/").status, 200, "the last one of two");
    assert_eq!(gateway.states(), ["OPEN", "CLOSED"]);
    assert_eq!(gateway.get("/").status, 200, "the only one that takes anything");
}

#[test]
fn what_is_no_http_goes_out_again_as_what_is_reset() {
    let (garbage, good) =
        (Upstream::with(|_| Reply::Close(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())), Upstream::start());
    let gateway = over(&[&garbage, &good], "");
    assert_eq!(statuses(&send(&gateway, 6, "GET", &[], "")), [200; 6]);
    assert_eq!((garbage.received().len(), good.received().len()), (3, 6));
}
