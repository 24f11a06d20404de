//! More than one machine's worth: three gateways behind an L4 balancer, over one Redis Cluster, while one of each kind is
//! killed.

use std::fmt::Write;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::alone;
use crate::fleet::Instance;
use crate::pace::{CONNECTIONS, Load, Sample};
use crate::support::gateway::directory;
use crate::support::{Cluster, Gateway, eventually, gateway, nobody};

const PER_SECOND: u32 = 500;
const CLIENTS: usize = 5;
/// For each client, in an hour; all of it is used up while all is well.
const MAX: usize = 200;

/// HAProxy, which knows connections and not requests. Dropped, it is killed.
struct Balancer {
    address: SocketAddr,
    child: Child,
}

impl Balancer {
    fn start(gateways: &[Gateway]) -> Self {
        let (address, directory) = (nobody(), directory());
        let mut config = format!(
            "defaults\n  mode tcp\n  timeout connect 1s\n  timeout client 60s\n  timeout server 60s\n  retries 3\n  option redispatch 1\n\
             listen gateways\n  bind {address}\n  balance roundrobin\n  option httpchk GET /gateway/readyz\n  \
             default-server check inter 200ms fall 1 rise 1\n",
        );
        for (number, gateway) in gateways.iter().enumerate() {
            writeln!(config, "  server gateway-{number} {}", gateway.address).unwrap();
        }
        fs::write(directory.join("haproxy.cfg"), config).unwrap();
        let program = if std::path::Path::new("/usr/sbin/haproxy").exists() { "/usr/sbin/haproxy" } else { "haproxy" };
        let mut command = Command::new(program);
        command.args(["-db", "-f", "haproxy.cfg"]).current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("haproxy, which `.ci/need haproxy` installs");
        let balancer = Balancer { address, child };
        eventually("the balancer", || TcpStream::connect(address).ok());
        balancer
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn replica(cluster: &Cluster, targets: &[Instance]) -> Gateway {
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| format!("'{}'", node.url())).collect();
    let targets: Vec<String> = targets.iter().map(Instance::url).collect();
    let gateway = gateway(format!(
        "redis: {{ cluster: [{}], timeout: 50ms }}\ntrustedProxies: [127.0.0.1]\nroutes:\n  \
         - {{ path: /users, targets: [{}], plugins: {{ rateLimit: {{ max: {MAX}, window: 1h }} }} }}\n",
        nodes.join(", "),
        targets.join(", "),
    ));
    eventually("limits to be shared", || (gateway.stats()[0]["rateLimit"]["store"] == "redis").then_some(()));
    gateway
}

fn count(samples: &[Sample], status: u16) -> usize {
    samples.iter().filter(|sample| sample.status == status).count()
}

#[test]
fn one_of_each_is_killed_and_no_client_but_those_of_the_gateway_notices() {
    let _turn = alone();
    let (mut cluster, mut targets) = (Cluster::start(), (0..3).map(|_| Instance::start()).collect::<Vec<_>>());
    let mut gateways: Vec<Gateway> = (0..3).map(|_| replica(&cluster, &targets)).collect();
    let balancer = Balancer::start(&gateways);
    let load = Load::start_at(balancer.address, "/users", PER_SECOND, CLIENTS);
    load.go_on_for(PER_SECOND as usize / 2);
    targets[0].kill();
    load.go_on_for(PER_SECOND as usize);
    let killed = Instant::now();
    drop(gateways.remove(0));
    load.go_on_for(2 * PER_SECOND as usize);
    // By now every client has had its quota, and both gateways that are left know.
    let primary = cluster.primary_of("aegis:rl:{203.0.113.1}:/users");
    cluster.nodes[primary].kill();
    load.go_on_for(3 * PER_SECOND as usize);
    let samples = load.end();

    let broken: Vec<Duration> =
        samples.iter().filter(|sample| sample.status == 0).map(|sample| sample.at + sample.took - killed).collect();
    assert!(broken.len() <= CONNECTIONS as usize, "each connection breaks once at the most: {broken:?}");
    assert!(broken.iter().all(|after| *after < Duration::from_secs(3)), "by the gateway's end alone: {broken:?}");
    let (passed, refused) = (count(&samples, 200), count(&samples, 429));
    assert_eq!(passed + refused + broken.len(), samples.len(), "nothing else came: {samples:?}");
    // What was counted and never answered, since the gateway was killed, has passed, too.
    let quota = MAX * CLIENTS;
    assert!((quota - broken.len()..=quota).contains(&passed), "{passed} of {quota} passed, {} broke", broken.len());
    assert!(refused > 1_000, "{refused}");
}
