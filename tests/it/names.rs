//! Targets that are known by name. The name service is the system's own, with a hosts file of the test's
//! in front of it (nss_wrapper).

use std::fs;
use std::path::Path;

use crate::support::{Gateway, Upstream, aegis, eventually};

const WRAPPER: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/libnss_wrapper.so",
    "/usr/lib/aarch64-linux-gnu/libnss_wrapper.so",
    "/usr/lib/libnss_wrapper.so",
];

/// A gateway to `name`, which its hosts file knows as `addresses`.
fn gateway_to(name: &str, port: u16, addresses: &[&str]) -> (Gateway, std::path::PathBuf) {
    let library = WRAPPER.iter().find(|path| Path::new(path).exists());
    let library = library.expect("libnss_wrapper is not installed; install it: apt-get install libnss-wrapper");
    let mut command = aegis(&["run", "-c", "aegis.yaml"]);
    let directory = command.get_current_dir().unwrap().to_owned();
    let hosts = directory.join("hosts");
    write_hosts(&hosts, name, addresses);
    let config = format!(
        "listen: 127.0.0.1:0\nresolve: 100ms\nroutes: [{{ path: /, target: 'http://{name}:{port}', breaker: {{ failures: 3, cooldown: 200ms }} }}]\n"
    );
    fs::write(directory.join("aegis.yaml"), config).unwrap();
    command.env("LD_PRELOAD", library).env("NSS_WRAPPER_HOSTS", &hosts);
    (Gateway::spawn(command), hosts)
}

fn write_hosts(file: &Path, name: &str, addresses: &[&str]) {
    let lines: String = addresses.iter().map(|address| format!("{address} {name}\n")).collect();
    // Renamed into place: the gateway may be reading it.
    let new = file.with_extension("new");
    fs::write(&new, format!("127.0.0.1 localhost\n{lines}")).unwrap();
    fs::rename(new, file).unwrap();
}

#[test]
fn a_name_that_does_not_resolve_stops_nobody_and_is_found_when_it_does() {
    let upstream = Upstream::start();
    let (gateway, hosts) = gateway_to("late.test", upstream.address.port(), &[]);
    for _ in 0..3 {
        gateway.get("/").is_problem(502, "upstream_connect_failed");
    }
    let row = &gateway.stats()[0];
    assert_eq!((&row["state"], &row["failures"]), (&"OPEN".into(), &3.into()), "it counts as failing: {row}");
    assert!(row["lastFailure"]["cause"].as_str().unwrap().contains("cannot resolve \"late.test\""), "{row}");
    eventually("it to be told", || gateway.stderr().contains("cannot resolve").then_some(()));
    write_hosts(&hosts, "late.test", &["127.0.0.1"]);
    eventually("the name to be found", || (gateway.get("/").status == 200).then_some(()));
    let told = format!("late.test:{}: cannot resolve", upstream.address.port());
    assert_eq!(gateway.stderr().matches(&told).count(), 1, "told once: {}", gateway.stderr());
    assert_eq!(gateway.states(), ["CLOSED"]);
}

#[test]
fn an_address_that_changes_is_followed_without_a_restart() {
    let first = Upstream::start();
    let port = first.address.port();
    let second = Upstream::at(format!("127.0.0.2:{port}").parse().unwrap(), |_| crate::support::Reply::ok());
    let (gateway, hosts) = gateway_to("moving.test", port, &["127.0.0.1"]);
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!((first.received().len(), second.received().len()), (1, 0));
    write_hosts(&hosts, "moving.test", &["127.0.0.2"]);
    eventually("requests to go to the new address", || {
        gateway.get("/");
        second.received().first().map(|_| ())
    });
    // A name that is gone keeps the address that it had.
    write_hosts(&hosts, "other.test", &["127.0.0.1"]);
    for _ in 0..30 {
        assert_eq!(gateway.get("/").status, 200);
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn an_address_where_nobody_listens_costs_nothing_while_the_name_has_another() {
    let upstream = Upstream::start();
    let (gateway, _) = gateway_to("half.test", upstream.address.port(), &["127.0.0.1", "127.0.0.9"]);
    for i in 0..20 {
        assert_eq!(gateway.get("/").status, 200, "request {i}");
    }
    let row = &gateway.stats()[0];
    assert_eq!((&row["requests"], &row["failed"]), (&20.into(), &0.into()), "{row}");
}

#[test]
fn several_addresses_of_one_name_take_turns() {
    let first = Upstream::start();
    let port = first.address.port();
    let second = Upstream::at(format!("127.0.0.2:{port}").parse().unwrap(), |_| crate::support::Reply::ok());
    let (gateway, _) = gateway_to("both.test", port, &["127.0.0.1", "127.0.0.2"]);
    for _ in 0..10 {
        assert_eq!(gateway.get("/").status, 200);
    }
    assert_eq!((first.received().len(), second.received().len()), (5, 5));
}
