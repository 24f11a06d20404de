//! Which target gets a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Gateway, Reply, Upstream, eventually, gateway, over, token};

fn well(count: usize) -> Vec<Upstream> {
    (0..count).map(|_| Upstream::start()).collect()
}

fn urls(upstreams: &[Upstream]) -> Vec<String> {
    upstreams.iter().map(Upstream::url).collect()
}

fn counts(upstreams: &[Upstream]) -> Vec<usize> {
    upstreams.iter().map(|upstream| upstream.received().len()).collect()
}

/// One that answers only while it is told to.
fn hanging() -> (Upstream, Arc<AtomicBool>) {
    let hangs = Arc::new(AtomicBool::new(true));
    let is_hung = hangs.clone();
    let upstream = Upstream::with(move |_| {
        while is_hung.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        Reply::ok()
    });
    (upstream, hangs)
}

#[test]
fn weights_are_shares() {
    let upstreams = well(3);
    let targets: Vec<String> = urls(&upstreams)
        .iter()
        .zip([5, 3, 2])
        .map(|(url, weight)| format!("{{ url: {url}, weight: {weight} }}"))
        .collect();
    let gateway = over(&targets, "");
    let mut connection = gateway.connect();
    (0..100).for_each(|_| assert_eq!(connection.request("GET", "/", &[]).status, 200));
    assert_eq!(counts(&upstreams), [50, 30, 20]);
}

#[test]
fn requests_by_the_same_key_go_to_the_same_target() {
    let upstreams = well(5);
    let hashed =
        |key: &str| over(&urls(&upstreams), &format!(", balance: {{ algorithm: consistentHash, key: {key} }}"));
    let alone = |gateway: &Gateway, headers: &[(&str, &str)]| {
        let before = counts(&upstreams);
        (0..8).for_each(|_| assert_eq!(gateway.request("GET", "/", headers).status, 200));
        let after = counts(&upstreams);
        let new: Vec<usize> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        assert_eq!(new.iter().max(), Some(&8), "{headers:?}: {new:?}");
        new.iter().position(|count| *count == 8).unwrap()
    };
    let (header, cookie, ip) = (hashed("{ header: x-tenant }"), hashed("{ cookie: Sid }"), hashed("ip"));
    let tenants: std::collections::HashSet<usize> =
        (0..20).map(|number| alone(&header, &[("X-Tenant", &format!("tenant-{number}"))])).collect();
    assert!(tenants.len() > 2, "{tenants:?}");
    let sessions: std::collections::HashSet<usize> =
        (0..20).map(|number| alone(&cookie, &[("Cookie", &format!("a=b; Sid=s-{number}"))])).collect();
    assert!(sessions.len() > 2, "{sessions:?}");
    assert_eq!(alone(&ip, &[("X-Anything", "1")]), alone(&header, &[]), "who lacks the key goes by address");
    let users = gateway(format!(
        "routes: [{{ path: /, targets: [{}], balance: {{ algorithm: consistentHash, key: user }}, plugins: {{ auth: true }} }}]\n",
        urls(&upstreams).join(", ")
    ));
    let bearer = |user: &str| format!("Bearer {}", token(user));
    let ann = alone(&users, &[("Authorization", &bearer("ann"))]);
    assert_eq!(alone(&users, &[("Authorization", &bearer("ann"))]), ann);
}

/// With turns alone, a third of all requests would wait for the one that hangs.
#[test]
fn a_target_that_hangs_keeps_few_requests_waiting() {
    for balance in ["roundRobin", "leastRequest", "peakEwma", "random"] {
        let (stuck, hangs) = hanging();
        let upstreams = well(2);
        let targets = [vec![stuck.url()], urls(&upstreams)].concat();
        let gateway = over(&targets, &format!(", balance: {balance}"));
        let mut waiting = Vec::new();
        for _ in 0..60 {
            let mut connection = gateway.connect();
            connection.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            let mut first = [0; 1];
            match connection.stream.peek(&mut first) {
                Ok(_) => assert_eq!(connection.answer(false).status, 200),
                Err(_) => waiting.push(connection),
            }
        }
        assert!(waiting.len() <= 3, "{balance}: {} wait", waiting.len());
        hangs.store(false, Ordering::SeqCst);
        for mut connection in waiting {
            connection.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(connection.answer(false).status, 200);
        }
    }
}

#[test]
fn a_target_that_is_full_is_passed_over_and_when_all_are_that_is_said_at_once() {
    let (slow, hangs) = hanging();
    let (other, others_hang) = hanging();
    let gateway = over(&[slow.url(), other.url()], ", concurrency: 2");
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            connection
        })
        .collect();
    eventually("four to be under way", || (slow.received().len() + other.received().len() == 4).then_some(()));
    assert_eq!((slow.received().len(), other.received().len()), (2, 2));
    let refused = gateway.get("/");
    refused.is_problem(503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    [hangs, others_hang].iter().for_each(|hangs| hangs.store(false, Ordering::SeqCst));
    for mut connection in waiting {
        assert_eq!(connection.answer(false).status, 200);
    }
    eventually("room", || (gateway.get("/").status == 200).then_some(()));
    assert_eq!(gateway.states(), ["CLOSED", "CLOSED"], "to be busy is no failure");
}

#[test]
fn a_limit_that_is_found_lets_through_what_the_target_can_do() {
    let upstreams = well(1);
    let gateway = over(&urls(&upstreams), ", concurrency: { min: 1, initial: 2, max: 50 }");
    let mut connection = gateway.connect();
    (0..200).for_each(|_| assert_eq!(connection.request("GET", "/", &[]).status, 200));
}

#[test]
fn when_all_circuits_are_open_requests_go_out_anyway_where_the_config_says_so() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let upstream = Upstream::with(move |_| match is_well.load(Ordering::SeqCst) {
        true => Reply::ok(),
        false => Reply::status(500, "broken"),
    });
    let gateway = over(&[upstream.url()], ", onAllOpen: tryAnyway");
    (0..10).for_each(|_| assert_eq!(gateway.get("/").status, 500));
    assert_eq!((gateway.states(), upstream.received().len()), (vec!["OPEN".to_owned()], 10));
    well.store(true, Ordering::SeqCst);
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(gateway.states(), ["OPEN"], "its probe decides, and nothing else");
}

#[test]
fn a_target_that_has_come_back_gets_fewer_requests_at_first() {
    let ill = Arc::new(AtomicBool::new(true));
    let is_ill = ill.clone();
    let back = Upstream::with(move |_| match is_ill.load(Ordering::SeqCst) {
        true => Reply::status(500, "broken"),
        false => Reply::ok(),
    });
    let other = Upstream::start();
    let gateway = over(&[back.url(), other.url()], ", slowStart: 1h, breaker: { failures: 1, cooldown: 50ms }");
    (0..2).for_each(|_| drop(gateway.get("/")));
    assert_eq!(gateway.states()[0], "OPEN");
    ill.store(false, Ordering::SeqCst);
    eventually("the circuit to close", || {
        gateway.get("/");
        (gateway.states()[0] == "CLOSED").then_some(())
    });
    let before = back.received().len();
    (0..200).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    let share = back.received().len() - before;
    assert!((1..40).contains(&share), "{share} of 200");
}
