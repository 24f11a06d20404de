//! Targets whose names lead to several addresses, of which some refuse connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::dns::Dns;
use crate::support::{Gateway, Reply, Upstream, eventually, gateway, nobody};

const THREE: [(&str, &str); 3] = [("some.test", "127.0.0.7"), ("some.test", "127.0.0.1"), ("some.test", "127.0.0.9")];

/// A gateway with one target, which has three addresses and this port.
fn over(port: u16, extra: &str) -> (Gateway, Dns) {
    let dns = Dns::start(60, &THREE, &[]);
    let config = format!("{}routes: [{{ path: /, target: 'http://some.test:{port}', {extra} }}]\n", dns.config());
    (gateway(config), dns)
}

/// To go on to the next address is no retry: nothing has been sent.
#[test]
fn one_address_that_is_well_is_enough_for_whatever_is_sent() {
    let upstream = Upstream::start();
    let (gateway, _dns) = over(upstream.address.port(), "retry: off, breaker: { failures: 1 }");
    for i in 0..12 {
        let response = gateway.raw("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(response.status, 200, "request {i}");
    }
    assert!(upstream.received().len() == 12 && upstream.received().iter().all(|request| request.body == b"hello"));
    let row = &gateway.settled_stats()[0];
    let counts = ["requests", "succeeded", "failed", "retried", "trips"].map(|name| row[name].as_u64().unwrap());
    assert_eq!((counts, row["addresses"].as_array().unwrap().len()), ([12, 12, 0, 0, 0], 3), "{row}");
}

#[test]
fn when_all_of_them_refuse_that_is_one_failure() {
    let (gateway, _dns) = over(nobody().port(), "breaker: { failures: 2 }");
    gateway.get("/").is_problem(502, "upstream_connect_failed");
    assert!(gateway.log_line("attempts=3").contains("→ 502"));
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failures"], &row["requests"]), (&"CLOSED".into(), &1.into(), &1.into()), "{row}");
    gateway.get("/").is_problem(502, "upstream_connect_failed");
    gateway.get("/").is_problem(503, "no_target_available");
}

#[test]
fn checks_are_good_while_one_of_them_is_well() {
    let well = Arc::new(AtomicBool::new(true));
    let is_well = well.clone();
    let upstream = Upstream::with(move |_| match is_well.load(Ordering::SeqCst) {
        true => Reply::ok(),
        false => Reply::status(503, "ill"),
    });
    let port = upstream.address.port();
    let (http, _dns) = over(port, "healthCheck: { unhealthyAfter: 1, interval: 50ms }");
    let (tcp, _dns) = over(port, "healthCheck: { type: tcp, unhealthyAfter: 1, interval: 50ms }");
    let health = |gateway: &Gateway| gateway.stats()[0]["health"].clone();
    for gateway in [&http, &tcp] {
        let health =
            eventually("some checks", || Some(health(gateway)).filter(|health| health["checks"].as_u64() >= Some(6)));
        assert_eq!((&health["state"], &health["failed"]), (&"HEALTHY".into(), &0.into()), "{health}");
    }
    well.store(false, Ordering::SeqCst);
    eventually("it to be ill", || (health(&http)["state"] == "UNHEALTHY").then_some(()));
}
