//! A new process takes the place of the one that runs, and nobody is turned away.

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::{Gateway, Reply, SECRET, Upstream, aegis, eventually, nobody};

/// A port of its own: one that the system would choose is not found again.
fn gateway_at(address: SocketAddr, rest: &str) -> Gateway {
    let command = aegis(&["run", "-c", "aegis.yaml"]);
    configure(command.get_current_dir().unwrap(), address, rest);
    Gateway::spawn(command)
}

fn configure(directory: &std::path::Path, address: SocketAddr, rest: &str) {
    std::fs::write(directory.join("aegis.yaml"), format!("listen: {address}\n{rest}")).unwrap();
}

/// The command that has another process take the place of `old`.
fn upgrade(old: &Gateway) -> Command {
    let mut command = aegis(&["run", "--upgrade", "-c", "aegis.yaml"]);
    command.current_dir(&old.directory).env("JWT_SECRET", SECRET);
    command
}

/// What it said and how it ended.
fn ended(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_upgrade_serves_the_same_port_and_the_old_process_ends_what_is_under_way() {
    let upstream = Upstream::with(|request| {
        if request.path() == "/slow" {
            std::thread::sleep(Duration::from_millis(1_500));
        }
        Reply::ok()
    });
    let config = format!("shutdown: {{ drain: 500ms }}\nroutes: [{{ path: /, target: {} }}]\n", upstream.url());
    let mut old = gateway_at(nobody(), &config);
    let (mut kept, mut under_way, mut idle) = (old.connect(), old.connect(), old.connect());
    assert_eq!(kept.request("GET", "/before", &[]).header("connection"), Some("keep-alive"));
    assert_eq!(idle.request("GET", "/idle", &[]).status, 200);
    under_way.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the request to arrive", || upstream.received().iter().find(|seen| seen.path() == "/slow").map(drop));

    let new = Gateway::spawn(upgrade(&old));
    assert_eq!(new.address, old.address);
    old.said("another process is ready, draining: 1 requests are under way");
    let last = kept.request("GET", "/last", &[]);
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert!(kept.is_closed());
    old.log_line("/last");
    eventually("the new process to be the only one", || {
        assert_eq!(old.get("/first").status, 200);
        new.stdout().contains("/first").then_some(())
    });
    assert!(idle.is_closed(), "a connection without requests stays for ever");
    assert_eq!(under_way.answer(false).status, 200, "the request under way was cut");
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(new.get("/second").status, 200);
    new.log_line("/second");
}

#[test]
fn a_new_process_that_is_never_ready_changes_nothing() {
    // Takes connections and says nothing, so that settling in takes its time.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = Upstream::start();
    let routes = format!("shutdown: {{ drain: 100ms }}\nroutes:\n  - {{ path: /, target: {} }}\n", upstream.url());
    let mut old = gateway_at(nobody(), &routes);
    let jwks = format!("auth: {{ jwt: {{ jwksUrl: 'http://{}/keys' }} }}\n", silent.local_addr().unwrap());
    let asking = "  - { path: /users, target: 'http://127.0.0.1:1', plugins: { auth: true } }\n";
    configure(&old.directory, old.address, &format!("{jwks}{routes}{asking}"));
    let mut new = upgrade(&old).stderr(Stdio::null()).spawn().unwrap();
    silent.set_nonblocking(true).unwrap();
    let _asking = eventually("the new process to ask for keys", || silent.accept().ok());
    new.kill().unwrap();
    new.wait().unwrap();
    old.said("this process goes on: the new process has ended before it was ready");
    assert_eq!(old.get("/still").status, 200);
    old.log_line("/still");
    assert_eq!(old.get("/gateway/readyz").status, 200);

    // And it can be upgraded yet.
    configure(&old.directory, old.address, &routes);
    let new = Gateway::spawn(upgrade(&old));
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(new.get("/new").status, 200);
}

#[test]
fn a_new_process_with_a_bad_config_or_a_taken_port_leaves_the_old_one_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut old = gateway_at(nobody(), "routes: [{ path: /, target: 'http://127.0.0.1:1' }]\n");
    configure(&old.directory, old.address, "routes: [{ path: users, target: 'http://127.0.0.1:1' }]\n");
    let (code, said) = ended(&upgrade(&old).output().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("routes[0].path"), "{said}");

    let admin = format!("admin: {{ listen: '{}' }}\n", taken.local_addr().unwrap());
    configure(&old.directory, old.address, &format!("{admin}routes: [{{ path: /, target: 'http://127.0.0.1:1' }}]\n"));
    let (code, said) = ended(&upgrade(&old).output().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("set admin.listen to another port"), "{said}");
    old.said("this process goes on: the new process has ended before it was ready");
    assert!(old.is_running());
    assert_eq!(old.get("/gateway/readyz").status, 200);
}

#[test]
fn an_upgrade_may_listen_elsewhere_as_well() {
    let routes = "shutdown: { drain: 100ms }\nroutes: [{ path: /, target: 'http://127.0.0.1:1' }]\n";
    let admin = nobody();
    let mut old = gateway_at(nobody(), routes);
    configure(&old.directory, old.address, &format!("admin: {{ listen: '{admin}' }}\n{routes}"));
    let new = Gateway::spawn(upgrade(&old));
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(new.operate("GET", "/config", &[]).status, 200);
    assert_eq!(new.get("/gateway/livez").status, 200);
}

#[test]
fn an_upgrade_of_nobody_is_a_start() {
    let command = aegis(&["run", "--upgrade", "-c", "aegis.yaml"]);
    configure(command.get_current_dir().unwrap(), nobody(), "routes: [{ path: /, target: 'http://127.0.0.1:1' }]\n");
    let gateway = Gateway::spawn(command);
    gateway.said("no process listens where this one is to, so there is none to take over from");
}

/// SIGQUIT ends a program that does not expect it.
#[test]
fn a_program_that_is_no_gateway_is_sent_no_signal() {
    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = aegis(&["run", "--upgrade", "-c", "aegis.yaml"]);
    let directory = command.get_current_dir().unwrap().to_owned();
    configure(&directory, ours.local_addr().unwrap(), "routes: [{ path: /, target: 'http://127.0.0.1:1' }]\n");
    let (code, said) = ended(&command.output().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot take over from"), "{said}");
    assert!(said.contains(&format!("(process {}), which listens on", std::process::id())), "{said}");
    assert!(said.contains("and is no gateway"), "{said}");
}

#[test]
fn sigquit_without_a_new_process_is_only_told() {
    let mut old = gateway_at(nobody(), "routes: [{ path: /, target: 'http://127.0.0.1:1' }]\n");
    old.signal(libc::SIGQUIT);
    old.said("this process goes on: no process waits for the sockets; start one with `aegis run --upgrade`");
    assert!(old.is_running());
    assert_eq!(old.get("/gateway/readyz").status, 200);
}
