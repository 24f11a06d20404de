//! Counters of clients in Redis, shared by all replicas of the gateway.
//!
//! A decision is one script, run by its hash. All that is to be decided at a moment goes in one round trip,
//! on one connection (`calls`); who wants a counter that is being asked already waits and goes with all
//! others that do, in the next call (`lanes`). No decision takes longer than the configured time-out, and no round trip. When
//! round trips fail, the link is down (`link`): nothing is sent any more, so that a Redis that hangs costs
//! requests nothing, until a task of our own has seen the script run again. Going down and coming back are
//! logged once each. What Redis refuses is not asked again before it can pass (`refusals`).

mod bounded;
mod calls;
mod cluster;
mod endpoint;
mod lanes;
mod lease;
mod link;
mod peek;
mod queue;
mod refusals;
mod script;
mod server;
mod slots;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use redis::RedisResult;
use tokio::sync::{mpsc, oneshot};

use self::calls::Redirected;
use self::cluster::Cluster;
use self::endpoint::Endpoint;
use self::lease::Leases;
pub use self::link::Health;
use self::queue::Request;
use self::refusals::Refusals;
use self::server::{Common, Server};
use super::algorithm::Decision;
use super::rule::Asked;
use crate::config::{Redis as Config, Servers};

/// One Redis, of one server or of many.
pub struct Redis {
    /// For people: where it is.
    name: String,
    servers: Kind,
    refusals: Refusals,
    leases: Arc<Leases>,
    /// What servers send elsewhere, until somebody takes care of it.
    redirects: Mutex<Option<mpsc::UnboundedReceiver<Redirected>>>,
}

/// The link is down.
#[derive(Debug)]
pub struct Down;

enum Kind {
    One(Arc<Server>),
    Cluster(Arc<Cluster>),
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Redis {
    /// A Redis that is not connected to until [`Redis::start`].
    ///
    /// # Errors
    /// An address is none, or certificates are no good.
    pub fn new(config: &Config) -> RedisResult<Self> {
        let (redirects, redirected) = mpsc::unbounded_channel();
        let common = Common {
            config: Arc::new(config.clone()),
            scripts: Arc::default(),
            leases: Arc::default(),
            changed: Arc::default(),
            redirects,
        };
        let leases = common.leases.clone();
        let servers = match &config.servers {
            Servers::Cluster(urls) => Kind::Cluster(Arc::new(Cluster::new(urls, common)?)),
            _ => Kind::One(Arc::new(Server::new(Endpoint::new(config)?, common))),
        };
        let name = config.servers.to_string();
        Ok(Redis { name, servers, refusals: Refusals::default(), leases, redirects: Mutex::new(Some(redirected)) })
    }

    /// Connects, keeps connected and decides, on tasks of this runtime that end with the last handle to
    /// this Redis. Returns when connecting has been tried once.
    pub async fn start(&self) {
        let Some(redirects) = self.redirects.lock().take() else { return };
        match &self.servers {
            Kind::One(server) => server.start().await,
            Kind::Cluster(cluster) => cluster.start(redirects).await,
        }
    }

    /// How its servers are; a cluster of which nothing is known yet has none.
    pub fn health(&self) -> Vec<Health> {
        match &self.servers {
            Kind::One(server) => vec![server.link.health()],
            Kind::Cluster(cluster) => cluster.health(),
        }
    }

    /// Decides on one request, made at `now`. `None`: the link is down or failed, and somebody else has to
    /// decide.
    pub async fn take(&self, asked: &Asked, now: Instant) -> Option<Decision> {
        // Leases have been counted: they are good while the link is down, too.
        if asked.limits.leased
            && let Some(decision) = self.leases.spend(asked, now)
        {
            return Some(decision);
        }
        // So are refusals, which hold until their time is over, whoever counts meanwhile.
        if let Some(known) = self.refusals.find(asked.lane, now) {
            return Some(known);
        }
        match &self.servers {
            Kind::One(server) => self.ask(server, asked, now).await,
            Kind::Cluster(cluster) => self.ask(&*cluster.server(&key(asked)?)?, asked, now).await,
        }
    }

    /// What would become of a request at `now`; nothing is counted. What has been granted for later is not looked at. `None`: it
    /// cannot be told.
    pub async fn peek(&self, asked: &Asked, now: Instant) -> Option<Decision> {
        match &self.servers {
            Kind::One(server) => peek::peek(&server.link, asked, now).await,
            Kind::Cluster(cluster) => peek::peek(&cluster.server(&key(asked)?)?.link, asked, now).await,
        }
    }

    async fn ask(&self, server: &Server, asked: &Asked, now: Instant) -> Option<Decision> {
        if !server.link.is_up() {
            return None;
        }
        let (answer, decision) = oneshot::channel();
        // What could not be sent is dropped, and nobody will answer.
        drop(server.send(Request::new(asked.clone(), false, answer)));
        // Behind a call that is on its way it might take as long as two.
        let decision = tokio::time::timeout_at((now + server.link.timeout).into(), decision).await.ok()?.ok()?;
        self.refusals.note(asked.lane, &decision, now);
        Some(decision)
    }

    /// Counts what has been used already, room or not. Says so when that is done; nobody will, if it cannot be.
    ///
    /// # Errors
    /// The link is down.
    pub fn charge(&self, asked: &Asked) -> Result<oneshot::Receiver<Decision>, Down> {
        let server = match &self.servers {
            Kind::One(server) => Some(server.clone()),
            Kind::Cluster(cluster) => key(asked).and_then(|key| cluster.server(&key)),
        };
        let server = server.filter(|server| server.link.is_up()).ok_or(Down)?;
        let (answer, counted) = oneshot::channel();
        drop(server.send(Request::new(asked.clone(), true, answer)));
        Ok(counted)
    }
}

/// The key of one of the counters, which says in what slot they all are.
fn key(asked: &Asked) -> Option<String> {
    asked.counters.first().map(|counted| asked.rule(counted).redis_key(&counted.client))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plugin::rate_limit::algorithm::Quota;
    use crate::plugin::rate_limit::fingerprint::Hasher;
    use crate::plugin::rate_limit::rule::{Limits, Rule};

    fn redis() -> Redis {
        Redis::new(&Config::at("redis://me:hunter2@127.0.0.1:1", Duration::from_millis(50))).expect("a URL")
    }

    #[tokio::test]
    async fn its_tasks_end_with_the_last_handle() {
        let redis = redis();
        let Kind::One(server) = &redis.servers else { unreachable!("it is one") };
        let link = Arc::downgrade(&server.link);
        redis.start().await;
        redis.start().await;
        drop(redis);
        while link.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_cluster_of_which_nothing_is_known_gives_requests_back() {
        let config = Config::at("redis://a", Duration::from_millis(50));
        let servers = Servers::Cluster(vec![crate::config::units::Secret::new("redis://127.0.0.1:1")]);
        let redis = Redis::new(&Config { servers, ..config }).expect("a URL");
        redis.start().await;
        let quota = Quota::fixed(std::num::NonZeroU32::MIN, Duration::from_secs(1));
        let limits = Arc::new(Limits::new(vec![Rule::by_address(1, quota)], false));
        let asked = limits.ask_for(&[0], 1, &Hasher::default());
        assert_eq!(redis.take(&asked, Instant::now()).await, None);
        assert_eq!(redis.peek(&asked, Instant::now()).await, None);
        assert!(redis.charge(&asked).is_err());
        assert!(redis.health().is_empty());
    }

    #[test]
    fn the_debug_output_has_no_password() {
        assert_eq!(format!("{:?}", redis()), "Redis { name: \"127.0.0.1:1\", .. }");
    }
}
