//! What clients notice while the config is read again and again, and while the process itself is replaced: nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::alone;
use crate::mixed::Mixed;
use crate::support::{Gateway, Reply, SECRET, Upstream, aegis, eventually, nobody};

const RELOADS: usize = 100;
const UPGRADES: usize = 5;
const PER_SECOND: u32 = 1_000;

/// A server that says back what it hears where it is asked to switch, and answers 200 else.
fn upstream() -> Upstream {
    Upstream::with(|request| match request.path() {
        "/echo" => Reply::Talk(Box::new(|stream| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
            std::io::Write::write_all(stream, head.as_bytes()).unwrap();
            let mut chunk = [0; 1_024];
            while let Ok(n @ 1..) = std::io::Read::read(stream, &mut chunk) {
                std::io::Write::write_all(stream, &chunk[..n]).unwrap();
            }
        })),
        _ => Reply::ok(),
    })
}

/// Ports that an upgrade finds again.
struct Place {
    listen: SocketAddr,
    admin: SocketAddr,
    targets: [String; 3],
}

impl Place {
    /// The `nth` config, which differs from the one before in all that a reload can change without changing what is answered.
    fn configure(&self, directory: &Path, nth: usize) {
        let targets: Vec<&str> =
            self.targets.iter().cycle().skip(nth % 3).take(2 + nth % 2).map(String::as_str).collect();
        let config = format!(
            "listen: {}\nh2c: true\nadmin: {{ listen: '{}', explain: 100 }}\ntrustedProxies: [127.0.0.1, 10.0.{}.0/24]\n\
             auth: {{ jwt: {{ secret: {SECRET} }} }}\nshutdown: {{ drain: 1s, timeout: 10s }}\nroutes:\n  \
             - {{ path: /, targets: [{}], plugins: {{ rateLimit: {{ max: {}, window: 60 }} }} }}\n  \
             - {{ path: /other-{nth}, targets: [{}], plugins: {{ auth: true }} }}\n",
            self.listen,
            self.admin,
            nth % 200,
            targets.join(", "),
            1_000_000 + nth,
            self.targets[nth % 3],
        );
        std::fs::write(directory.join("new.yaml"), config).unwrap();
        std::fs::rename(directory.join("new.yaml"), directory.join("aegis.yaml")).unwrap();
    }
}

fn start(place: &Place) -> Gateway {
    let command = aegis(&["run", "-c", "aegis.yaml"]);
    place.configure(command.get_current_dir().unwrap(), 0);
    Gateway::spawn(command)
}

fn place(upstreams: &[Upstream; 3]) -> Place {
    Place { listen: nobody(), admin: nobody(), targets: upstreams.each_ref().map(Upstream::url) }
}

#[test]
fn a_hundred_reloads_fail_no_request_and_take_no_memory() {
    let _turn = alone();
    let upstreams = [upstream(), upstream(), upstream()];
    let place = place(&upstreams);
    let gateway = start(&place);
    let load = Mixed::start(gateway.address, PER_SECOND);
    let mut early = 0;
    for nth in 1..=RELOADS {
        place.configure(&gateway.directory, nth);
        gateway.operate("POST", "/reload", &[]);
        thread::sleep(Duration::from_millis(50));
        if nth == RELOADS / 5 {
            early = gateway.memory_kib("RssAnon:");
        }
    }
    let late = gateway.memory_kib("RssAnon:");
    eventually("the last config to run", || {
        (gateway.stats()[0]["configGeneration"] == RELOADS as u64 + 1).then_some(())
    });
    let report = load.end();
    println!("{RELOADS} reloads: {report:?}, {early} KiB after a fifth of them, {late} KiB after all");
    report.is_without_failure();
    assert!(late < early + 2_048, "{early} KiB, then {late} KiB");
}

#[test]
fn five_upgrades_fail_no_request() {
    let _turn = alone();
    let upstreams = [upstream(), upstream(), upstream()];
    let place = place(&upstreams);
    let mut gateway = start(&place);
    let load = Mixed::start(gateway.address, PER_SECOND);
    thread::sleep(Duration::from_millis(500));
    for _ in 0..UPGRADES {
        let mut command: Command = aegis(&["run", "--upgrade", "-c", "aegis.yaml"]);
        command.current_dir(&gateway.directory);
        let new = Gateway::spawn(command);
        assert_eq!(gateway.wait().code(), Some(0));
        let said = gateway.stderr();
        assert!(said.contains("INFO  ended\n"), "{said}");
        gateway = new;
        thread::sleep(Duration::from_millis(300));
    }
    let report = load.end();
    println!("{UPGRADES} upgrades: {report:?}");
    report.is_without_failure();
}
