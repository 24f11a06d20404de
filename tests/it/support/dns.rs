//! A real server of DNS, dnsmasq, that knows what a test tells it.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::eventually;
use super::gateway::directory;

/// A server on a free port of the loopback. Dropped, it ends.
pub struct Dns {
    port: u16,
    /// How long its answers are good, in seconds.
    ttl: u32,
    hosts: PathBuf,
    services: Vec<String>,
    log: PathBuf,
    /// Asked about names below `silent`, and says nothing.
    silent: UdpSocket,
    child: Option<Child>,
}

/// A port that is free for both protocols, and that the system gives to nobody meanwhile who asks for any.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    let is_free = |port: &u16| {
        UdpSocket::bind(("127.0.0.1", *port)).is_ok() && std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()
    };
    (0..1_000).map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed)).find(is_free).unwrap()
}

impl Dns {
    /// Knows these addresses of names below `test`, and these services: `_http._tcp.a.test,host.test,PORT,PRIORITY,WEIGHT`. Names below `silent` are
    /// not answered for as long as it does not know them.
    pub fn start(ttl: u32, hosts: &[(&str, &str)], services: &[String]) -> Self {
        let port = free_port();
        let folder = directory();
        let (file, log) = (folder.join("hosts"), folder.join("log"));
        let mut dns = Dns {
            port,
            ttl,
            hosts: file,
            services: services.to_vec(),
            log,
            silent: UdpSocket::bind("127.0.0.1:0").unwrap(),
            child: None,
        };
        dns.write(hosts);
        dns.run();
        dns
    }

    fn write(&self, hosts: &[(&str, &str)]) {
        let lines: String = hosts.iter().map(|(name, ip)| format!("{ip} {name}\n")).collect();
        fs::write(&self.hosts, lines).unwrap();
    }

    fn run(&mut self) {
        let program = if Path::new("/usr/sbin/dnsmasq").exists() { "/usr/sbin/dnsmasq" } else { "dnsmasq" };
        let mut command = Command::new(program);
        command.args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--pid-file=",
            "--local=/test/",
        ]);
        command.args(["--bind-interfaces", "--listen-address=127.0.0.1", "--log-queries", "--user="]);
        command.arg(format!("--port={}", self.port)).arg(format!("--local-ttl={}", self.ttl));
        command.arg(format!("--server=/silent/127.0.0.1#{}", self.silent.local_addr().unwrap().port()));
        command
            .arg(format!("--addn-hosts={}", self.hosts.display()))
            .arg(format!("--log-facility={}", self.log.display()));
        command.args(self.services.iter().map(|service| format!("--srv-host={service}")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap_or_else(|e| panic!("{program}: {e}; install it: .ci/need dnsmasq")));
        let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
        probe.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        eventually("the name server to answer", || {
            // Header with one question, and that: version.bind, TXT, CHAOS.
            let question = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03";
            probe.send_to(question, ("127.0.0.1", self.port)).ok()?;
            probe.recv(&mut [0; 512]).ok()
        });
    }

    /// It knows these addresses from now on.
    pub fn set_hosts(&mut self, hosts: &[(&str, &str)]) {
        self.write(hosts);
        self.restart();
    }

    /// And these services.
    pub fn set_services(&mut self, services: &[String]) {
        self.services = services.to_vec();
        self.restart();
    }

    fn restart(&mut self) {
        self.stop();
        self.run();
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// How often it has been asked about a name.
    pub fn asked(&self, name: &str) -> usize {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains("query[") && line.contains(&format!(" {name} from"))).count()
    }

    /// As `resolve:` names it, with the least pause between two questions.
    pub fn config(&self) -> String {
        format!("resolve: {{ nameservers: '127.0.0.1:{}', min: 100ms, timeout: 500ms }}\n", self.port)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop();
    }
}
