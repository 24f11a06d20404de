//! A primary, its replica, and three sentinels that watch them and promote the replica.

use std::fs;
use std::net::SocketAddr;

use super::redis::{Redis, USER, data_node};
use super::tls::Tls;
use super::{Certificates, eventually, nobody};

/// What the sentinels call the set.
const SERVICE: &str = "limits";

/// The set. A primary that is silent for half a second is taken for dead.
pub struct Sentinels {
    /// The data nodes; which of them is the primary changes.
    pub nodes: Vec<Redis>,
    pub sentinels: Vec<Redis>,
}

impl Sentinels {
    pub fn start() -> Self {
        Sentinels::start_with(None, None)
    }

    /// With a password for the data nodes and one for the sentinels.
    pub fn start_with(password: Option<&str>, sentinel_password: Option<&str>) -> Self {
        let primary = data(password, &[]);
        let port = primary.address.port().to_string();
        let replica = data(password, &["--replicaof", "127.0.0.1", &port]);
        // A sentinel asks for the replicas at once, and then not again for a while.
        eventually("the replica to be connected", || replica.follows(&primary).then_some(()));
        let sentinels = (0..3).map(|_| sentinel(primary.address, password, sentinel_password)).collect();
        let set = Sentinels { nodes: vec![primary, replica], sentinels };
        set.await_health();
        set
    }

    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.sentinels.iter().map(|sentinel| sentinel.address.to_string()).collect();
        format!("redis+sentinel://{}/{SERVICE}", addresses.join(","))
    }

    /// The node that all sentinels who answer name as the primary. After a crash that is for a while the one
    /// that is dead.
    pub fn primary(&self) -> &Redis {
        eventually("the sentinels to agree", || {
            let said =
                self.sentinels.iter().filter_map(|s| s.try_run(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]));
            let mut said: Vec<String> = said.collect();
            said.dedup();
            let [address] = &said[..] else { return None };
            self.nodes.iter().find(|node| *address == format!("127.0.0.1\n{}", node.address.port()))
        })
    }

    /// Ends the primary as a crash would, and gives its place among the nodes.
    pub fn kill_primary(&mut self) -> usize {
        let primary = self.primary().address;
        let place = self.nodes.iter().position(|node| node.address == primary).unwrap();
        self.nodes[place].kill();
        place
    }

    /// Has the replica promoted, and waits until all sentinels say so. For two seconds more the old primary takes
    /// itself for one, then it is made a replica and its connections are closed: `await_health` waits for that.
    pub fn fail_over(&self) {
        let before = self.primary().address;
        eventually("another primary", || {
            if self.primary().address != before {
                return Some(());
            }
            // Refused while the replica is not fit for it, and given up where something takes too long.
            self.sentinels[0].run(&["SENTINEL", "FAILOVER", SERVICE]);
            None
        });
    }

    /// Waits until the replica is connected, the sentinels know each other, and all see the same.
    pub fn await_health(&self) {
        eventually("the set to be whole", || {
            let primary = self.primary();
            let seen = format!("master0:name={SERVICE},status=ok,address={},slaves=1,sentinels=3", primary.address);
            let seen = self.sentinels.iter().all(|sentinel| sentinel.says(&["INFO", "sentinel"], &seen));
            let mut others = self.nodes.iter().filter(|node| node.address != primary.address);
            (seen && others.all(|node| node.follows(primary))).then_some(())
        });
    }
}

/// A sentinel that watches a primary by TLS and is reached by TLS, and its URL.
pub fn tls_sentinel(primary: &Tls) -> (Redis, String) {
    let address = std::cell::Cell::new(nobody());
    let sentinel = Redis::launch("redis-server", |command, plain| {
        address.set(nobody());
        let Certificates { ca, server_cert, server_key, .. } = &primary.certificates;
        let mut config = format!("bind 127.0.0.1\nport {}\ntls-port {}\n{USER}\n", plain.port(), address.get().port());
        config += &format!("tls-ca-cert-file {}\ntls-cert-file {}\n", ca.display(), server_cert.display());
        config += &format!("tls-key-file {}\ntls-auth-clients no\ntls-replication yes\n", server_key.display());
        config += &format!("sentinel monitor {SERVICE} 127.0.0.1 {} 1\n", primary.address.port());
        fs::write(command.get_current_dir().unwrap().join("sentinel.conf"), config).unwrap();
        command.args(["sentinel.conf", "--sentinel"]);
    });
    (sentinel, format!("rediss+sentinel://{}/{SERVICE}", address.get()))
}

/// A data node, with the password that it asks for and that it gives.
fn data(password: Option<&str>, args: &[&str]) -> Redis {
    Redis::launch("redis-server", |command, address| {
        data_node(command, address).args(args);
        if let Some(password) = password {
            command.args(["--requirepass", password, "--masterauth", password]);
        }
    })
}

/// A sentinel. Its file is its memory as well: it writes there whom it knows.
fn sentinel(primary: SocketAddr, password: Option<&str>, own_password: Option<&str>) -> Redis {
    let sentinel = Redis::launch("redis-server", |command, address| {
        let mut config = format!("bind 127.0.0.1\nport {}\n{USER}\n", address.port());
        config += &format!("sentinel monitor {SERVICE} 127.0.0.1 {} 2\n", primary.port());
        config += &format!("sentinel down-after-milliseconds {SERVICE} 500\n");
        config += &format!("sentinel failover-timeout {SERVICE} 2000\n");
        if let Some(password) = password {
            config += &format!("sentinel auth-pass {SERVICE} {password}\n");
        }
        if let Some(password) = own_password {
            config += &format!("requirepass {password}\nsentinel sentinel-pass {password}\n");
        }
        fs::write(command.get_current_dir().unwrap().join("sentinel.conf"), config).unwrap();
        command.args(["sentinel.conf", "--sentinel"]);
    });
    // As it comes, a sentinel looks at a replica every ten seconds, connects again after one, and tells the others
    // about itself every two. It also reckons by these how fresh news have to be, and how long it leaves alone one
    // that is wrong about its role: with much less, failovers are given up or undone.
    for period in ["INFO-PERIOD", "PING-PERIOD", "PUBLISH-PERIOD"] {
        sentinel.order(&["SENTINEL", "DEBUG", period, "500"]);
    }
    sentinel
}
