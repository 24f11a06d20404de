//! The files that a config is in and names, as they come and go and turn out to be something else, while the gateway runs.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gateway::SECRET;
use crate::support::{Certificates, Gateway, Upstream, aegis, curl, eventually, gateway};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Writes a file as a whole.
fn put(path: &Path, contents: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, contents).unwrap();
    fs::rename(new, path).unwrap();
}

fn last(gateway: &Gateway) -> Value {
    gateway.operate("GET", "/config", &[]).json()
}

#[test]
fn a_change_of_each_file_that_a_config_names_is_noticed_and_a_bad_one_is_not_taken() {
    let (upstream, certificates) = (Upstream::start(), Certificates::make());
    let command = aegis(&["run", "-c", "aegis.yaml"]);
    let home = command.get_current_dir().unwrap().to_owned();
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    for (name, from) in [
        ("public.pem", samples.join("auth-p256.pem")),
        ("set.jwks", samples.join("auth-good.jwks")),
        ("keys", samples.join("auth-keys.file")),
        ("users", samples.join("auth-users.file")),
        ("ca.pem", certificates.ca.clone()),
        ("cert.pem", certificates.server_cert.clone()),
        ("key.pem", certificates.server_key.clone()),
        ("client-ca.pem", certificates.ca.clone()),
        ("own-ca.pem", certificates.ca.clone()),
        ("own-cert.pem", certificates.client_cert.clone()),
        ("own-key.pem", certificates.client_key.clone()),
    ] {
        fs::copy(from, home.join(name)).unwrap();
    }
    fs::write(home.join("secret"), SECRET).unwrap();
    fs::write(home.join("token"), "a-token-with-enough-bytes-for-this").unwrap();
    let config = format!(
        "listen: 127.0.0.1:0
admin: {{ listen: 127.0.0.1:0, tokenFile: token }}
redis: {{ url: 'rediss://127.0.0.1:1', caFile: ca.pem }}
tls:
  listen: 127.0.0.1:0
  certificates: {{ certFile: cert.pem, keyFile: key.pem }}
  clientCaFile: client-ca.pem
auth:
  jwt:
    - {{ publicKeyFile: public.pem, issuer: a }}
    - {{ jwksFile: set.jwks, issuer: b }}
    - {{ secretFile: secret, issuer: c }}
  apiKeys: {{ file: keys }}
  basic: {{ file: users }}
routes:
  - path: /a
    target: {}
    upstreamTls: {{ caFile: own-ca.pem, certFile: own-cert.pem, keyFile: own-key.pem }}
    plugins: {{ auth: {{ by: [jwt, apiKey, basic] }} }}
",
        upstream.url()
    );
    fs::write(home.join("aegis.yaml"), config).unwrap();
    let gateway = Gateway::spawn(command);
    let rejected = || gateway.stats()[0]["configRejectedAt"].is_string();
    for (name, said) in [
        ("token", "admin.tokenFile: the token in token has 0 bytes"),
        ("ca.pem", "redis.caFile: there is no certificate in ca.pem"),
        ("public.pem", "auth.jwt[0].publicKeyFile: public.pem is "),
        ("set.jwks", "auth.jwt[1].jwksFile: set.jwks is "),
        ("secret", "auth.jwt[2].secretFile: secret is empty"),
        ("keys", "auth.apiKeys.file: keys:"),
        ("users", "auth.basic.file: there is no user in users"),
        ("own-ca.pem", "routes[0].upstreamTls.caFile: there is no certificate in own-ca.pem"),
        ("own-cert.pem", "routes[0].upstreamTls.certFile: there is no certificate in own-cert.pem"),
        ("own-key.pem", "routes[0].upstreamTls.certFile: there is no private key in own-key.pem"),
    ] {
        let good = fs::read(home.join(name)).unwrap();
        put(&home.join(name), "");
        let line = gateway.said(said);
        assert!(line.contains("aegis.yaml:"), "{line}");
        assert!(rejected(), "{name}");
        put(&home.join(name), good);
        eventually(name, || (!rejected()).then_some(()));
    }
    // Certificates of ours do not keep others, or the rest of the config, from being taken.
    for (name, said) in [
        ("cert.pem", "tls.certificates[0]: there is no certificate in cert.pem"),
        ("key.pem", "tls.certificates[0]: there is no private key in key.pem"),
        ("client-ca.pem", "tls.clientCaFile: there is no certificate in client-ca.pem"),
    ] {
        let good = fs::read(home.join(name)).unwrap();
        put(&home.join(name), "");
        let line = gateway.said(said);
        assert!(line.contains("aegis.yaml:") && line.contains("of before"), "{line}");
        assert!(!rejected(), "{name}");
        put(&home.join(name), good);
    }
}

/// They were looked at only once a config had them that could run.
#[test]
fn a_certificate_that_a_config_waits_for_is_taken_when_it_comes() {
    let (first, other, upstream) = (Certificates::make(), Certificates::make_for(&["b.test"]), Upstream::start());
    let late = other.server_key.with_extension("late");
    let config = |pairs: &[(&Path, &Path)]| {
        let pair = |(cert, key): &(&Path, &Path)| format!("{{ certFile: {}, keyFile: {} }}", text(cert), text(key));
        let pairs: Vec<String> = pairs.iter().map(pair).collect();
        let tls = format!("tls: {{ listen: 127.0.0.1:0, certificates: [{}] }}\n", pairs.join(", "));
        format!("{tls}routes: [{{ path: /, target: {} }}]\n", upstream.url())
    };
    let gateway = gateway(config(&[(&first.server_cert, &first.server_key)]));
    gateway.configure(config(&[(&first.server_cert, &first.server_key), (&other.server_cert, &late)]));
    gateway.said(&format!("tls.certificates[1]: cannot read the key of {}: No such file", text(&other.server_cert)));
    put(&late, fs::read(&other.server_key).unwrap());
    let port = gateway.https().rsplit_once(':').unwrap().1.to_owned();
    eventually("the other certificate to be shown", || {
        let (resolve, url) = (format!("b.test:{port}:127.0.0.1"), format!("https://b.test:{port}/"));
        (curl(&["--resolve", &resolve, "--cacert", text(&other.ca), &url]).status == 200).then_some(())
    });
}

#[test]
fn clients_come_with_certificates_of_another_authority_once_the_file_has_it() {
    let (first, other, upstream) = (Certificates::make(), Certificates::make(), Upstream::start());
    let file = first.ca.with_extension("clients");
    fs::copy(&first.ca, &file).unwrap();
    let gateway = gateway(format!(
        "tls: {{ listen: 127.0.0.1:0, certificates: {{ certFile: {}, keyFile: {} }}, clientCaFile: {} }}\nroutes: [{{ path: /, target: {} }}]\n",
        text(&first.server_cert),
        text(&first.server_key),
        text(&file),
        upstream.url()
    ));
    let ask = |of: &Certificates| {
        let own = ["--cert", text(&of.client_cert), "--key", text(&of.client_key)];
        curl(&[&["--cacert", text(&first.ca), &gateway.https()], &own[..]].concat()).status
    };
    assert_eq!((ask(&first), ask(&other)), (200, 0));
    put(&file, "no certificate");
    gateway.said("tls.clientCaFile: there is no certificate in ");
    assert_eq!((ask(&first), ask(&other)), (200, 0));
    put(&file, fs::read(&other.ca).unwrap());
    eventually("the other authority", || (ask(&other) == 200).then_some(()));
    assert_eq!(ask(&first), 0);
}

/// What could not be read was not looked at again until it was another.
#[test]
fn a_config_that_cannot_be_read_for_a_moment_is_read_in_the_next() {
    let upstream = Upstream::start();
    let config = |path: &str| format!("routes: [{{ path: {path}, target: {} }}]\n", upstream.url());
    let gateway = gateway(config("/a"));
    gateway.limit_files(3);
    gateway.configure(config("/b"));
    gateway.said("cannot read the config: Too many open files");
    gateway.limit_files(1_000);
    eventually("the config to be read", || (gateway.get("/b").status == 200).then_some(()));
    assert_eq!(gateway.stderr().matches("cannot read the config").count(), 1, "{}", gateway.stderr());
}

#[test]
fn a_config_out_of_a_pipe_is_read_once_and_what_it_names_as_often_as_that_changes() {
    let upstream = Upstream::start();
    let command = aegis(&["run", "-c", "pipe"]);
    let home = command.get_current_dir().unwrap().to_owned();
    fs::write(home.join("secret"), "another-secret-of-the-tests-with-bytes").unwrap();
    fifo(&home.join("pipe"));
    let config = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\nauth: {{ jwt: {{ secretFile: secret }} }}\nroutes: [{{ path: /, target: {}, plugins: {{ auth: true }} }}]\n",
        upstream.url()
    );
    let writer = thread::spawn({
        let pipe = home.join("pipe");
        move || fs::write(pipe, config).unwrap()
    });
    let gateway = Gateway::spawn(command);
    writer.join().unwrap();
    let warning = last(&gateway)["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("pipe is a pipe: what has come out of it stays"), "{warning}");
    assert_eq!(gateway.get_as("u", "/").status, 401);
    put(&home.join("secret"), SECRET);
    eventually("the secret", || (gateway.get_as("u", "/").status == 200).then_some(()));
    let report = gateway.operate("POST", "/reload", &[]).json();
    assert_eq!((&report["outcome"], &report["warnings"][0]), (&json!("unchanged"), &json!(warning)));
}

#[test]
fn a_shell_can_write_the_config() {
    let upstream = Upstream::start();
    let mut command = Command::new("bash");
    let script = "exec \"$0\" run -c <(printf 'listen: 127.0.0.1:0\\nroutes: [{ path: /, target: %s }]\\n' \"$1\")";
    command.args(["-c", script, env!("CARGO_BIN_EXE_aegis"), &upstream.url()]);
    command.current_dir(crate::support::gateway::directory()).env_remove("PORT").env_remove("RUST_LOG");
    let gateway = Gateway::spawn(command);
    assert_eq!(gateway.get("/").status, 200);
    gateway.signal(libc::SIGHUP);
    gateway.said("config 1 goes on: it was read after SIGHUP and says the same");
}

#[test]
fn what_is_no_file_is_told_for_what_it_is() {
    let command = || aegis(&["check", "-c", "aegis.yaml"]);
    let check = |config: &str, prepare: &dyn Fn(&Path)| {
        let mut command = command();
        let home = command.get_current_dir().unwrap().to_owned();
        prepare(&home);
        if !config.is_empty() {
            fs::write(home.join("aegis.yaml"), config).unwrap();
        }
        let output = command.output().unwrap();
        (String::from_utf8(output.stderr).unwrap(), output.status.code())
    };
    let secret = |file: &str| {
        format!(
            "auth: {{ jwt: {{ secretFile: {file} }} }}\nroutes: [{{ path: /, target: http://a:1, plugins: {{ auth: true }} }}]\n"
        )
    };
    let large =
        |name: &'static str, size: usize| move |home: &Path| fs::write(home.join(name), vec![b'#'; size]).unwrap();
    let (said, exit) = check("", &|home| fs::create_dir(home.join("aegis.yaml")).unwrap());
    assert_eq!(
        (said.as_str(), exit),
        ("aegis: aegis.yaml: cannot read the config: it is a directory, and no file\n", Some(2))
    );
    let (said, _) = check("", &large("aegis.yaml", (16 << 20) + 1));
    assert_eq!(said, "aegis: aegis.yaml: cannot read the config: it has more than 16 MiB\n");
    for (config, said) in [
        (secret("/dev/zero"), "aegis.yaml:1:28: auth.jwt.secretFile: cannot read it: it is a device, and no file; "),
        (secret("."), "aegis.yaml:1:28: auth.jwt.secretFile: cannot read it: it is a directory, and no file; "),
        (secret("large"), "aegis.yaml:1:28: auth.jwt.secretFile: cannot read it: it has more than 4 MiB; "),
    ] {
        let (stderr, exit) = check(&config, &large("large", (4 << 20) + 1));
        assert!(stderr.starts_with(said) && exit == Some(1), "{stderr}");
    }
}

#[test]
fn a_pipe_out_of_which_nothing_comes_keeps_nobody_waiting_but_who_asked_for_it() {
    let upstream = Upstream::start();
    let config = |more: &str| format!("{more}routes: [{{ path: /, target: {} }}]\n", upstream.url());
    let gateway = gateway(config(""));
    fifo(&gateway.directory.join("pipe"));
    gateway.configure(config("auth: { jwt: { secretFile: pipe } }\n"));
    // That long it is looked at.
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        let begun = Instant::now();
        assert_eq!(gateway.get("/").status, 200);
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        thread::sleep(Duration::from_millis(100));
    }
    gateway.said("auth.jwt.secretFile: cannot read it: it is a pipe, and not all has come out of it within 10 s");
    gateway.configure(config("trustedProxies: [10.0.0.0/8]\n"));
    gateway.said("config 2 runs, read since a file has changed: trustedProxies");
}

#[test]
fn the_report_tells_what_runs_and_what_is_asked_for_and_not_what_stood_there_in_between() {
    let upstream = Upstream::start();
    let config = |more: &str| {
        format!("admin: {{ listen: 127.0.0.1:0 }}\n{more}routes: [{{ path: /, target: {} }}]\n", upstream.url())
    };
    let gateway = gateway(config(""));
    let good = fs::read(gateway.directory.join("aegis.yaml")).unwrap();
    let restore = || put(&gateway.directory.join("aegis.yaml"), &good);
    let row = || gateway.stats()[0].clone();

    // The same as before, byte for byte: it was said for ever that the config cannot run.
    gateway.configure(config("limitz: {}\n"));
    eventually("it to be refused", || row()["configRejectedAt"].is_string().then_some(()));
    restore();
    eventually("it to be good again", || (last(&gateway)["outcome"] == "unchanged").then_some(()));
    assert!(row().get("configRejectedAt").is_none());

    // Only what waits for a restart: nothing was said.
    put(
        &gateway.directory.join("aegis.yaml"),
        String::from_utf8(good.clone()).unwrap().replace("127.0.0.1:0\nadmin", "127.0.0.2:0\nadmin"),
    );
    gateway.said("of the config, listen waits for a restart or an upgrade");
    assert_eq!(last(&gateway)["needsRestart"], json!(["listen"]));
    restore();
    eventually("nothing to wait any more", || (last(&gateway)["needsRestart"] == json!([])).then_some(()));

    // What does not run in this process is no change of it.
    let certificates = Certificates::make();
    let tls = format!(
        "tls: {{ listen: 127.0.0.1:0, certificates: {{ certFile: {}, keyFile: {} }} }}\n",
        text(&certificates.server_cert),
        text(&certificates.server_key)
    );
    gateway.configure(config(&tls));
    gateway.said("of the config, tls.listen waits for a restart or an upgrade");
    let report = last(&gateway);
    assert_eq!((&report["changes"], &report["generation"]), (&json!([]), &json!(1)), "{report}");
}

#[test]
fn a_log_that_is_a_pipe_keeps_nobody_waiting_for_its_reader() {
    let upstream = Upstream::start();
    let config = |more: &str| {
        format!("admin: {{ listen: 127.0.0.1:0 }}\n{more}routes: [{{ path: /, target: {} }}]\n", upstream.url())
    };
    let log = "accessLog: { file: log }\n";
    let mut command = aegis(&["run", "-c", "aegis.yaml"]);
    let home = command.get_current_dir().unwrap().to_owned();
    fifo(&home.join("log"));
    fs::write(home.join("aegis.yaml"), format!("listen: 127.0.0.1:0\n{}", config(log))).unwrap();
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let status = eventually("it to end", || child.try_wait().unwrap());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(
        !status.success() && said.contains("cannot open the access log log: it is a pipe that nobody reads; "),
        "{said}"
    );

    let gateway = gateway(config(""));
    let path = gateway.directory.join("log");
    fifo(&path);
    gateway.configure(config(log));
    gateway.said("cannot open the access log log: it is a pipe that nobody reads; ");
    assert_eq!((gateway.get("/1").status, &last(&gateway)["outcome"]), (200, &json!("rejected")));
    // Read and written, since nobody else may be there yet.
    let mut pipe = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    gateway.said("config 2 runs, read since a file has changed: accessLog");
    assert_eq!(gateway.get("/2").status, 200);
    let mut line = [0; 64];
    let length = pipe.read(&mut line).unwrap();
    assert!(String::from_utf8_lossy(&line[..length]).contains("/2"));
    pipe.flush().unwrap();
}
