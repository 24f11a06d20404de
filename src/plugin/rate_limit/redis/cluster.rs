//! A cluster: which of its servers has a slot, and how that is kept up.
//!
//! Not the client library's: that one holds back every command while it looks for slots anew, so that a node
//! that dies would keep the clients of all others waiting. Here each node is a server with a breaker of
//! its own, and what is known of the slots is used until something better is.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::{ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisResult, Value};
use tokio::sync::{mpsc, oneshot};

use super::calls::Redirected;
use super::endpoint::Endpoint;
use super::link::Health;
use super::queue::Request;
use super::server::{Common, Server};
use super::slots::{self, Range, SLOTS};

/// How often slots are looked up again while all is well, and while it is not.
const EVERY: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(250);
/// How long a node may take to say where slots are.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a request is sent elsewhere before it is given up.
const HOPS: u8 = 3;

/// A cluster.
pub struct Cluster {
    common: Common,
    /// How the nodes of the config are reached.
    seeds: Vec<ConnectionInfo>,
    map: ArcSwap<Map>,
}

/// What is known of it.
#[derive(Default)]
struct Map {
    /// By `host:port`.
    servers: HashMap<String, Arc<Server>>,
    /// For each slot, its server.
    slots: Vec<Option<Arc<Server>>>,
}

impl Map {
    fn server(&self, key: &str) -> Option<&Arc<Server>> {
        self.slots.get(usize::from(slots::slot(key)))?.as_ref()
    }
}

impl Cluster {
    /// A cluster of which nothing is known until [`Cluster::start`].
    ///
    /// # Errors
    /// An address is none.
    pub fn new(urls: &[crate::config::units::Secret], common: Common) -> RedisResult<Self> {
        let seeds = urls.iter().map(|url| url.reveal().into_connection_info()).collect::<RedisResult<_>>()?;
        Ok(Cluster { common, seeds, map: ArcSwap::default() })
    }

    /// The server that has the slot of `key`.
    pub fn server(&self, key: &str) -> Option<Arc<Server>> {
        self.map.load().server(key).cloned()
    }

    /// How its nodes are.
    pub fn health(&self) -> Vec<Health> {
        let mut all: Vec<Health> = self.map.load().servers.values().map(|server| server.link.health()).collect();
        all.sort_by(|a, b| a.address.cmp(&b.address));
        all
    }

    /// Looks the nodes up, keeps doing so, and sends on what they send elsewhere, on tasks of this runtime that
    /// end with the last handle. Returns when looking up has been tried once.
    pub async fn start(self: &Arc<Self>, mut redirects: mpsc::UnboundedReceiver<Redirected>) {
        let cluster = Arc::downgrade(self);
        tokio::spawn(async move {
            while let (Some(redirected), Some(cluster)) = (redirects.recv().await, cluster.upgrade()) {
                cluster.redirect(redirected);
            }
        });
        let (cluster, (tried, first_try)) = (self.clone(), oneshot::channel());
        tokio::spawn(async move {
            cluster.look_up().await;
            // Whoever started it may have run out of patience.
            let _ = tried.send(());
            let cluster = Arc::downgrade(&{ cluster });
            Cluster::maintain(cluster).await;
        });
        // The task answers, or has panicked and told so.
        let _ = first_try.await;
    }

    async fn maintain(this: Weak<Self>) {
        let mut wait = SOON;
        while let Some(cluster) = this.upgrade() {
            // Rung when there is something to look at; looking up now and then lets the task end.
            let _ = tokio::time::timeout(wait, cluster.common.changed.notified()).await;
            wait = if cluster.look_up().await { EVERY } else { SOON };
        }
    }

    /// Asks one node after the other where slots are, those first that answer. Says whether all is well.
    async fn look_up(&self) -> bool {
        let map = self.map.load_full();
        let (mut up, mut down): (Vec<_>, Vec<_>) =
            map.servers.values().cloned().partition(|server| server.link.is_up());
        up.append(&mut down);
        let known = up.iter().map(|server| Asked::Known(server));
        for node in known.chain(self.seeds.iter().map(Asked::Seed)) {
            let late = |_| Err((ErrorKind::Io, "no answer in time").into());
            match tokio::time::timeout(PATIENCE, node.slots(&self.common)).await.unwrap_or_else(late) {
                Ok((host, ranges)) => return self.apply(&host, &ranges).await,
                Err(error) => log::debug!("redis cluster: {error}"),
            }
        }
        false
    }

    /// Takes over what `host` says. Servers that stay keep their connections.
    async fn apply(&self, host: &str, ranges: &[Range]) -> bool {
        let old = self.map.load_full();
        let mut map = Map { servers: HashMap::new(), slots: vec![None; SLOTS] };
        for range in ranges {
            let host = if range.host.is_empty() { host } else { &range.host };
            let name = format!("{host}:{}", range.port);
            let known = map.servers.get(&name).or_else(|| old.servers.get(&name)).cloned();
            // The certificates were good when the config was read.
            let Ok(server) = known.map_or_else(|| self.server_at(host, range.port), Ok) else { continue };
            let slots = usize::from(range.first)..usize::from(range.last).min(SLOTS - 1) + 1;
            map.slots.get_mut(slots).into_iter().flatten().for_each(|slot| *slot = Some(server.clone()));
            map.servers.insert(name, server);
        }
        for server in map.servers.values() {
            let is_its = |key: &str| map.server(key).is_some_and(|its| Arc::ptr_eq(its, server));
            server.link.try_by((0_u32..).map(|n| format!("aegis:rl:{{{n}}}:trial")).take(1_000_000), is_its);
            // Those that have been started know that.
            server.start().await;
        }
        let complete = map.slots.iter().all(Option::is_some);
        let well = complete && map.servers.values().all(|server| server.link.is_up());
        self.map.store(Arc::new(map));
        well
    }

    fn server_at(&self, host: &str, port: u16) -> RedisResult<Arc<Server>> {
        let like = self.seeds.first().ok_or((ErrorKind::InvalidClientConfig, "a cluster without a node"))?;
        let endpoint = Endpoint::of_node(&self.common.config, like, host, port)?;
        Ok(Arc::new(Server::new(endpoint, self.common.clone())))
    }

    /// Sends requests to the server that another one has named. Who is not sent on is told by the end of the
    /// channel: nobody waits for a server that has to be looked up first.
    fn redirect(&self, Redirected { requests, error }: Redirected) {
        let Some((name, slot)) = error.redirect_node() else { return };
        let (map, asking) = (self.map.load_full(), error.code() == Some("ASK"));
        let server = map.servers.get(name);
        let known = map.slots.get(usize::from(slot)).and_then(Option::as_ref);
        let is_news = server.zip(known).is_none_or(|(server, known)| !Arc::ptr_eq(server, known));
        if let (Some(server), false, true) = (server, asking, is_news) {
            // The slot is there for good: everybody may know at once.
            let mut slots = map.slots.clone();
            slots.get_mut(usize::from(slot)).into_iter().for_each(|known| *known = Some(server.clone()));
            self.map.store(Arc::new(Map { servers: map.servers.clone(), slots }));
        }
        if !asking {
            self.common.changed.notify_one();
        }
        for request in requests.into_iter().filter(|request| request.hops < HOPS) {
            let request = Request { hops: request.hops + 1, asking, ..request };
            server.and_then(|server| server.send(request));
        }
    }
}

/// A node that is asked where slots are.
enum Asked<'n> {
    Known(&'n Server),
    Seed(&'n ConnectionInfo),
}

impl Asked<'_> {
    /// Its host, and what it says.
    async fn slots(&self, common: &Common) -> RedisResult<(String, Vec<Range>)> {
        let (name, mut connection) = match self {
            Asked::Known(server) => (server.link.endpoint.name.clone(), server.link.endpoint.connect().await?.0),
            Asked::Seed(seed) => {
                let (host, port) = host_and_port(&seed.addr().to_string())?;
                let endpoint = Endpoint::of_node(&common.config, seed, &host, port)?;
                (endpoint.name.clone(), endpoint.connect().await?.0)
            }
        };
        let answer: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
        let ranges = slots::read(answer)?;
        match ranges.is_empty() {
            true => Err((ErrorKind::Client, "this node knows of no slots").into()),
            false => Ok((host_and_port(&name)?.0, ranges)),
        }
    }
}

fn host_and_port(name: &str) -> RedisResult<(String, u16)> {
    let parts = name.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    parts.ok_or_else(|| (ErrorKind::InvalidClientConfig, "no host and port").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Redis as Config, units::Secret};

    fn cluster(urls: &[String]) -> Arc<Cluster> {
        let urls: Vec<Secret> = urls.iter().map(Secret::new).collect();
        let (redirects, _) = mpsc::unbounded_channel();
        let common = Common {
            config: Arc::new(Config::at("redis://a", Duration::from_millis(50))),
            scripts: Arc::default(),
            leases: Arc::default(),
            changed: Arc::default(),
            redirects,
        };
        Arc::new(Cluster::new(&urls, common).expect("URLs"))
    }

    /// One node refuses connections, one takes them and says nothing: time passes as soon as nothing else is left.
    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_nobody_answers_for_is_unknown_and_keeps_nobody_waiting() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let urls = ["redis://127.0.0.1:1".to_owned(), format!("redis://{}", silent.local_addr().expect("an address"))];
        let cluster = cluster(&urls);
        assert!(!cluster.look_up().await);
        assert!(cluster.server("key").is_none() && cluster.health().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn its_tasks_end_with_the_last_handle() {
        let cluster = cluster(&["redis://127.0.0.1:1".to_owned()]);
        let (redirects, redirected) = mpsc::unbounded_channel();
        cluster.start(redirected).await;
        let weak = Arc::downgrade(&cluster);
        drop(cluster);
        while weak.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let error = (ErrorKind::Client, "nobody takes care of it any more").into();
        redirects.send(Redirected { requests: Vec::new(), error }).expect("it waits for the next one");
        redirects.closed().await;
        Cluster::maintain(Weak::new()).await;
    }
}
