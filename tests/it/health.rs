//! Targets that are asked whether they are well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::dns::Dns;
use crate::support::grpc::Grpc;
use crate::support::{Gateway, Reply, Upstream, eventually, gateway, nobody};

fn over(targets: &[String], extra: &str) -> Gateway {
    gateway(format!("routes: [{{ path: /, targets: [{}], {extra} }}]\n", targets.join(", ")))
}

/// One that answers `/health` as it is told, and everything else well.
fn checked(well: &Arc<AtomicBool>) -> Upstream {
    let well = well.clone();
    Upstream::with(move |request| match request.path() {
        "/health" if !well.load(Ordering::SeqCst) => Reply::status(503, "ill"),
        _ => Reply::ok(),
    })
}

fn health(gateway: &Gateway, row: usize) -> Value {
    gateway.stats()[row]["health"].clone()
}

fn await_state(gateway: &Gateway, row: usize, state: &str) {
    eventually(state, || (health(gateway, row)["state"] == state).then_some(()));
}

fn requests(upstream: &Upstream) -> usize {
    upstream.received().iter().filter(|request| request.path() == "/").count()
}

#[test]
fn a_target_that_says_it_is_ill_gets_nothing_until_it_says_otherwise() {
    let well = Arc::new(AtomicBool::new(true));
    let (one, other) = (checked(&well), Upstream::start());
    let gateway = over(&[one.url(), other.url()], "healthCheck: { path: /health, interval: 50ms }");
    await_state(&gateway, 0, "HEALTHY");
    (0..4).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    assert_eq!(requests(&one), 2);
    well.store(false, Ordering::SeqCst);
    await_state(&gateway, 0, "UNHEALTHY");
    let row = &gateway.stats()[0];
    assert_eq!((&row["state"], &row["health"]["reason"]), (&"CLOSED".into(), &"status 503".into()), "{row}");
    let before = requests(&one);
    (0..10).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    assert_eq!(requests(&one), before);
    well.store(true, Ordering::SeqCst);
    await_state(&gateway, 0, "HEALTHY");
    (0..4).for_each(|_| assert_eq!(gateway.get("/").status, 200));
    assert_eq!(requests(&one), before + 2);
    let said = gateway.stderr();
    assert_eq!(
        (said.matches("checks are bad: status 503").count(), said.matches("checks are good again").count()),
        (1, 1)
    );
    let asked = one.received().into_iter().find(|request| request.path() == "/health").unwrap();
    assert_eq!(asked.header("host"), Some(one.address.to_string().as_str()));
    assert!(asked.header("user-agent").is_some_and(|agent| agent.starts_with("aegis/")), "{asked:?}");
}

/// Each check is answered when its turn has come, so that between any two of them it can be seen what is believed.
#[test]
fn statuses_say_what_is_well_and_so_many_checks_in_a_row_change_what_is_believed() {
    let (answer, answers) = mpsc::channel();
    let answers = Mutex::new(answers);
    let upstream = Upstream::with(move |request| match request.path() {
        "/health" => Reply::status(answers.lock().unwrap().recv().unwrap_or(503), ""),
        _ => Reply::ok(),
    });
    let check = "path: /health, statuses: [204, 404], unhealthyAfter: 2, healthyAfter: 3, interval: 50ms, timeout: 20s";
    let gateway = over(&[upstream.url()], &format!("healthCheck: {{ {check} }}"));
    let script = [
        (404, "HEALTHY"),
        (200, "HEALTHY"),
        (404, "HEALTHY"),
        (200, "HEALTHY"),
        (503, "UNHEALTHY"),
        (404, "UNHEALTHY"),
        (204, "UNHEALTHY"),
        (403, "UNHEALTHY"),
        (404, "UNHEALTHY"),
        (404, "UNHEALTHY"),
        (404, "HEALTHY"),
    ];
    for (at, (status, state)) in script.into_iter().enumerate() {
        answer.send(status).unwrap();
        eventually("the check", || (health(&gateway, 0)["checks"] == at + 1).then_some(()));
        assert_eq!(health(&gateway, 0)["state"], state, "{at}: {status}");
        assert_eq!(gateway.get("/").status, if state == "HEALTHY" { 200 } else { 503 }, "{at}");
    }
    assert_eq!(health(&gateway, 0)["failed"], 4);
}

#[test]
fn when_all_are_ill_the_answer_is_503_and_says_when_they_are_asked_again() {
    let well = Arc::new(AtomicBool::new(false));
    let upstream = checked(&well);
    let gateway = over(&[upstream.url()], "healthCheck: { path: /health, interval: 3s, jitter: 0% }");
    await_state(&gateway, 0, "UNHEALTHY");
    let refused = gateway.get("/");
    refused.is_problem(503, "no_target_available");
    assert_eq!(refused.header("retry-after"), Some("3"));
    assert_eq!(refused.json()["detail"], "Every target of this route fails its checks; they are asked again in 3 s.");
    let anyway = over(&[upstream.url()], "healthCheck: { path: /health, interval: 3s }, onAllOpen: tryAnyway");
    await_state(&anyway, 0, "UNHEALTHY");
    assert_eq!(anyway.get("/").status, 200);
}

#[test]
fn checks_by_connecting_and_by_grpc() {
    let upstream = Upstream::start();
    let (tcp, dead) = (upstream.url(), format!("http://{}", nobody()));
    let gateway = over(&[tcp, dead], "healthCheck: { type: tcp, interval: 50ms }");
    await_state(&gateway, 0, "HEALTHY");
    await_state(&gateway, 1, "UNHEALTHY");
    // The kernel connects before the upstream knows.
    eventually("a connection to be taken", || (upstream.connections() > 0).then_some(()));
    assert!(upstream.received().is_empty());
    assert_eq!(health(&gateway, 1)["reason"], "cannot connect: ConnectRefused");
    let mut grpc = Grpc::start();
    grpc.says("users", true);
    let gateway = over(&[grpc.url()], "healthCheck: { type: grpc, service: users, interval: 50ms }");
    await_state(&gateway, 0, "HEALTHY");
    grpc.says("users", false);
    await_state(&gateway, 0, "UNHEALTHY");
    assert_eq!(health(&gateway, 0)["reason"], "it says that it is not serving");
    grpc.says("users", true);
    await_state(&gateway, 0, "HEALTHY");
    let gateway = over(&[grpc.url()], "healthCheck: { type: grpc, service: orders, interval: 50ms }");
    await_state(&gateway, 0, "UNHEALTHY");
    assert_eq!(health(&gateway, 0)["reason"], "it knows of no service \"orders\"");
    let gateway = over(&[grpc.url()], "healthCheck: { type: grpc, interval: 50ms }");
    await_state(&gateway, 0, "HEALTHY");
}

#[test]
fn an_answer_that_comes_late_is_bad() {
    let silent = Upstream::with(|_| Reply::Talk(Box::new(|stream| drop(std::io::Read::read(stream, &mut [0; 1])))));
    let gateway = over(&[silent.url()], "healthCheck: { interval: 300ms, timeout: 200ms }");
    await_state(&gateway, 0, "UNHEALTHY");
    assert_eq!(health(&gateway, 0)["reason"], "no answer within 200 ms");
}

/// A page of more than 64 KiB was bad, whatever its status.
#[test]
fn the_status_of_an_answer_decides_however_long_it_is() {
    let page = |status: u16, sent: usize| {
        let head = format!("HTTP/1.1 {status} Reason\r\ncontent-length: 1000000\r\n\r\n");
        Upstream::with(move |_| Reply::Bytes([head.as_bytes(), &vec![b'x'; sent]].concat()))
    };
    let (long, endless, ill) = (page(200, 1_000_000), page(200, 10), page(503, 1_000_000));
    let gateway = over(&[long.url(), endless.url(), ill.url()], "healthCheck: { interval: 50ms, timeout: 500ms }");
    for (row, state) in ["HEALTHY", "HEALTHY", "UNHEALTHY"].into_iter().enumerate() {
        eventually("a few checks", || health(&gateway, row)["checks"].as_u64().filter(|checks| *checks >= 3));
        assert_eq!(health(&gateway, row)["state"], state);
    }
}

/// Asked for the body of such an answer, Pingora panics, and the target was never asked again.
#[test]
fn informational_answers_are_passed_over() {
    let early = Upstream::with(|_| {
        let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
        Reply::Bytes(format!("{hint}{hint}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").into_bytes())
    });
    for statuses in ["[200-399]", "[100-399]"] {
        let gateway = over(&[early.url()], &format!("healthCheck: {{ interval: 50ms, statuses: {statuses} }}"));
        let checked = |count: u64| health(&gateway, 0)["checks"].as_u64().filter(|checks| *checks >= count);
        eventually("a few checks", || checked(3));
        assert_eq!(
            (health(&gateway, 0)["state"].as_str(), &health(&gateway, 0)["failed"]),
            (Some("HEALTHY"), &0.into())
        );
    }
}

/// One time-out was for all addresses, one after the other: the first that hung took it all.
#[test]
fn one_good_address_suffices_though_others_hang() {
    let well = Upstream::start();
    let silent = || Reply::Talk(Box::new(|stream| drop(std::io::Read::read(stream, &mut [0; 1]))));
    let port = well.address.port();
    let _hung: Vec<Upstream> =
        (2..=5).map(|last| Upstream::at(([127, 0, 0, last], port).into(), move |_| silent())).collect();
    let addresses: Vec<String> = (1..=5).map(|last| format!("127.0.0.{last}")).collect();
    let hosts: Vec<(&str, &str)> = addresses.iter().map(|address| ("many.test", address.as_str())).collect();
    let dns = Dns::start(60, &hosts, &[]);
    let gateway = gateway(format!(
        "{}routes: [{{ path: /, target: 'http://many.test:{port}', healthCheck: {{ interval: 50ms, timeout: 1s }} }}]\n",
        dns.config()
    ));
    // Each address has been the first one.
    eventually("a few checks", || health(&gateway, 0)["checks"].as_u64().filter(|checks| *checks >= 6));
    assert_eq!((health(&gateway, 0)["state"].as_str(), &health(&gateway, 0)["failed"]), (Some("HEALTHY"), &0.into()));
}

#[test]
fn one_loop_asks_a_target_however_many_routes_name_it() {
    let upstream = Upstream::start();
    let routes: String = (0..5).map(|n| format!("  - {{ path: /{n}, target: {} }}\n", upstream.url())).collect();
    let gateway = gateway(format!(
        "defaults: {{ healthCheck: {{ path: /health, interval: 100ms, jitter: 0% }} }}\nroutes:\n{routes}  - {{ path: /unchecked, target: {}, healthCheck: off }}\n",
        upstream.url()
    ));
    await_state(&gateway, 0, "HEALTHY");
    let (start, before) = (Instant::now(), upstream.received().len());
    std::thread::sleep(Duration::from_millis(1_000));
    let (asked, due) = (upstream.received().len() - before, start.elapsed().as_millis() / 100);
    assert!((1..=due as usize + 1).contains(&asked), "{asked} in {due} intervals");
}

/// The target broke and is well again long before its cooldown is over.
#[test]
fn good_checks_let_an_open_circuit_probe_early_where_the_config_says_so() {
    let failing = Arc::new(AtomicBool::new(true));
    let is_failing = failing.clone();
    let upstream = Upstream::with(move |request| match request.path() {
        "/" if is_failing.load(Ordering::SeqCst) => Reply::status(500, "broken"),
        _ => Reply::ok(),
    });
    let trip = |gateway: &Gateway| {
        failing.store(true, Ordering::SeqCst);
        (0..3).for_each(|_| assert_eq!(gateway.get("/").status, 500));
        failing.store(false, Ordering::SeqCst);
        assert_eq!(gateway.stats()[0]["trips"], 1);
    };
    let patient = over(&[upstream.url()], "healthCheck: { path: /health, interval: 50ms }");
    let eager = over(&[upstream.url()], "healthCheck: { path: /health, interval: 50ms, reopens: true }");
    for gateway in [&patient, &eager] {
        await_state(gateway, 0, "HEALTHY");
        trip(gateway);
    }
    eventually("the probe", || (eager.get("/").status == 200).then_some(()));
    assert_eq!(eager.states(), ["CLOSED"]);
    assert_eq!(patient.states(), ["OPEN"]);
    patient.get("/").is_problem(503, "no_target_available");
}

#[test]
fn another_port_and_host_can_be_asked() {
    let (service, probe) = (Upstream::start(), Upstream::with(|_| Reply::status(204, "")));
    let gateway = over(
        &[service.url()],
        &format!(
            "healthCheck: {{ path: '/ready?deep=1', host: probe.internal, port: {}, statuses: 204, interval: 50ms }}",
            probe.address.port()
        ),
    );
    await_state(&gateway, 0, "HEALTHY");
    let asked = &probe.received()[0];
    assert_eq!((asked.path(), asked.header("host")), ("/ready?deep=1", Some("probe.internal")));
    assert!(service.received().is_empty());
}
