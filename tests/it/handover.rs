//! A new process takes the place of the one that runs, and nobody is turned away.

use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::gateway::send_signal;
use crate::support::{Gateway, Reply, SECRET, Upstream, aegis, eventually, nobody};

/// One test at a time: who takes over asks all gateways of the machine who they are, and waits for those that another test has
/// stopped longer than these tests may take.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

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

/// The same with another config, which the old one does not see.
fn upgrade_to(old: &Gateway, address: SocketAddr, rest: &str) -> Command {
    std::fs::write(old.directory.join("new.yaml"), format!("listen: {address}\n{rest}")).unwrap();
    let mut command = aegis(&["run", "--upgrade", "-c", "new.yaml"]);
    command.current_dir(&old.directory).env("JWT_SECRET", SECRET);
    command
}

const NOWHERE: &str = "shutdown: { drain: 100ms }\nroutes: [{ path: /, target: 'http://127.0.0.1:1' }]\n";

/// A config that takes its time to settle in: whoever knows the keys takes connections and says nothing.
fn settling(silent: &TcpListener) -> String {
    let keys = format!("auth: {{ jwt: {{ jwksUrl: 'http://{}/keys' }} }}\n", silent.local_addr().unwrap());
    format!("{keys}routes: [{{ path: /, target: 'http://127.0.0.1:1', plugins: {{ auth: true }} }}]\n")
}

/// Waits until somebody asks for keys.
fn asked(silent: &TcpListener) -> std::net::TcpStream {
    silent.set_nonblocking(true).unwrap();
    eventually("the new process to ask for keys", || silent.accept().ok()).0
}

/// What it said and how it ended.
fn ended(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_upgrade_serves_the_same_port_and_the_old_process_ends_what_is_under_way() {
    let _alone = alone();
    // One thread and several have different runtimes.
    [1, 2].into_iter().for_each(an_upgrade_serves_the_same_port);
}

fn an_upgrade_serves_the_same_port(threads: u32) {
    let upstream = Upstream::with(|request| {
        if request.path() == "/slow" {
            std::thread::sleep(Duration::from_millis(1_500));
        }
        Reply::ok()
    });
    let config = format!(
        "threads: {threads}\nshutdown: {{ drain: 500ms }}\nroutes: [{{ path: /, target: {} }}]\n",
        upstream.url()
    );
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
    let _alone = alone();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = Upstream::start();
    let routes = format!("shutdown: {{ drain: 100ms }}\nroutes:\n  - {{ path: /, target: {} }}\n", upstream.url());
    let mut old = gateway_at(nobody(), &routes);
    let mut new = upgrade_to(&old, old.address, &settling(&silent)).stderr(Stdio::null()).spawn().unwrap();
    let _asking = asked(&silent);
    new.kill().unwrap();
    new.wait().unwrap();
    old.said("this process goes on: the new one has ended before it was ready");
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
    let _alone = alone();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut old = gateway_at(nobody(), "routes: [{ path: /, target: 'http://127.0.0.1:1' }]\n");
    let bad = "routes: [{ path: users, target: 'http://127.0.0.1:1' }]\n";
    let (code, said) = ended(&upgrade_to(&old, old.address, bad).output().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("routes[0].path"), "{said}");

    let admin = format!("admin: {{ listen: '{}' }}\n", taken.local_addr().unwrap());
    let bad = format!("{admin}routes: [{{ path: /, target: 'http://127.0.0.1:1' }}]\n");
    let (code, said) = ended(&upgrade_to(&old, old.address, &bad).output().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("set admin.listen to another port"), "{said}");
    old.said("this process goes on: the new one has ended before it was ready");
    assert!(old.is_running());
    assert_eq!(old.get("/gateway/readyz").status, 200);
}

#[test]
fn an_upgrade_may_listen_elsewhere_as_well() {
    let _alone = alone();
    let routes = "shutdown: { drain: 100ms }\nroutes: [{ path: /, target: 'http://127.0.0.1:1' }]\n";
    let admin = nobody();
    let mut old = gateway_at(nobody(), routes);
    let new = Gateway::spawn(upgrade_to(&old, old.address, &format!("admin: {{ listen: '{admin}' }}\n{routes}")));
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(new.operate("GET", "/config", &[]).status, 200);
    assert_eq!(new.get("/gateway/livez").status, 200);
}

#[test]
fn an_upgrade_of_nobody_is_a_start() {
    let _alone = alone();
    let command = aegis(&["run", "--upgrade", "-c", "aegis.yaml"]);
    configure(command.get_current_dir().unwrap(), nobody(), "routes: [{ path: /, target: 'http://127.0.0.1:1' }]\n");
    let gateway = Gateway::spawn(command);
    gateway.said("no gateway of this user listens where this one is to, so there is none to take over from");
}

#[test]
fn a_program_that_is_no_gateway_keeps_its_port() {
    let _alone = alone();
    let ours = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = aegis(&["run", "--upgrade", "-c", "aegis.yaml"]);
    let directory = command.get_current_dir().unwrap().to_owned();
    configure(&directory, ours.local_addr().unwrap(), NOWHERE);
    let (code, said) = ended(&command.output().unwrap());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is taken by"), "{said}");
    assert!(said.contains(&format!("(process {});", std::process::id())), "{said}");
}

#[test]
fn sigquit_without_a_new_process_is_only_told() {
    let _alone = alone();
    let mut old = gateway_at(nobody(), NOWHERE);
    old.signal(libc::SIGQUIT);
    old.said("this process goes on: no process asks for its sockets; start one with `aegis run --upgrade`");
    assert!(old.is_running());
    assert_eq!(old.get("/gateway/readyz").status, 200);
}

/// An upgrade took the sockets of whoever listened on the same port, used none, and had that one end.
#[test]
fn a_gateway_at_another_address_is_left_alone() {
    let _alone = alone();
    let address = nobody();
    let mut other = gateway_at(address, NOWHERE);
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
    let new = Gateway::spawn(upgrade_to(&other, elsewhere, NOWHERE));
    new.said(&format!("is another gateway, at {address}"));
    new.said("there is none to take over from");
    assert!(other.is_running());
    assert_eq!(other.get("/gateway/readyz").status, 200);
}

/// It was relieved by a process that was about to end itself, and nobody was left.
#[test]
fn a_new_process_that_is_told_to_end_before_it_is_ready_takes_nobodys_place() {
    let _alone = alone();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut old = gateway_at(nobody(), NOWHERE);
    let mut new = upgrade_to(&old, old.address, &settling(&silent)).stderr(Stdio::null()).spawn().unwrap();
    let _asking = asked(&silent);
    send_signal(&new.id().to_string(), libc::SIGTERM);
    assert_eq!(new.wait().unwrap().code(), Some(0));
    old.said("this process goes on: the new one has ended before it was ready");
    assert!(old.is_running());
}

#[test]
fn there_is_one_upgrade_at_a_time() {
    let _alone = alone();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let old = gateway_at(nobody(), NOWHERE);
    let mut first = upgrade_to(&old, old.address, &settling(&silent)).stderr(Stdio::null()).spawn().unwrap();
    let _asking = asked(&silent);
    // It is not ready as long as this takes.
    send_signal(&first.id().to_string(), libc::SIGSTOP);
    // Asked before the old one, it gave what was not its own yet: it ended, and the old process and the second served side by side.
    let askable = std::fs::read_to_string("/proc/net/unix").unwrap();
    let can_ask = |process: u32| askable.contains(&format!("@aegis-gateway/{process}/"));
    assert_eq!((can_ask(old.id()), can_ask(first.id())), (true, false), "{askable}");
    let mut second = upgrade(&old).stderr(Stdio::piped()).spawn().unwrap();
    // Were it to take over after all, it would not end by itself.
    eventually("the second one to give up", || second.try_wait().unwrap().map(drop));
    let (code, said) = ended(&second.wait_with_output().unwrap());
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another process takes over from process"), "{said}");
}

/// After a minute the old process went on, and the new one served, too.
#[test]
fn a_new_process_that_does_not_hear_that_the_place_is_its_own_does_not_serve() {
    let _alone = alone();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut old = gateway_at(nobody(), NOWHERE);
    let new = upgrade_to(&old, old.address, &settling(&silent)).stderr(Stdio::piped()).spawn().unwrap();
    let asking = asked(&silent);
    old.stop();
    drop(asking);
    let (code, said) = ended(&new.wait_with_output().unwrap());
    old.signal(libc::SIGCONT);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("goes on: it did not give its place away"), "{said}");
    assert!(old.is_running());
}

/// As a supervisor does it that stops one instance and starts the other.
#[test]
fn a_gateway_that_drains_already_still_hands_its_sockets_on() {
    let _alone = alone();
    let routes = "shutdown: { drain: 3s }\nroutes: [{ path: /, target: 'http://127.0.0.1:1' }]\n";
    let mut old = gateway_at(nobody(), routes);
    old.signal(libc::SIGTERM);
    old.said("draining");
    let new = Gateway::spawn(upgrade(&old));
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(new.get("/gateway/readyz").status, 200);
}

/// As one in another container, which shares the network alone. It was passed over: nobody was said to be there, and the port was taken.
#[test]
fn a_process_of_another_pid_namespace_takes_the_place_as_well() {
    let _alone = alone();
    let apart = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
    if !Command::new("unshare").args(apart).arg("true").status().is_ok_and(|status| status.success()) {
        return println!("this system lets nobody have a PID namespace");
    }
    let mut old = gateway_at(nobody(), NOWHERE);
    let mut command = Command::new("unshare");
    command.args(apart).arg(env!("CARGO_BIN_EXE_aegis")).args(["run", "--upgrade", "-c", "aegis.yaml"]);
    command.current_dir(&old.directory);
    let new = Gateway::spawn_group(command);
    new.said("the process of another PID namespace hands over its sockets");
    assert_eq!(old.wait().code(), Some(0));
    assert_eq!(new.get("/gateway/readyz").status, 200);
}

/// A balancer that keeps its connection would have taken the gateway out of use, though another process serves.
#[test]
fn a_relieved_process_is_ready_and_ends_requests_when_it_is_told_to_end() {
    let _alone = alone();
    let upstream = Upstream::with(|_| {
        std::thread::sleep(Duration::from_millis(2_500));
        Reply::ok()
    });
    let config = format!("shutdown: {{ drain: 2s }}\nroutes: [{{ path: /, target: {} }}]\n", upstream.url());
    let mut old = gateway_at(nobody(), &config);
    let (mut kept, mut under_way) = (old.connect(), old.connect());
    assert_eq!(kept.request("GET", "/gateway/readyz", &[]).status, 200);
    under_way.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the request to arrive", || upstream.received().first().map(drop));
    let _new = Gateway::spawn(upgrade(&old));
    old.said("another process is ready");
    let ready = kept.request("GET", "/gateway/readyz", &[]);
    assert_eq!((ready.status, ready.header("connection")), (200, Some("close")));
    old.signal(libc::SIGTERM);
    assert_eq!(under_way.answer(false).status, 200, "the request under way was cut");
    assert_eq!(old.wait().code(), Some(0));
}

/// It asked without a pause.
#[test]
fn who_cannot_be_heard_for_want_of_descriptors_costs_nothing() {
    let _alone = alone();
    let gateway = gateway_at(nobody(), NOWHERE);
    let tasks = format!("/proc/{}/task", gateway.id());
    let stats = || std::fs::read_dir(&tasks).unwrap().map(|task| task.unwrap().path().join("stat"));
    let stat = || stats().find_map(|stat| std::fs::read_to_string(stat).ok().filter(|it| it.contains("(handover)")));
    // User and system time, in hundredths of a second (proc(5)).
    let ticks = || -> u64 {
        let stat = stat().unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        rest.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    };
    let none = Rlimit { current: Some(0), maximum: Some(1_024) };
    prlimit(Pid::from_raw(gateway.id() as i32), Resource::Nofile, none).unwrap();
    let table = std::fs::read_to_string("/proc/net/unix").unwrap();
    let (_, name) = table.split_once(&format!("@aegis-gateway/{}/", gateway.id())).unwrap();
    let name = format!("aegis-gateway/{}/{}", gateway.id(), name.lines().next().unwrap());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
    // What waits in the call has its descriptor already.
    let _asking: Vec<_> = (0..2).map(|_| std::os::unix::net::UnixStream::connect_addr(&address).unwrap()).collect();
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(ticks() - before < 20, "{} hundredths of a second", ticks() - before);
}
