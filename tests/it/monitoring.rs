//! What comes with the gateway for Prometheus and Grafana, with a real Prometheus.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::gateway::directory;
use crate::support::{Connection, Upstream, eventually, gateway, nobody};

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/monitoring").join(name)
}

fn promtool(args: &[&str]) {
    let output = Command::new("promtool").args(args).output().expect("promtool, which `.ci/need promtool` installs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Stopped when it is dropped.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The names of the gateway's metrics in a text, as the documentation has them.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let own = words.filter(|word| word.starts_with("aegis_") || word.starts_with("process_"));
    let plain = |word: &str| {
        ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    own.map(plain).collect()
}

/// All expressions of the dashboard, with Grafana's variables filled in.
fn expressions() -> Vec<String> {
    let board: Value =
        serde_json::from_str(&fs::read_to_string(deployed("grafana/dashboards/aegis.json")).unwrap()).unwrap();
    let panels = board["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let filled =
        panels.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "1m").replace("$route", ".*"));
    filled.collect()
}

#[test]
fn rules_fire_when_they_should_and_all_names_in_them_exist() {
    promtool(&["check", "config", deployed("prometheus.yml").to_str().unwrap()]);
    promtool(&["test", "rules", deployed("alerts.test.yml").to_str().unwrap()]);
    let rules: String = expressions()
        .iter()
        .map(|expr| format!("  - {{ record: \"a:b:c\", expr: {} }}\n", Value::from(expr.as_str())))
        .collect();
    let file = directory().join("expressions.yml");
    fs::write(&file, format!("groups:\n- name: dashboard\n  rules:\n{rules}")).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);

    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let alerts = fs::read_to_string(deployed("alerts.yml")).unwrap();
    let known = metrics(&docs);
    let unknown: Vec<_> = metrics(&(expressions().join(" ") + &alerts)).difference(&known).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new(), "no such metric is documented");
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(docs.contains(&format!("| `{alert}` |")), "docs/operations.md does not say what to do about {alert}");
    }
}

#[test]
fn prometheus_reads_a_gateway_and_sees_a_circuit_open() {
    let upstream = Upstream::failing();
    let gateway = gateway(format!(
        "admin: {{ listen: 127.0.0.1:0 }}\nroutes: [{{ path: /users, target: {}, breaker: {{ failures: 1, cooldown: 1h }} }}]\n",
        upstream.url(),
    ));
    let (directory, address) = (directory(), nobody());
    let config = fs::read_to_string(deployed("prometheus.yml")).unwrap();
    let config = config.replace("127.0.0.1:8001", &gateway.admin().to_string()).replace(" 5s", " 1s");
    fs::write(directory.join("prometheus.yml"), config).unwrap();
    fs::copy(deployed("alerts.yml"), directory.join("alerts.yml")).unwrap();
    let child = Command::new("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", &format!("--web.listen-address={address}")])
        .current_dir(&directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus, which `.ci/need promtool` installs");
    let _prometheus = Prometheus(child);
    eventually("Prometheus", || std::net::TcpStream::connect(address).ok());
    let query = |text: &str| {
        let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let answer = Connection::open(address).request("GET", &format!("/api/v1/query?query={encoded}"), &[]);
        (answer.status == 200)
            .then(|| answer.json()["data"]["result"][0]["value"][1].as_str().map(str::to_owned))
            .flatten()
    };
    assert_eq!((gateway.get("/users").status, gateway.get("/users").status), (500, 503));
    eventually("the requests", || {
        query("sum(aegis_http_requests_total{route=\"/users\"})").filter(|count| count == "2")
    });
    let pending = "count(ALERTS{alertname=\"AegisCircuitOpen\", alertstate=\"pending\"})";
    eventually("the alert", || query(pending).filter(|count| count == "1"));
}
