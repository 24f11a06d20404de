//! A Redis Cluster: three primaries with a replica each, between which slots can be moved.

use std::ops::RangeInclusive;

use super::redis::{Redis, data_node};
use super::{eventually, nobody};

/// The cluster. A node that is silent for a second is taken for dead, and its replica takes its place.
pub struct Cluster {
    /// At the start 0, 1 and 2 are the primaries and 3, 4 and 5 their replicas, in this order.
    pub nodes: Vec<Redis>,
}

/// What the primaries have at the start.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

impl Cluster {
    pub fn start() -> Self {
        let cluster = Cluster { nodes: (0..6).map(|_| node()).collect() };
        let nodes = &cluster.nodes;
        for (place, (first, last)) in SLOTS.iter().enumerate() {
            nodes[place].order(&["CLUSTER", "SET-CONFIG-EPOCH", &(place + 1).to_string()]);
            nodes[place].order(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
        }
        // Each with each: hearsay would take seconds.
        for (place, node) in nodes.iter().enumerate() {
            for other in &nodes[..place] {
                let bus = other.run(&["CONFIG", "GET", "cluster-port"]);
                let bus = bus.lines().last().unwrap();
                node.order(&["CLUSTER", "MEET", "127.0.0.1", &other.address.port().to_string(), bus]);
            }
        }
        for place in 0..3 {
            let primary = cluster.id(place);
            let replicate = ["CLUSTER", "REPLICATE", &primary];
            eventually("the primary to be known", || (nodes[place + 3].run(&replicate) == "OK").then_some(()));
        }
        cluster.await_health();
        cluster
    }

    /// The node that has a key; waits while there is none.
    pub fn primary_of(&self, key: &str) -> usize {
        self.owner_of(self.slot_of(key))
    }

    pub fn slot_of(&self, key: &str) -> u16 {
        let slot = self.nodes.iter().find_map(|node| node.try_run(&["CLUSTER", "KEYSLOT", key]));
        slot.unwrap().parse().unwrap()
    }

    /// From here on, `from` sends those who ask for keys that it does not have in the slot on to `to` (ASK).
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let slot = slot.to_string();
        self.nodes[to].order(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id(from)]);
        self.nodes[from].order(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id(to)]);
    }

    /// Moves the keys that are there now.
    pub fn move_keys(&self, slot: u16, from: usize, to: usize) {
        let port = self.nodes[to].address.port().to_string();
        loop {
            let keys = self.nodes[from].run(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"]);
            if keys.is_empty() {
                return;
            }
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "AUTH2", "tests", "any", "KEYS"];
            migrate.extend(keys.lines());
            // A key that has expired meanwhile is not there to be moved.
            let done = self.nodes[from].run(&migrate);
            assert!(matches!(&done[..], "OK" | "NOKEY"), "{done}");
        }
    }

    /// Makes `to` the owner, and waits until everybody knows.
    pub fn finish_move(&self, slot: u16, from: usize, to: usize) {
        let owner = self.id(to);
        for node in [to, from] {
            self.nodes[node].order(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &owner]);
        }
        eventually("all nodes to know the owner of the slot", || {
            let knows = |node: usize| self.seen_by(node).iter().all(|seen| seen.id != owner || seen.has(slot));
            (0..6).all(knows).then_some(())
        });
    }

    /// Waits until all nodes are there, agree on that, and each replica gets what its primary does.
    pub fn await_health(&self) {
        let whole = |place: usize| {
            let (node, seen) = (&self.nodes[place], self.seen_by(place));
            let there = |kind: &str| seen.iter().filter(|seen| seen.is(kind) && seen.connected).count();
            let doubted = ["fail?", "fail", "handshake"].iter().any(|doubt| seen.iter().any(|seen| seen.is(doubt)));
            let leads = seen.iter().any(|seen| seen.is("myself") && seen.is("master"));
            let ok = node.says(&["CLUSTER", "INFO"], "cluster_state:ok");
            (there("master"), there("slave"), doubted, ok) == (3, 3, false, true)
                && (leads || self.nodes.iter().any(|other| node.follows(other)))
        };
        eventually("the cluster to be whole", || (0..6).all(whole).then_some(()));
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].run(&["CLUSTER", "MYID"])
    }

    /// The primary that claims a slot by itself. One that was replaced may still do so, with an older epoch.
    fn owner_of(&self, slot: u16) -> usize {
        eventually("a primary of the slot", || {
            let claims = (0..self.nodes.len()).filter_map(|node| {
                let own = self.seen_by(node).into_iter().find(|seen| seen.is("myself"))?;
                (own.is("master") && own.has(slot)).then_some((own.epoch, node))
            });
            Some(claims.max()?.1)
        })
    }

    /// The cluster as a node sees it; empty if it does not answer.
    fn seen_by(&self, node: usize) -> Vec<Seen> {
        self.nodes[node].try_run(&["CLUSTER", "NODES"]).iter().flat_map(|text| text.lines()).map(Seen::parse).collect()
    }
}

fn node() -> Redis {
    Redis::launch("redis-server", |command, address| {
        data_node(command, address).args(["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]);
        // Left to itself it takes the port 10000 further up, which may not exist.
        command.args(["--cluster-port", &nobody().port().to_string()]);
    })
}

/// A row of `CLUSTER NODES`.
struct Seen {
    id: String,
    flags: Vec<String>,
    epoch: u64,
    connected: bool,
    slots: Vec<RangeInclusive<u16>>,
}

impl Seen {
    fn parse(row: &str) -> Self {
        let fields: Vec<&str> = row.split(' ').collect();
        let range = |text: &&str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            // In brackets are those that are on their way.
            Some(first.parse().ok()?..=last.parse().ok()?)
        };
        Seen {
            id: fields[0].to_owned(),
            flags: fields[2].split(',').map(str::to_owned).collect(),
            epoch: fields[6].parse().unwrap(),
            connected: fields[7] == "connected",
            slots: fields[8..].iter().filter_map(range).collect(),
        }
    }

    fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }

    fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|range| range.contains(&slot))
    }
}
