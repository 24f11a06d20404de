//! Counters of clients in Redis, shared by all replicas of the gateway.
//!
//! A decision is one script, run by its hash. All that is to be decided at a moment goes in one round trip,
//! on one connection (`calls`); who wants a counter that is being asked already waits and goes with all
//! others that do, in the next call (`lanes`). No decision takes longer than the configured time-out. When
//! round trips fail, the link is down (`link`): nothing is sent any more, so that a Redis that hangs costs
//! requests nothing, until a task of our own has seen the script run again. Going down and coming back are
//! logged once each. What Redis refuses is not asked again before it can pass (`refusals`).

mod calls;
mod lanes;
mod lease;
mod link;
mod refusals;
mod script;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use redis::RedisResult;
use tokio::sync::{mpsc, oneshot};

use self::calls::Request;
use self::lease::Leases;
pub use self::link::Health;
use self::link::Link;
use self::refusals::Refusals;
use super::algorithm::Decision;
use super::rule::Asked;
use crate::config::Redis as Config;

/// One Redis server.
pub struct Redis {
    link: Arc<Link>,
    refusals: Refusals,
    leases: Arc<Leases>,
    requests: mpsc::UnboundedSender<Request>,
    /// The other end, until somebody serves it.
    unserved: Mutex<Option<mpsc::UnboundedReceiver<Request>>>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("address", &self.link.address).finish_non_exhaustive()
    }
}

impl Redis {
    /// A server that is not connected to until [`Redis::start`].
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(config: &Config) -> RedisResult<Self> {
        let (requests, unserved) = mpsc::unbounded_channel();
        let link = Arc::new(Link::new(config)?);
        let (refusals, leases) = (Refusals::default(), Arc::default());
        Ok(Redis { link, refusals, leases, requests, unserved: Mutex::new(Some(unserved)) })
    }

    /// Connects, keeps connected and decides, on tasks of this runtime that end with the last handle to
    /// this server. Returns when connecting has been tried once.
    pub async fn start(&self) {
        let Some(unserved) = self.unserved.lock().take() else { return };
        let (link, leases) = (self.link.clone(), self.leases.clone());
        tokio::spawn(async move { calls::serve(&link, &leases, unserved).await });
        let (link, (tried, first_try)) = (self.link.clone(), oneshot::channel());
        tokio::spawn(async move {
            link.connect().await;
            // Whoever started it may have run out of patience.
            let _ = tried.send(());
            let link = Arc::downgrade(&{ link });
            Link::maintain(link).await;
        });
        // The task answers, or has panicked and told so.
        let _ = first_try.await;
    }

    /// Whether it is up, since when, and why not.
    pub fn health(&self) -> Health {
        self.link.health()
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
        if !self.link.is_up() {
            return None;
        }
        if let Some(known) = self.refusals.find(asked.lane, now) {
            return Some(known);
        }
        let (answer, decision) = oneshot::channel();
        self.requests.send(Request { asked: asked.clone(), at: now, answer: Some(answer) }).ok()?;
        let decision = decision.await.ok()?;
        self.refusals.note(asked.lane, &decision, now);
        Some(decision)
    }

    /// Counts what has been used already, room or not, as soon as may be. Gives it back while the link is
    /// down.
    pub fn charge(&self, asked: Asked, now: Instant) -> Option<Asked> {
        if !self.link.is_up() {
            return Some(asked);
        }
        let sent = self.requests.send(Request { asked, at: now, answer: None });
        sent.err().map(|unsent| unsent.0.asked)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::units::Secret;

    fn server() -> Redis {
        let url = Secret::new("redis://me:hunter2@127.0.0.1:1");
        Redis::new(&Config { url, timeout: Duration::from_millis(50) }).expect("a URL")
    }

    #[tokio::test]
    async fn its_tasks_end_with_the_last_handle() {
        let redis = server();
        let link = Arc::downgrade(&redis.link);
        redis.start().await;
        redis.start().await;
        drop(redis);
        while link.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn the_debug_output_has_no_password() {
        assert_eq!(format!("{:?}", server()), "Redis { address: \"127.0.0.1:1\", .. }");
    }
}
