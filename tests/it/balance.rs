//! Which target gets a request.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::client::head;
use crate::support::{Gateway, Reply, Upstream, eventually, gateway, now, over, signed, token};

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

/// The one target that eight requests with these headers go to.
#[track_caller]
fn only_one(gateway: &Gateway, upstreams: &[Upstream], headers: &[(&str, &str)]) -> usize {
    let before = counts(upstreams);
    (0..8).for_each(|_| assert_eq!(gateway.request("GET", "/", headers).status, 200));
    let new: Vec<usize> = counts(upstreams).iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(new.iter().max(), Some(&8), "{headers:?}: {new:?}");
    new.iter().position(|count| *count == 8).unwrap()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn requests_by_the_same_key_go_to_the_same_target() {
    let upstreams = well(5);
    let hashed =
        |key: &str| over(&urls(&upstreams), &format!(", balance: {{ algorithm: consistentHash, key: {key} }}"));
    let alone = |gateway: &Gateway, headers: &[(&str, &str)]| only_one(gateway, &upstreams, headers);
    let (header, cookie, ip) = (hashed("{ header: x-tenant }"), hashed("{ cookie: Sid }"), hashed("ip"));
    let tenants: HashSet<usize> =
        (0..20).map(|number| alone(&header, &[("X-Tenant", &format!("tenant-{number}"))])).collect();
    assert!(tenants.len() > 2, "{tenants:?}");
    let sessions: HashSet<usize> =
        (0..20).map(|number| alone(&cookie, &[("Cookie", &format!("a=b; Sid=s-{number}"))])).collect();
    assert!(sessions.len() > 2, "{sessions:?}");
    assert_eq!(alone(&ip, &[("X-Anything", "1")]), alone(&header, &[]), "who lacks the key goes by address");
}

#[test]
fn requests_of_a_user_and_those_of_all_users_with_a_claim_go_to_the_same_target() {
    let upstreams = well(5);
    let hashed = |key: &str| {
        over(
            &urls(&upstreams),
            &format!(", balance: {{ algorithm: consistentHash, key: {key} }}, plugins: {{ auth: true }}"),
        )
    };
    let with = |gateway: &Gateway, token: &str| only_one(gateway, &upstreams, &[("Authorization", &bearer(token))]);
    let users = hashed("user");
    let found: HashSet<usize> = (0..20).map(|number| with(&users, &token(&format!("user-{number}")))).collect();
    assert!(found.len() > 2, "{found:?}");
    assert_eq!(with(&users, &token("ann")), with(&users, &token("ann")));
    let tenants = hashed("{ claim: tenant }");
    let of = |user: String, tenant: u32| {
        signed(&serde_json::json!({ "userId": user, "tenant": format!("tenant-{tenant}"), "exp": now() + 3_600 }))
    };
    let found: HashSet<usize> = (0..20)
        .map(|tenant| {
            let [one, other] = [1, 2].map(|user| with(&tenants, &of(format!("user-{tenant}-{user}"), tenant)));
            assert_eq!(one, other, "two users of tenant {tenant}");
            one
        })
        .collect();
    assert!(found.len() > 2, "{found:?}");
    let [ann, bob] = ["ann", "bob"].map(|user| with(&tenants, &token(user)));
    assert_eq!(ann, bob, "who lacks the claim goes by address");
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
fn what_a_target_may_have_under_way_is_counted_over_all_routes() {
    let (upstream, hangs) = hanging();
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /a, target: {0}, concurrency: 2 }}\n  - {{ path: /b, target: {0}, concurrency: 3 }}\n  - {{ path: /c, target: {0} }}\n",
        upstream.url()
    ));
    let mut waiting = Vec::new();
    let mut send = |path: &str| {
        let mut connection = gateway.connect();
        connection.send(head("GET", path, &[]));
        waiting.push(connection);
        eventually("it to be under way", || (upstream.received().len() == waiting.len()).then_some(()));
    };
    send("/a");
    send("/c");
    gateway.get("/a").is_problem(503, "overloaded");
    send("/b");
    gateway.get("/b").is_problem(503, "overloaded");
    send("/c");
    hangs.store(false, Ordering::SeqCst);
    waiting.iter_mut().for_each(|connection| assert_eq!(connection.answer(false).status, 200));
    for path in ["/a", "/b"] {
        eventually("room", || (gateway.get(path).status == 200).then_some(()));
    }
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
