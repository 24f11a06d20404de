//! Targets that the config does not name.

use std::time::Duration;

use serde_json::Value;

use crate::support::dns::Dns;
use crate::support::front::front;
use crate::support::grpc::{Grpc, call};
use crate::support::{Certificates, Gateway, Reply, Upstream, eventually, gateway};

fn over(dns: &Dns, target: &str, extra: &str) -> Gateway {
    gateway(format!("{}routes: [{{ path: /, target: '{target}'{extra} }}]\n", dns.config()))
}

/// The URLs of all rows.
fn targets(gateway: &Gateway) -> Vec<String> {
    gateway.stats().iter().map(|row| row["targetUrl"].as_str().unwrap().to_owned()).collect()
}

pub fn await_targets(gateway: &Gateway, expected: &[String]) {
    let mut expected = expected.to_vec();
    expected.sort();
    eventually(&format!("{expected:?}"), || {
        let mut targets = targets(gateway);
        targets.sort();
        (targets == expected).then_some(())
    });
}

/// Upstreams on the same port of several addresses of the loopback.
fn on_one_port(count: u8) -> Vec<Upstream> {
    let first = Upstream::start();
    let port = first.address.port();
    let more = (2..=count).map(|last| Upstream::at(([127, 0, 0, last], port).into(), |_| Reply::ok()));
    std::iter::once(first).chain(more).collect()
}

pub fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    (0..count).map(|_| gateway.get("/").status).collect()
}

pub fn discovery(gateway: &Gateway) -> Value {
    gateway.stats()[0]["discovery"].clone()
}

#[test]
fn each_address_of_a_name_is_a_target_with_a_circuit_of_its_own() {
    let upstreams = on_one_port(2);
    let port = upstreams[0].address.port();
    let broken = Upstream::at(([127, 0, 0, 3], port).into(), |_| Reply::status(500, "broken"));
    let addresses = [("users.test", "127.0.0.1"), ("users.test", "127.0.0.2"), ("users.test", "127.0.0.3")];
    let mut dns = Dns::start(1, &addresses, &[]);
    let gateway = over(&dns, &format!("dns://users.test:{port}"), "");
    let url = |last: u8| format!("http://127.0.0.{last}:{port}");
    await_targets(&gateway, &[url(1), url(2), url(3)]);
    let failed = statuses(&gateway, 30).iter().filter(|status| **status == 500).count();
    assert_eq!((failed, gateway.states()), (3, ["CLOSED", "CLOSED", "OPEN"].map(str::to_owned).to_vec()));
    // One goes, another comes; the circuit of the one that stays is as it was.
    let _late = Upstream::at(([127, 0, 0, 4], port).into(), |_| Reply::ok());
    dns.set_hosts(&[("users.test", "127.0.0.3"), ("users.test", "127.0.0.4"), ("users.test", "127.0.0.2")]);
    await_targets(&gateway, &[url(2), url(3), url(4)]);
    let row = gateway.stats().into_iter().find(|row| row["targetUrl"] == url(3)).unwrap();
    assert_eq!((&row["state"], &row["trips"]), (&"OPEN".into(), &1.into()), "{row}");
    let before = upstreams[0].received().len();
    assert_eq!(statuses(&gateway, 12), [200; 12]);
    assert_eq!(upstreams[0].received().len(), before, "who is gone gets nothing");
    drop(broken);
}

#[test]
fn answers_are_kept_as_long_as_they_say() {
    let upstream = Upstream::start();
    let dns = Dns::start(3600, &[("long.test", "127.0.0.1")], &[]);
    let long = over(&dns, &format!("dns://long.test:{}", upstream.address.port()), "");
    let brief = Dns::start(1, &[("brief.test", "127.0.0.1")], &[]);
    let named = over(&brief, &format!("http://brief.test:{}", upstream.address.port()), "");
    assert_eq!((long.get("/").status, named.get("/").status), (200, 200));
    let before = (dns.asked("long.test"), brief.asked("brief.test"));
    std::thread::sleep(Duration::from_millis(3_500));
    assert_eq!(dns.asked("long.test"), before.0, "an hour is not over");
    // A and AAAA, each second.
    let asked = brief.asked("brief.test") - before.1;
    assert!((4..=8).contains(&asked), "{asked} questions in 3.5 s");
}

/// What nobody answers at may be elsewhere by now, however long it was said to be good.
#[test]
fn a_name_is_looked_up_again_when_connecting_fails() {
    let upstreams = on_one_port(2);
    let port = upstreams[0].address.port();
    for target in [format!("dns://moves.test:{port}"), format!("http://moves.test:{port}")] {
        let mut dns = Dns::start(3600, &[("moves.test", "127.0.0.9")], &[]);
        let gateway = over(&dns, &target, ", breaker: { failures: 1000 }");
        gateway.get("/").is_problem(502, "upstream_connect_failed");
        dns.set_hosts(&[("moves.test", "127.0.0.2")]);
        eventually("it to be found", || (gateway.get("/").status == 200).then_some(()));
    }
}

/// All targets of a source and the source itself waited for one bell, which wakes one of those who wait.
#[test]
fn one_failure_has_both_the_name_and_the_source_looked_up_again() {
    let upstream = Upstream::start();
    let names = ["a.test", "b.test", "c.test", "d.test"];
    let records = names.map(|name| format!("_http._tcp.users.test,{name},{},1,1", upstream.address.port()));
    let hosts = |last| [("a.test", "127.0.0.1"), ("b.test", "127.0.0.1"), ("c.test", "127.0.0.1"), ("d.test", last)];
    let mut dns = Dns::start(3600, &hosts("127.0.0.9"), &records);
    let gateway = over(&dns, "dns+srv://_http._tcp.users.test", ", breaker: off, retry: off");
    await_targets(&gateway, &names.map(|name| format!("http://{name}:{}", upstream.address.port())));
    dns.set_hosts(&hosts("127.0.0.1"));
    let asked = |name: &str| dns.asked(name);
    let before = (asked("d.test"), asked("_http._tcp.users.test"));
    assert_eq!(statuses(&gateway, 4).iter().filter(|status| **status == 502).count(), 1);
    eventually("the name to be looked up", || (asked("d.test") > before.0).then_some(()));
    eventually("the source to be asked", || (asked("_http._tcp.users.test") > before.1).then_some(()));
    eventually("it to be found", || {
        let addresses = |row: Value| {
            row["addresses"].as_array().unwrap().contains(&format!("127.0.0.1:{}", upstream.address.port()).into())
        };
        gateway.stats().into_iter().all(addresses).then_some(())
    });
    assert_eq!((statuses(&gateway, 4), asked("a.test")), (vec![200; 4], 2), "and nobody else");
}

#[test]
fn services_are_found_with_port_weight_and_priority() {
    let upstreams: Vec<Upstream> = (0..4).map(|_| Upstream::start()).collect();
    let port = |at: usize| upstreams[at].address.port();
    let service = |host: &str, at: usize, priority: u16, weight: u16| {
        format!("_http._tcp.users.test,{host},{},{priority},{weight}", port(at))
    };
    let hosts = [("a.test", "127.0.0.1"), ("b.test", "127.0.0.1"), ("c.test", "127.0.0.1")];
    let mut dns = Dns::start(
        1,
        &hosts,
        &[service("a.test", 0, 10, 30), service("b.test", 1, 10, 10), service("c.test", 2, 20, 0)],
    );
    let gateway = over(&dns, "dns+srv://_http._tcp.users.test", ", breaker: { failures: 1, cooldown: 1h }");
    let url = |host: &str, at: usize| format!("http://{host}:{}", port(at));
    await_targets(&gateway, &[url("a.test", 0), url("b.test", 1), url("c.test", 2)]);
    assert_eq!(statuses(&gateway, 40), [200; 40]);
    let counts = || upstreams.iter().map(|upstream| upstream.received().len()).collect::<Vec<_>>();
    assert_eq!(counts(), [30, 10, 0, 0], "the one of a higher priority number waits");
    assert_eq!(gateway.stats()[0]["addresses"], serde_json::json!([format!("127.0.0.1:{}", port(0))]));
    // The first two go; the one in waiting takes over.
    dns.set_services(&[service("c.test", 2, 20, 0), service("a.test", 3, 20, 0)]);
    await_targets(&gateway, &[url("a.test", 3), url("c.test", 2)]);
    assert_eq!(statuses(&gateway, 10), [200; 10]);
    assert_eq!(counts(), [30, 10, 5, 5]);
}

#[test]
fn when_there_is_no_record_any_more_the_last_good_list_stays_and_that_is_said_once() {
    let upstream = Upstream::start();
    let records = [format!("_http._tcp.users.test,a.test,{},1,1", upstream.address.port())];
    let mut dns = Dns::start(1, &[("a.test", "127.0.0.1")], &records);
    let gateway = over(&dns, "dns+srv://_http._tcp.users.test", "");
    await_targets(&gateway, &[format!("http://a.test:{}", upstream.address.port())]);
    dns.set_services(&[]);
    eventually("it to show", || discovery(&gateway)["error"].as_str().map(str::to_owned));
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(gateway.get("/").status, 200);
    let told = |gateway: &Gateway| gateway.stderr().matches("its targets stay as they are").count();
    assert_eq!(told(&gateway), 1, "{}", gateway.stderr());
    dns.set_services(&records);
    eventually("it to be well again", || discovery(&gateway)["error"].is_null().then_some(()));
    gateway.said("found again");
    assert_eq!(gateway.stderr().matches("found again").count(), 1);
    dns.stop();
    eventually("it to show", || discovery(&gateway)["error"].as_str().map(str::to_owned));
    assert_eq!(gateway.get("/").status, 200);
}

/// What took longer than the start went on beside a second one, and its older answer came after a newer one.
#[test]
fn each_source_and_name_is_looked_up_by_one_alone() {
    let upstream = Upstream::start();
    let port = upstream.address.port();
    let records = ["good.test", "gone.silent"].map(|name| format!("_http._tcp.users.test,{name},{port},1,1"));
    let dns = Dns::start(3600, &[("good.test", "127.0.0.1"), ("plain.test", "127.0.0.1")], &records);
    let gateway = gateway(format!(
        "{}routes:\n  - {{ path: /a, target: 'dns+srv://_http._tcp.users.test' }}\n  - {{ path: /b, target: 'http://plain.test:{port}' }}\n",
        dns.config()
    ));
    eventually("it to be found", || (gateway.get("/a").status == 200).then_some(()));
    std::thread::sleep(Duration::from_millis(1_000));
    // A and AAAA of names.
    let asked = ["_http._tcp.users.test", "good.test", "plain.test"].map(|name| dns.asked(name));
    assert_eq!(asked, [1, 2, 2]);
}

/// New targets were looked up one after the other before any was taken: each that nobody answers for took seconds.
#[test]
fn a_name_that_leads_nowhere_holds_nobody_up_and_its_target_joins_later() {
    let upstream = Upstream::start();
    let port = upstream.address.port();
    let names: Vec<String> =
        std::iter::once("z.test".to_owned()).chain((0..10).map(|n| format!("gone{n}.silent"))).collect();
    let records: Vec<String> = names.iter().map(|name| format!("_http._tcp.users.test,{name},{port},1,1")).collect();
    let mut dns = Dns::start(3600, &[("z.test", "127.0.0.1")], &records);
    let gateway = over(&dns, "dns+srv://_http._tcp.users.test", "");
    assert_eq!(statuses(&gateway, 3), [200; 3], "as soon as it is up");
    assert_eq!(targets(&gateway), [format!("http://z.test:{port}")]);
    let waiting = |gateway: &Gateway| discovery(gateway)["waiting"].as_array().map_or(0, Vec::len);
    assert_eq!(waiting(&gateway), 10);
    dns.set_hosts(&[("z.test", "127.0.0.1"), ("gone3.silent", "127.0.0.1")]);
    await_targets(&gateway, &[format!("http://gone3.silent:{port}"), format!("http://z.test:{port}")]);
    assert_eq!((statuses(&gateway, 4), waiting(&gateway)), (vec![200; 4], 9));
}

#[test]
fn while_nobody_who_is_named_can_be_found_those_who_were_stay() {
    let upstream = Upstream::start();
    let record = |name: &str| format!("_http._tcp.users.test,{name},{},1,1", upstream.address.port());
    let mut dns = Dns::start(1, &[("a.test", "127.0.0.1")], &[record("a.test")]);
    let gateway = over(&dns, "dns+srv://_http._tcp.users.test", "");
    dns.set_services(&[record("gone.silent")]);
    eventually("it to be named", || discovery(&gateway)["waiting"].is_array().then_some(()));
    assert_eq!((statuses(&gateway, 2), targets(&gateway).len()), (vec![200; 2], 1));
}

#[test]
fn a_source_without_targets_is_503_until_there_is_one() {
    let upstream = Upstream::start();
    let mut dns = Dns::start(1, &[], &[]);
    let target = format!("dns://late.test:{}", upstream.address.port());
    let gateway = over(&dns, &target, "");
    let refused = gateway.get("/");
    refused.is_problem(503, "no_target_available");
    assert_eq!(refused.json()["detail"], "No target of this route is known at the moment.");
    let row = &gateway.stats()[0];
    assert_eq!((&row["targetUrl"], &row["state"]), (&target.clone().into(), &"OPEN".into()));
    assert!(row["discovery"]["error"].as_str().unwrap().contains("cannot resolve \"late.test\""), "{row}");
    dns.set_hosts(&[("late.test", "127.0.0.1")]);
    eventually("it to be found", || (gateway.get("/").status == 200).then_some(()));
}

/// The addresses behind a headless service are no names that a certificate could be for.
#[test]
fn addresses_of_a_name_show_the_certificate_of_that_name() {
    let (upstream, certificates) = (Upstream::start(), Certificates::make_for(&["users.test"]));
    let address = front(&certificates, &["http/1.1"], None, upstream.address);
    let dns = Dns::start(1, &[("users.test", "127.0.0.1"), ("others.test", "127.0.0.1")], &[]);
    let ask = |name: &str, tls: &str| {
        let ca = certificates.ca.display();
        let source = format!("dns+https://{name}:{}", address.port());
        let gateway = over(&dns, &source, &format!(", upstreamTls: {{ caFile: {ca}{tls} }}"));
        await_targets(&gateway, &[format!("https://{address}")]);
        gateway.get("/").status
    };
    assert_eq!((ask("users.test", ""), ask("others.test", "")), (200, 502));
    assert_eq!(ask("others.test", ", serverName: users.test"), 200);
}

/// As gRPC behind a headless service needs it.
#[test]
fn addresses_of_a_name_speak_http2_where_the_source_says_so() {
    let (server, dns) = (Grpc::start(), Dns::start(1, &[("chat.test", "127.0.0.1")], &[]));
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    let gateway =
        gateway(format!("h2c: true\n{}routes: [{{ path: /, target: 'dns+h2c://chat.test:{port}' }}]\n", dns.config()));
    await_targets(&gateway, &[format!("h2c://127.0.0.1:{port}")]);
    assert_eq!(call(&gateway.address.to_string(), "Unary", &[], None)[..2], ["hello", "OK "]);
}
