//! What Prometheus reads on the admin listener.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Gateway, Redis, Reply, Upstream, eventually, gateway, nobody};

const ADMIN: &str = "admin: { listen: 127.0.0.1:0 }\n";

/// The samples of a page, by name and labels as they are written.
fn scrape(gateway: &Gateway) -> HashMap<String, f64> {
    let answer = gateway.operate("GET", "/metrics", &[]);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let samples = answer.text().lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.into(), value.parse().unwrap()))
        .collect()
}

/// Waits until a sample says this: the last request is counted a moment after its answer.
fn await_sample(gateway: &Gateway, name: &str, value: f64) {
    eventually(&format!("{name} {value}"), || (scrape(gateway).get(name) == Some(&value)).then_some(()));
}

/// Requests of all kinds, over a circuit that has opened and one that has closed again.
fn busy(redis: &Redis) -> (Gateway, Upstream) {
    let upstream = Upstream::with(|request| match request.path() {
        "/users/missing" => Reply::status(404, "no"),
        _ => Reply::ok(),
    });
    let gateway = gateway(format!(
        "{ADMIN}redis: {{ url: '{}' }}\ndefaults: {{ breaker: {{ failures: 1, cooldown: 1h }} }}\nroutes:\n  \
         - {{ path: /users, targets: {}, plugins: {{ auth: true, rateLimit: {{ max: 3, window: 1h }} }} }}\n  \
         - {{ path: /down, targets: 'http://{}', mirror: {{ target: {} }} }}\n",
        redis.url(),
        upstream.url(),
        nobody(),
        upstream.url(),
    ));
    (gateway, upstream)
}

#[test]
fn what_happens_is_counted_where_it_belongs() {
    let redis = Redis::start();
    let (gateway, upstream) = busy(&redis);
    for (target, status) in [("/users", 200), ("/users/missing", 404), ("/users", 200), ("/users", 429)] {
        assert_eq!(gateway.get_as("u", target).status, status);
    }
    assert_eq!((gateway.get("/users").status, gateway.get("/nowhere").status), (401, 404));
    assert_eq!((gateway.get("/down").status, gateway.get("/down").status), (502, 503));
    let down = gateway.stats()[1]["targetUrl"].as_str().unwrap().to_owned();
    let up = upstream.url();
    await_sample(&gateway, "aegis_http_requests_total{route=\"/down\",method=\"GET\",status=\"503\"}", 1.0);
    let samples = scrape(&gateway);
    for (name, value) in [
        ("aegis_http_requests_total{route=\"/users\",method=\"GET\",status=\"200\"}", 2.0),
        ("aegis_http_requests_total{route=\"/users\",method=\"GET\",status=\"404\"}", 1.0),
        ("aegis_http_requests_total{route=\"/users\",method=\"GET\",status=\"429\"}", 1.0),
        ("aegis_http_requests_total{route=\"/users\",method=\"GET\",status=\"401\"}", 1.0),
        ("aegis_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"}", 1.0),
        ("aegis_http_request_duration_seconds_count{route=\"/users\"}", 5.0),
        ("aegis_gateway_overhead_seconds_count{route=\"/users\"}", 5.0),
        (&format!("aegis_upstream_request_duration_seconds_count{{route=\"/users\",target=\"{up}\"}}"), 3.0),
        (&format!("aegis_upstream_attempts_total{{target=\"{up}\",outcome=\"success\"}}"), 3.0),
        (&format!("aegis_upstream_attempts_total{{target=\"{down}\",outcome=\"failure\"}}"), 1.0),
        (&format!("aegis_circuit_breaker_state{{target=\"{up}\",state=\"CLOSED\"}}"), 1.0),
        (&format!("aegis_circuit_breaker_state{{target=\"{down}\",state=\"OPEN\"}}"), 1.0),
        (&format!("aegis_circuit_breaker_state{{target=\"{down}\",state=\"CLOSED\"}}"), 0.0),
        (&format!("aegis_circuit_breaker_transitions_total{{target=\"{down}\",state=\"OPEN\"}}"), 1.0),
        ("aegis_rate_limit_decisions_total{route=\"/users\",decision=\"allowed\"}", 3.0),
        ("aegis_rate_limit_decisions_total{route=\"/users\",decision=\"refused\"}", 1.0),
        (&format!("aegis_redis_up{{server=\"{}\"}}", redis.address), 1.0),
        ("aegis_config_generation", 1.0),
        ("aegis_config_last_reload_success", 1.0),
        ("aegis_draining", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}: {samples:#?}");
    }
    assert!(samples["process_resident_memory_bytes"] > 1e6 && samples["process_open_fds"] > 5.0);
    assert!(samples["aegis_connections"] >= 0.0 && samples["process_start_time_seconds"] > 1.6e9);
    gateway.operate("POST", &format!("/circuits/close?target={down}"), &[]);
    await_sample(&gateway, &format!("aegis_circuit_breaker_held{{target=\"{down}\"}}"), 1.0);
    gateway.configure("routes: 7\n");
    await_sample(&gateway, "aegis_config_last_reload_success", 0.0);
}

/// The part in which a target has the request is not the gateway's.
#[test]
fn overhead_is_what_no_target_took() {
    let upstream = Upstream::with(|_| {
        std::thread::sleep(std::time::Duration::from_millis(600));
        Reply::ok()
    });
    let gateway = gateway(format!("{ADMIN}routes: [{{ path: /, target: {} }}]\n", upstream.url()));
    gateway.get("/");
    await_sample(&gateway, "aegis_http_request_duration_seconds_count{route=\"/\"}", 1.0);
    let samples = scrape(&gateway);
    assert_eq!(samples["aegis_http_request_duration_seconds_bucket{route=\"/\",le=\"0.5\"}"], 0.0);
    assert!(samples["aegis_http_request_duration_seconds_sum{route=\"/\"}"] >= 0.6);
    assert_eq!(samples["aegis_gateway_overhead_seconds_bucket{route=\"/\",le=\"0.25\"}"], 1.0);
}

#[test]
fn prometheus_own_check_finds_nothing() {
    let redis = Redis::start();
    let (gateway, _upstream) = busy(&redis);
    (0..5).for_each(|_| drop(gateway.get_as("u", "/users")));
    let page = gateway.operate("GET", "/metrics", &[]);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool, which `.ci/need promtool` installs");
    child.stdin.take().unwrap().write_all(page.text().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Whoever makes up paths, methods and headers makes no series.
#[test]
fn what_clients_write_makes_no_series() {
    let upstream = Upstream::start();
    let gateway = gateway(format!("{ADMIN}routes: [{{ path: /users, target: {} }}]\n", upstream.url()));
    gateway.get("/users/1");
    gateway.raw("BREW0 /x HTTP/1.1\r\nHost: x\r\n\r\n");
    gateway.get("/x0");
    await_sample(&gateway, "aegis_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"}", 1.0);
    await_sample(&gateway, "aegis_http_requests_total{route=\"none\",method=\"OTHER\",status=\"405\"}", 1.0);
    let before = scrape(&gateway).len();
    for nth in 1..20 {
        gateway.get(&format!("/users/x{nth}"));
        gateway.get(&format!("/x{nth}"));
        gateway.raw(format!("BREW{nth} /x HTTP/1.1\r\nHost: x{nth}\r\n\r\n"));
    }
    await_sample(&gateway, "aegis_http_requests_total{route=\"none\",method=\"OTHER\",status=\"405\"}", 20.0);
    assert_eq!(scrape(&gateway).len(), before);
}

#[test]
fn the_documentation_names_every_metric_and_no_other() {
    let redis = Redis::start();
    let (gateway, _upstream) = busy(&redis);
    let page = gateway.operate("GET", "/metrics", &[]);
    let mut shown: Vec<&str> =
        page.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    shown.sort_unstable();
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let is_metric = |name: &&str| name.starts_with("aegis_") || name.starts_with("process_");
    let mut told: Vec<&str> =
        rows.flat_map(|row| row.split(", ")).map(|name| name.trim_matches('`')).filter(is_metric).collect();
    told.sort_unstable();
    assert_eq!(shown, told);
}

/// They were in the log and in no count.
#[test]
fn what_is_no_request_is_counted() {
    let gateway = gateway(format!("{ADMIN}routes: [{{ path: /, target: 'http://127.0.0.1:1' }}]\n"));
    assert_eq!(gateway.raw("nonsense\r\n\r\n").status, 400);
    await_sample(&gateway, "aegis_http_requests_total{route=\"none\",method=\"OTHER\",status=\"400\"}", 1.0);
}
