//! The config read again while the gateway runs: what is taken, what goes on, and what is not taken.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::{Gateway, Upstream, aegis, eventually, gateway, nobody};

pub const ADMIN: &str = "admin: { listen: 127.0.0.1:0 }\n";

/// Has the config read, and what comes of it.
pub fn reload(gateway: &Gateway) -> Value {
    let answer = gateway.operate("POST", "/reload", &[]);
    let report = answer.json();
    assert_eq!(answer.status, if report["outcome"] == "rejected" { 422 } else { 200 }, "{report}");
    assert_eq!(report, gateway.operate("GET", "/config", &[]).json());
    report
}

/// The same with another config, which is taken.
pub fn apply(gateway: &Gateway, config: impl AsRef<str>) -> Value {
    gateway.configure(config);
    let report = reload(gateway);
    // The file's own change may have come first.
    assert!(report["outcome"] == "applied" || report["outcome"] == "unchanged", "{report}");
    report
}

pub fn route(path: &str, upstream: &Upstream, extra: &str) -> String {
    format!("  - {{ path: {path}, targets: {}{extra} }}\n", upstream.url())
}

pub fn two(upstream: &Upstream, extra: &str) -> String {
    format!("{ADMIN}{extra}routes:\n{}{}", route("/a", upstream, ""), route("/b", upstream, ""))
}

#[test]
fn it_is_read_on_each_occasion_and_the_report_says_what_has_changed() {
    let upstream = Upstream::start();
    let gateway = gateway(two(&upstream, ""));
    assert_eq!((gateway.get("/a").status, gateway.get("/c").status), (200, 404));
    assert_eq!(gateway.operate("GET", "/config", &[]).json()["cause"], "start");

    gateway.configure(two(&upstream, "") + &route("/c", &upstream, ""));
    eventually("the file to be read", || (gateway.get("/c").status == 200).then_some(()));
    gateway.said("config 2 runs, read since a file has changed: routes: /c added");
    assert_eq!(gateway.stats()[0]["configGeneration"], 2);

    gateway.signal(libc::SIGHUP);
    gateway.said("config 2 goes on: it was read after SIGHUP and says the same");

    let other = two(&upstream, "trustedProxies: [127.0.0.1]\nthreads: 7\n") + &route("/a/b", &upstream, "");
    let report = apply(&gateway, other);
    if report["cause"] == "admin" && report["outcome"] == "applied" {
        assert_eq!(report["changes"], json!(["routes: /a/b added", "routes: /c removed", "trustedProxies"]));
    }
    assert_eq!((report["generation"].clone(), report["needsRestart"].clone()), (json!(3), json!(["threads"])));
    gateway.said("of the config, threads waits for a restart or an upgrade");
    gateway.request("GET", "/a", &[("X-Forwarded-For", "192.0.2.7")]);
    let forwarded = upstream.received().last().unwrap().header("x-forwarded-for").unwrap().to_owned();
    assert_eq!(forwarded, "192.0.2.7, 127.0.0.1", "the new proxies are trusted");
    assert_eq!(gateway.get("/c").status, 404);
}

/// As Kubernetes mounts a ConfigMap: the file is a link into a folder that is behind a link itself.
#[test]
fn a_link_that_leads_elsewhere_is_a_change() {
    let upstream = Upstream::start();
    let command = aegis(&["run", "-c", "mounted/aegis.yaml"]);
    let home = command.get_current_dir().unwrap().to_owned();
    let version = |name: &str, path: &str| {
        let folder = home.join("mounted").join(name);
        fs::create_dir_all(&folder).unwrap();
        let text = format!("listen: 127.0.0.1:0\nroutes:\n{}", route(path, &upstream, ""));
        fs::write(folder.join("aegis.yaml"), text).unwrap();
    };
    version("..v1", "/a");
    symlink("..v1", home.join("mounted/..data")).unwrap();
    symlink("..data/aegis.yaml", home.join("mounted/aegis.yaml")).unwrap();
    let gateway = Gateway::spawn(command);
    version("..v2", "/b");
    symlink("..v2", home.join("mounted/..data_tmp")).unwrap();
    fs::rename(home.join("mounted/..data_tmp"), home.join("mounted/..data")).unwrap();
    fs::remove_dir_all(home.join("mounted/..v1")).unwrap();
    eventually("the new version", || (gateway.get("/b").status == 200).then_some(()));
    assert_eq!(gateway.get("/a").status, 404);
}

#[test]
fn what_cannot_run_is_not_taken_and_it_is_said_where_it_is_wrong() {
    let upstream = Upstream::start();
    let gateway = gateway(two(&upstream, ""));
    for (wrong, said) in [
        (two(&upstream, "limitz: {}\n"), "aegis.yaml:3:1: limitz: unknown key"),
        (two(&upstream, "trustedProxies: [10.0.0.0/99]\n"), "aegis.yaml:3:"),
        ("routes: [".to_owned(), "aegis.yaml:"),
        (
            two(&upstream, "accessLog: { file: /nowhere/at/all.log }\n"),
            "cannot open the access log /nowhere/at/all.log",
        ),
        (two(&upstream, "auth: { jwt: { secretFile: /nowhere } }\n") + "    plugins: { auth: true }\n", "aegis.yaml:"),
    ] {
        gateway.configure(&wrong);
        let report = reload(&gateway);
        assert_eq!((&report["outcome"], &report["generation"]), (&json!("rejected"), &json!(1)), "{report}");
        let first = report["errors"][0].as_str().unwrap();
        assert!(first.contains(said), "{first}");
        gateway.said(first);
        assert_eq!((gateway.get("/a").status, gateway.get("/b").status), (200, 200));
        let row = &gateway.stats()[0];
        assert!(row["configRejectedAt"].is_string() && row["configGeneration"] == 1, "{row}");
    }
    fs::remove_file(gateway.directory.join("aegis.yaml")).unwrap();
    let report = reload(&gateway);
    assert!(report["errors"][0].as_str().unwrap().contains("aegis.yaml: cannot read the config"), "{report}");
    assert_eq!(gateway.get("/a").status, 200);

    let report = apply(&gateway, two(&upstream, ""));
    assert_eq!((&report["outcome"], &report["generation"]), (&json!("unchanged"), &json!(1)), "it never was another");
    assert!(gateway.stats()[0].get("configRejectedAt").is_none());
}

#[test]
fn files_that_the_config_names_are_looked_at_as_well() {
    let upstream = Upstream::start();
    let command = aegis(&["run", "-c", "aegis.yaml"]);
    let home = command.get_current_dir().unwrap().to_owned();
    let secret = |secret: &str| {
        fs::write(home.join("secret.new"), secret).unwrap();
        fs::rename(home.join("secret.new"), home.join("secret")).unwrap();
    };
    secret("0123456789abcdef0123456789abcdef");
    let config = format!(
        "listen: 127.0.0.1:0\nauth: {{ jwt: {{ secretFile: secret }} }}\nroutes:\n{}",
        route("/a", &upstream, ", plugins: { auth: true }")
    );
    fs::write(home.join("aegis.yaml"), config).unwrap();
    let gateway = Gateway::spawn(command);
    assert_eq!(gateway.get_as("7", "/a").status, 401);
    secret(crate::support::gateway::SECRET);
    eventually("the new secret", || (gateway.get_as("7", "/a").status == 200).then_some(()));
    secret("");
    gateway.said("config 2 goes on: what was read since a file has changed cannot run");
    assert_eq!(gateway.get_as("7", "/a").status, 200);
    let said = gateway.stderr();
    assert!(!said.contains(crate::support::gateway::SECRET) && !said.contains("0123456789abcdef"), "{said}");
}

#[test]
fn sighup_has_the_log_begun_anew_where_it_was_put_away() {
    let upstream = Upstream::start();
    let gateway = gateway(format!("accessLog: {{ file: access.log }}\nroutes:\n{}", route("/a", &upstream, "")));
    let (log, old) = (gateway.directory.join("access.log"), gateway.directory.join("access.log.1"));
    gateway.get("/a/1");
    eventually("a line", || fs::read_to_string(&log).is_ok_and(|text| text.contains("/a/1")).then_some(()));
    fs::rename(&log, &old).unwrap();
    gateway.signal(libc::SIGHUP);
    eventually("a new file", || log.exists().then_some(()));
    gateway.get("/a/2");
    eventually("a line", || fs::read_to_string(&log).is_ok_and(|text| text.contains("/a/2")).then_some(()));
    assert!(!fs::read_to_string(&old).unwrap().contains("/a/2"));
}

#[test]
fn who_may_operate_it_is_not_forgotten_with_the_token() {
    let command = aegis(&["run", "-c", "aegis.yaml"]);
    let home = command.get_current_dir().unwrap().to_owned();
    fs::write(home.join("token"), "a-token-with-enough-bytes-for-this").unwrap();
    let routes = format!("routes: [{{ path: /, targets: 'http://{}' }}]\n", nobody());
    let config = |admin: &str| format!("{admin}{routes}");
    let with = config("admin: { listen: 0.0.0.0:0, tokenFile: token }\n");
    fs::write(home.join("aegis.yaml"), format!("listen: 127.0.0.1:0\n{with}")).unwrap();
    let gateway = Gateway::spawn(command);
    let own = ("Authorization", "Bearer a-token-with-enough-bytes-for-this");
    let status = |headers: &[(&str, &str)]| gateway.operate("GET", "/stats", headers).status;
    assert_eq!((status(&[]), status(&[own])), (401, 200));
    gateway.configure(config(""));
    gateway.said("admin.listen waits for a restart");
    assert_eq!((status(&[]), status(&[own])), (401, 200));
    gateway.configure(config("admin: { listen: 127.0.0.1:0 }\n"));
    eventually("the token to be gone", || (status(&[own]) == 403).then_some(()));
    assert_eq!(status(&[]), 403, "everybody reaches what listens everywhere");
}

/// What followed was written to the file that was put away, and was lost with it.
#[test]
fn sighup_begins_the_log_anew_whatever_the_config_says_by_now_and_while_the_process_ends() {
    let upstream = Upstream::start();
    let log = "accessLog: { file: access.log }\nshutdown: { drain: 20s }\n";
    let gateway = gateway(format!("{log}routes:\n{}", route("/a", &upstream, "")));
    let file = gateway.directory.join("access.log");
    let has = |text: &str| {
        eventually("a line", || fs::read_to_string(&file).is_ok_and(|lines| lines.contains(text)).then_some(()))
    };
    gateway.get("/a/1");
    has("/a/1");
    gateway.configure("routes: [{ path: nowhere }]\n");
    gateway.said("routes[0].path");
    for (nth, signal) in [(2, None), (3, Some(libc::SIGTERM))] {
        if let Some(signal) = signal {
            gateway.signal(signal);
            gateway.said("draining");
        }
        fs::rename(&file, gateway.directory.join("put.away")).unwrap();
        gateway.signal(libc::SIGHUP);
        eventually("a new file", || file.exists().then_some(()));
        gateway.get(&format!("/a/{nth}"));
        has(&format!("/a/{nth}"));
    }
}
