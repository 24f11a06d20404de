//! Windows of clients in Redis, shared by all replicas of the gateway.
//!
//! One connection, on which calls are pipelined. A call is one script run by its hash, in one round trip,
//! and may take no longer than the configured time-out. When calls fail, the link is down: nothing is
//! sent any more, so that a Redis that hangs costs requests nothing, until a task of our own has seen the
//! script run again. Going down and coming back are logged once each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client as RedisClient, ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Notify;

use super::fixed_window::{Decision, Quota, SCRIPT};
use super::{Client, Rule};
use crate::config::Redis as Config;

/// Calls in a row that have to time out or be refused before the link counts as down. A connection that
/// breaks counts at once.
const FAILURES: u32 = 3;
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two tries to get the link up again.
const RETRY: Duration = Duration::from_millis(250);
/// The same for a link that goes down again and again soon.
const MAX_RETRY: Duration = Duration::from_secs(8);
/// A link that has been up for so long has been well.
const STEADY: Duration = Duration::from_secs(10);

/// Whether limits are shared through Redis right now.
#[derive(Clone, Debug)]
pub struct Health {
    /// It is connected and answers; `None` before the first try.
    pub up: Option<bool>,
    /// Since when.
    pub since: SystemTime,
    /// Why it is down.
    pub reason: Option<String>,
}

/// The link to one Redis server.
pub struct Redis {
    client: RedisClient,
    /// Host and port, without the password.
    address: String,
    timeout: Duration,
    hash: String,
    connection: ArcSwapOption<MultiplexedConnection>,
    failures: AtomicU32,
    went_down: Notify,
    health: Mutex<Health>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Redis {
    /// A link that is down until [`Redis::connect`] or [`Redis::maintain`] gets it up.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(config: &Config) -> RedisResult<Self> {
        let client = RedisClient::open(config.url.reveal())?;
        Ok(Redis {
            address: client.get_connection_info().addr().to_string(),
            client,
            timeout: config.timeout,
            hash: redis::Script::new(SCRIPT).get_hash().to_owned(),
            connection: ArcSwapOption::empty(),
            failures: AtomicU32::new(0),
            went_down: Notify::new(),
            health: Mutex::new(Health { up: None, since: SystemTime::now(), reason: None }),
        })
    }

    /// Whether it is up, since when, and why not.
    pub fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Decides on one request of `client`. `None`: the link is down or failed, and
    /// somebody else has to decide.
    pub async fn take(&self, rule: &Rule, client: Client) -> Option<Decision> {
        let connection = self.connection.load_full()?;
        match self.call(&connection, rule, client).await {
            Ok(decision) => {
                if self.failures.load(Ordering::Relaxed) != 0 {
                    self.failures.store(0, Ordering::Relaxed);
                }
                Some(decision)
            }
            Err(error) => {
                self.failed(&connection, &error);
                None
            }
        }
    }

    async fn call(
        &self,
        connection: &MultiplexedConnection,
        rule: &Rule,
        client: impl std::fmt::Display,
    ) -> RedisResult<Decision> {
        let key = format!("aegis:rl:{}:{client}", rule.name);
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(1).arg(&key).arg(rule.quota.max.get()).arg(rule.quota.window_millis());
            command
        };
        // A clone of the handle: the connection itself is one.
        let mut connection = connection.clone();
        let answer = command("EVALSHA", &self.hash).query_async(&mut connection).await;
        let (allowed, used, left): (bool, u32, i64) = match answer {
            // Redis was restarted or its scripts were flushed: EVAL runs the text and remembers it.
            Err(e) if e.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                command("EVAL", SCRIPT).query_async(&mut connection).await?
            }
            answer => answer?,
        };
        Ok(rule.quota.decision(allowed, used, Duration::from_millis(u64::try_from(left).unwrap_or(0))))
    }

    fn failed(&self, connection: &Arc<MultiplexedConnection>, error: &RedisError) {
        let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let broken = error.is_unrecoverable_error() || error.is_connection_dropped();
        if !broken && in_a_row < FAILURES {
            return;
        }
        // Of many calls that fail together, one takes the link down.
        let previous = self.connection.compare_and_swap(&Some(connection.clone()), None);
        if previous.as_ref().is_some_and(|previous| Arc::ptr_eq(previous, connection)) {
            self.note(Err(error));
            self.went_down.notify_one();
        }
    }

    /// Tries once to get the link up.
    pub async fn connect(&self) -> bool {
        match self.try_connect().await {
            Ok(connection) => {
                self.failures.store(0, Ordering::Relaxed);
                self.connection.store(Some(Arc::new(connection)));
                self.note(Ok(()));
                true
            }
            Err(error) => {
                self.note(Err(&error));
                false
            }
        }
    }

    /// Connects, and sees that the script runs: a Redis that takes connections and nothing else, a
    /// read-only replica or a full one, is not up.
    async fn try_connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(self.timeout));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let quota = Quota { max: std::num::NonZeroU32::MIN, window: Duration::from_secs(1) };
        let trial = Rule { name: "".into(), id: 0, quota };
        self.call(&connection, &trial, "trial").await?;
        Ok(connection)
    }

    /// Keeps the link up for as long as it is in use.
    pub async fn maintain(this: std::sync::Weak<Self>) {
        let (mut wait, mut came_up) = (RETRY, Instant::now());
        while let Some(link) = this.upgrade() {
            if link.connection.load().is_some() {
                // Woken when it goes down; looking up now and then lets the task end with the link.
                let _ = tokio::time::timeout(Duration::from_secs(5), link.went_down.notified()).await;
                wait = if came_up.elapsed() < STEADY { wait } else { RETRY };
            } else {
                tokio::time::sleep(wait).await;
                if link.connect().await {
                    // Should it work for a moment only, and again, it is left alone for longer each time.
                    (wait, came_up) = ((wait * 2).min(MAX_RETRY), Instant::now());
                }
            }
        }
    }

    /// Remembers a state, and logs it if it is another one than before.
    fn note(&self, state: Result<(), &RedisError>) {
        let mut health = self.health.lock();
        let changed = health.up != Some(state.is_ok());
        if changed {
            health.since = SystemTime::now();
            match state {
                Ok(()) => log::info!("redis {}: connected; limits are shared", self.address),
                Err(e) => log::warn!("redis {}: {e}; limits are kept in this process until it returns", self.address),
            }
        }
        health.up = Some(state.is_ok());
        health.reason = state.err().map(ToString::to_string);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::Secret;

    fn link() -> Redis {
        let url = Secret::new("redis://me:hunter2@127.0.0.1:1");
        Redis::new(&Config { url, timeout: Duration::from_millis(50) }).expect("a URL")
    }

    #[tokio::test]
    async fn the_task_that_maintains_a_link_ends_with_it() {
        let redis = Arc::new(link());
        let weak = Arc::downgrade(&redis);
        drop(redis);
        Redis::maintain(weak).await;
    }

    #[tokio::test]
    async fn a_state_that_stays_keeps_the_time_it_began_at() {
        let redis = link();
        assert!(!redis.connect().await);
        let first = redis.health();
        assert_eq!(first.up, Some(false));
        assert!(!redis.connect().await);
        assert_eq!(redis.health().since, first.since);
    }

    #[test]
    fn the_debug_output_has_no_password() {
        let redis = link();
        assert_eq!(format!("{redis:?}"), "Redis { address: \"127.0.0.1:1\", .. }");
    }
}
