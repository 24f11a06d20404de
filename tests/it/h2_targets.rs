//! Targets of HTTP/2: what they are told, and what becomes of requests when they hang.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Response, Uri};
use tokio::net::{TcpListener, TcpStream};

use crate::support::client::head;
use crate::support::{Gateway, Reply, Upstream, eventually, gateway};

type Answers = dyn Fn(usize, &Uri) -> bool + Send + Sync;

/// A target of HTTP/2 that answers the requests of which `answers` says so, by the number of their connection, from 0, and
/// what they ask for. Where it is.
fn target(answers: impl Fn(usize, &Uri) -> bool + Send + Sync + 'static) -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let answers: Arc<Answers> = Arc::new(answers);
    std::thread::spawn(move || {
        runtime.block_on(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, number, answers.clone()));
            }
        });
    });
    url
}

async fn serve(stream: TcpStream, number: usize, answers: Arc<Answers>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut waiting = Vec::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        if answers(number, request.uri()) {
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
        } else {
            waiting.push((request, respond));
        }
    }
}

fn over(targets: &[&str], more: &str) -> Gateway {
    gateway(format!("routes: [{{ path: /, targets: ['{}'], {more} }}]\n", targets.join("', '")))
}

#[test]
fn a_request_without_a_body_waits_for_its_answer_for_as_long_as_it_may_and_the_breaker_hears_of_it() {
    let url = target(|_, uri| uri.path() == "/well");
    let gateway = over(&[&url], "timeouts: { firstByte: 300ms }, retry: off, breaker: { failures: 4 }");
    assert_eq!(gateway.get("/well").status, 200);
    for (method, length) in [("GET", None), ("DELETE", None), ("POST", Some("0")), ("GET", Some("0"))] {
        let length: Vec<_> = length.map(|length| ("Content-Length", length)).into_iter().collect();
        let start = Instant::now();
        gateway.request(method, "/", &length).is_problem(504, "upstream_timeout");
        assert!((300..3_000).contains(&start.elapsed().as_millis()), "{method}: {:?}", start.elapsed());
    }
    gateway.get("/well").is_problem(503, "no_target_available");
}

#[test]
fn a_request_goes_on_to_the_next_target_after_its_time_for_one_try() {
    let (stuck, well) = (target(|_, _| false), target(|_, _| true));
    let gateway = over(&[&stuck, &well], "retry: { on: timeout, perTryTimeout: 200ms }");
    for _ in 0..2 {
        assert_eq!(gateway.get("/").status, 200);
    }
    assert_eq!(gateway.settled_stats()[0]["failed"], 1);
}

/// From a target that requests without a body go to by the short way, to one that they do not, and back.
#[test]
fn a_request_goes_on_to_a_target_of_another_protocol() {
    let silent = Upstream::with(|_| Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0; 1])))));
    let plain = Upstream::start();
    for targets in [[silent.url(), target(|_, _| true)], [target(|_, _| false), plain.url()]] {
        let retry = "retry: { on: timeout, perTryTimeout: 200ms, methods: [GET, PUT], budget: 100% }, breaker: off";
        let gateway = over(&[&targets[0], &targets[1]], retry);
        for size in [0, 100, 0, 30_000, 0, 100, 0, 30_000] {
            let method = if size == 0 { "GET" } else { "PUT" };
            let head = head(method, "/", &[("Content-Length", &size.to_string())]);
            let answer = gateway.connect().send([head.into_bytes(), vec![b'x'; size]].concat()).answer(false);
            assert_eq!(answer.status, 200, "{method} of {size}");
        }
        let stats = gateway.settled_stats();
        let counts = |nth: usize| ["requests", "failed"].map(|name| stats[nth][name].as_u64().unwrap());
        assert!(counts(0)[1] >= 2 && counts(1) == [8, 0], "{stats:?}");
    }
    let mut lengths: Vec<usize> = plain.received().iter().map(|request| request.body.len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [0, 0, 0, 0, 100, 100, 30_000, 30_000]);
}

/// All of its requests would hang.
#[test]
fn a_connection_that_hangs_is_not_used_again() {
    let url = target(|number, uri| number > 0 || uri.path() == "/well");
    let gateway = over(&[&url], "timeouts: { firstByte: 300ms }, breaker: { failures: 2, cooldown: 300ms }");
    assert_eq!(gateway.get("/well").status, 200);
    gateway.get("/").is_problem(504, "upstream_timeout");
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_check_whose_connection_hangs_takes_another_one_the_next_time() {
    let url = target(|number, _| number != 1);
    let gateway = over(&[&url], "healthCheck: { interval: 50ms, timeout: 200ms, unhealthyAfter: 1, healthyAfter: 1 }");
    // All of them, and those that were bad.
    let checks = || {
        let stats = gateway.stats();
        ["checks", "failed"].map(|name| stats[0]["health"][name].as_u64().unwrap_or_default())
    };
    let before = eventually("a bad check", || Some(checks()).filter(|[_, failed]| *failed > 0));
    let good = |[checks, failed]: [u64; 2]| checks - failed;
    eventually("good ones after it", || (good(checks()) >= good(before) + 3).then_some(()));
    eventually("the target to be well", || (gateway.stats()[0]["health"]["state"] == "HEALTHY").then_some(()));
}

#[test]
fn a_request_without_a_body_is_copied_to_its_end() {
    let (url, shadow) = (target(|_, _| true), Upstream::start());
    let gateway = over(&[&url], &format!("mirror: {{ target: '{}' }}", shadow.url()));
    assert_eq!(gateway.get("/").status, 200);
    eventually("the copy", || (gateway.stats()[0]["route"]["mirror"]["sent"] == 1).then_some(()));
}

#[test]
fn a_target_is_asked_for_by_the_host_that_its_route_says() {
    let url = target(|_, uri| uri.authority().is_some_and(|authority| uri.path() == format!("/{authority}")));
    let own = url.trim_start_matches("h2c://").to_owned();
    for (says, authority) in
        [("client", "gateway.test"), ("target", &own), ("api.example.com:8443", "api.example.com:8443")]
    {
        let gateway = over(&[&url], &format!("hostHeader: '{says}', timeouts: {{ firstByte: 1s }}"));
        assert_eq!(gateway.get(&format!("/{authority}")).status, 200, "{says}");
    }
}
