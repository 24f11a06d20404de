//! Requests of a route among groups of targets.

use crate::support::{Gateway, Reply, Upstream, gateway, nobody};

fn between(stable: &str, canary: &str, extra: &str) -> Gateway {
    gateway(format!(
        "routes:\n  - path: /\n    groups: [{{ name: stable, weight: 80, target: {stable} }}, {{ name: canary, weight: 20, target: {canary} }}]\n    {extra}\n"
    ))
}

fn counts(upstreams: &[&Upstream]) -> Vec<usize> {
    upstreams.iter().map(|upstream| upstream.received().len()).collect()
}

#[test]
fn each_group_gets_its_share_and_the_stats_say_which_is_which() {
    let (stable, canary) = (Upstream::start(), Upstream::start());
    let gateway = between(&stable.url(), &canary.url(), "");
    let mut connection = gateway.connect();
    for _ in 0..600 {
        let response = connection.request("GET", "/", &[]);
        assert_eq!((response.status, response.header("set-cookie")), (200, None));
    }
    let share = counts(&[&stable, &canary])[1];
    // Six standard deviations to either side of 120.
    assert!((60..=180).contains(&share), "{share}");
    let groups: Vec<_> = gateway.stats().iter().map(|row| row["group"].clone()).collect();
    assert_eq!(groups, ["stable", "canary"]);
}

#[test]
fn who_sticks_by_a_header_stays_with_a_group() {
    let (stable, canary) = (Upstream::start(), Upstream::start());
    let gateway = between(&stable.url(), &canary.url(), "sticky: { header: X-Tenant }");
    let mut connection = gateway.connect();
    let mut of_canary = 0;
    for tenant in 0..100 {
        let before = counts(&[&stable, &canary]);
        let name = format!("tenant-{tenant}");
        (0..4).for_each(|_| assert_eq!(connection.request("GET", "/", &[("X-Tenant", &name)]).status, 200));
        let after = counts(&[&stable, &canary]);
        let new = [after[0] - before[0], after[1] - before[1]];
        assert!(new.contains(&4), "{name}: {new:?}");
        of_canary += new[1] / 4;
    }
    assert!((5..=40).contains(&of_canary), "{of_canary}");
}

#[test]
fn who_sticks_by_a_cookie_is_told_once_and_stays() {
    let (stable, canary) = (Upstream::start(), Upstream::start());
    let gateway = between(&stable.url(), &canary.url(), "sticky: { cookie: track }");
    let mut connection = gateway.connect();
    for _ in 0..40 {
        let before = counts(&[&stable, &canary]);
        let first = connection.request("GET", "/", &[]);
        let set = first.header("set-cookie").unwrap().to_owned();
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
        for _ in 0..3 {
            let next = connection.request("GET", "/", &[("Cookie", &format!("a=b; {pair}"))]);
            assert_eq!(next.header("set-cookie"), None);
        }
        let after = counts(&[&stable, &canary]);
        let at = ["track=stable", "track=canary"].iter().position(|known| *known == pair).unwrap();
        assert_eq!(after[at] - before[at], 4, "{pair}");
    }
    // What names no group is as good as nothing.
    assert!(connection.request("GET", "/", &[("Cookie", "track=x")]).header("set-cookie").is_some());
}

#[test]
fn a_cookie_of_the_upstream_is_kept_beside_that_of_the_group() {
    let upstream = Upstream::with(|_| {
        Reply::Bytes(b"HTTP/1.1 200 OK\r\nset-cookie: session=1\r\ncontent-length: 0\r\n\r\n".to_vec())
    });
    let gateway = between(&upstream.url(), "http://127.0.0.1:1", "sticky: { cookie: track }");
    let response = gateway.get("/");
    let set: Vec<&str> =
        response.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str()).collect();
    assert!(set.len() == 2 && set[0] == "session=1" && set[1].starts_with("track="), "{set:?}");
}

#[test]
fn where_a_group_is_away_the_others_stand_in() {
    let canary = Upstream::start();
    let gateway = between(&format!("http://{}", nobody()), &canary.url(), "");
    let mut connection = gateway.connect();
    (0..50).for_each(|_| assert_eq!(connection.request("GET", "/", &[]).status, 200));
    assert_eq!(counts(&[&canary]), [50]);
    assert_eq!(gateway.states(), ["OPEN", "CLOSED"]);
}

#[test]
fn a_group_without_a_weight_stands_in_for_nobody() {
    let off = Upstream::start();
    let gateway = gateway(format!(
        "routes: [{{ path: /, sticky: {{ cookie: track }}, groups: [{{ name: blue, weight: 1, target: 'http://{}' }}, {{ name: green, weight: 0, target: {} }}] }}]\n",
        nobody(),
        off.url()
    ));
    for _ in 0..5 {
        assert!(gateway.request("GET", "/", &[("Cookie", "track=green")]).status >= 502);
    }
    assert_eq!(counts(&[&off]), [0]);
}

/// Trying anyway is for when nobody else is left, in whichever group.
#[test]
fn no_group_is_tried_anyway_while_another_is_well() {
    let (broken, canary) = (Upstream::failing(), Upstream::start());
    let gateway = between(&broken.url(), &canary.url(), "onAllOpen: tryAnyway");
    crate::support::eventually("the circuit to open", || {
        gateway.get("/");
        (gateway.states()[0] == "OPEN").then_some(())
    });
    let before = broken.received().len();
    let mut connection = gateway.connect();
    (0..30).for_each(|_| assert_eq!(connection.request("GET", "/", &[]).status, 200));
    assert_eq!(broken.received().len(), before);
}

#[test]
fn who_lacks_the_header_goes_by_chance() {
    let (stable, canary) = (Upstream::start(), Upstream::start());
    let gateway = between(&stable.url(), &canary.url(), "sticky: { header: X-Tenant }");
    let mut connection = gateway.connect();
    (0..100).for_each(|_| assert_eq!(connection.request("GET", "/", &[]).status, 200));
    assert!(counts(&[&stable, &canary]).iter().all(|count| *count > 0));
}
