//! `aegis check --resolve`: which names of a config are somewhere.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use crate::support::aegis;
use crate::support::dns::Dns;

fn command(config: &str) -> std::process::Command {
    let mut command = aegis(&["check", "--resolve", "-c", "aegis.yaml"]);
    fs::write(command.get_current_dir().unwrap().join("aegis.yaml"), config).unwrap();
    command.env("JWT_SECRET", crate::support::SECRET);
    command
}

fn check(config: &str) -> Output {
    command(config).output().unwrap()
}

/// What is said beside what is waited for.
fn warnings(output: &Output) -> Vec<String> {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    stderr.lines().filter(|line| !line.starts_with("waiting for ")).map(str::to_owned).collect()
}

#[test]
fn names_that_are_nowhere_are_told_of_and_the_config_is_good_all_the_same() {
    let services = ["_http._tcp.users.test,good.test,80,1,1".to_owned()];
    let dns = Dns::start(60, &[("good.test", "127.0.0.1")], &services);
    let config = format!(
        "{}routes:\n  - path: /a\n    targets:\n      - http://good.test:1\n      - http://typo.test:1\n  \
         - {{ path: /b, targets: [http://127.0.0.1:1, 'http://[::1]:1', dns://gone.test:1] }}\n  \
         - {{ path: /c, target: 'dns+srv://_http._tcp.users.test' }}\n  \
         - {{ path: /d, targets: ['dns+srv://_http._tcp.none.test', http://typo.test:2] }}\n",
        dns.config()
    );
    let output = check(&config);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"aegis.yaml: good, 4 routes\n");
    let said = warnings(&output);
    let right = "; correct it, or resolve.nameservers, unless it is known where the gateway will run";
    for (line, start) in said.iter().zip([
        "aegis.yaml:6:9: warning: routes[0].targets[1]: cannot resolve \"typo.test\": ",
        "aegis.yaml:7:65: warning: routes[1].targets[2]: cannot resolve \"gone.test\": ",
        "aegis.yaml:9:27: warning: routes[3].targets[0]: cannot resolve \"_http._tcp.none.test\": ",
    ]) {
        assert!(line.starts_with(start) && line.ends_with(right), "{line}");
    }
    assert_eq!(said.len(), 3, "{said:#?}");
    // A and AAAA, once.
    assert_eq!(dns.asked("typo.test"), 2);
}

#[test]
fn nothing_is_looked_up_unless_that_is_asked_for() {
    let dns = Dns::start(60, &[], &[]);
    let config = format!("{}routes: [{{ path: /, target: 'http://gone.test:1' }}]\n", dns.config());
    let mut command = aegis(&["check", "-c", "aegis.yaml"]);
    fs::write(command.get_current_dir().unwrap().join("aegis.yaml"), config).unwrap();
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    assert_eq!(dns.asked("gone.test"), 0);
}

#[test]
fn who_waits_is_told_for_whom() {
    let dns = Dns::start(60, &[("good.test", "127.0.0.1")], &[]);
    let resolve = dns.config().replace("timeout: 500ms", "timeout: 5s");
    let config = format!(
        "{resolve}routes: [{{ path: /, targets: [http://good.test:1, http://slow.silent:1, http://slower.silent:1] }}]\n"
    );
    let mut child = command(&config).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "waiting for slow.silent, slower.silent");
    let rest: Vec<String> = lines.filter(|line| !line.starts_with("waiting for ")).collect();
    assert_eq!(rest.len(), 2, "{rest:?}");
    assert!(rest[0].contains("cannot resolve \"slow.silent\""), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Names under `invalid` are nowhere (RFC 2606).
#[test]
fn issuers_and_redis_are_looked_up_too_and_what_may_be_secret_is_not_shown() {
    let output = command(
        "redis: { url: 'redis://:hunter2@cache.invalid:6379' }\nauth: { jwt: { issuer: https://login.invalid, discovery: true, requiredClaims: exp } }\n\
         routes:\n  - { path: /, target: 'http://${HOST}:1', plugins: { auth: true, forwardAuth: { url: https://asked.invalid/check } } }\n",
    )
    .env("HOST", "from-the-environment.invalid")
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut said = warnings(&output);
    said.sort();
    let starts = [
        "aegis.yaml:1:15: warning: redis.url: its host cannot be resolved; correct it, unless it is known where",
        "aegis.yaml:2:24: warning: auth.jwt.issuer: cannot resolve \"login.invalid\": ",
        "aegis.yaml:4:24: warning: routes[0].target[0]: its host cannot be resolved; correct it, or resolve.nameservers",
        "aegis.yaml:4:87: warning: routes[0].plugins.forwardAuth.url: its host cannot be resolved; ",
    ];
    assert_eq!(said.len(), starts.len(), "{said:#?}");
    for (line, start) in said.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}\nnot\n{start}");
    }
    let all = String::from_utf8_lossy(&output.stderr);
    assert!(!["hunter2", "cache.invalid", "from-the-environment"].iter().any(|secret| all.contains(secret)), "{all}");
}

#[test]
fn redis_of_the_environment_is_looked_up() {
    let output = command("routes: [{ path: /, target: 'http://127.0.0.1:1' }]\n")
        .env("REDIS_URL", "redis://cache.invalid")
        .output();
    let said = warnings(&output.unwrap());
    let start = "aegis.yaml:1:1: warning: the environment variable REDIS_URL: its host cannot be resolved; ";
    assert!(said.len() == 1 && said[0].starts_with(start), "{said:?}");
}
