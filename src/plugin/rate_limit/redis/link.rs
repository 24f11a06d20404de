//! The connection: got, watched, given up, got again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};
use tokio::sync::Notify;

use super::script::{Question, Scripts};
use crate::config::Redis as Config;
use crate::plugin::rate_limit::algorithm::{Answer, Quota};

/// Round trips in a row that have to time out or be refused before the link counts as down. A connection
/// that breaks counts at once.
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
pub struct Link {
    client: Client,
    /// Host and port, without the password.
    pub address: String,
    /// The longest that a decision may take.
    pub timeout: Duration,
    /// What is run.
    pub scripts: Scripts,
    connection: ArcSwapOption<MultiplexedConnection>,
    failures: AtomicU32,
    went_down: Notify,
    health: Mutex<Health>,
}

impl Link {
    /// A link that is down until [`Link::connect`] or [`Link::maintain`] gets it up.
    ///
    /// # Errors
    /// The URL is none.
    pub fn new(config: &Config) -> RedisResult<Self> {
        let client = Client::open(config.url.reveal())?;
        Ok(Link {
            address: client.get_connection_info().addr().to_string(),
            client,
            timeout: config.timeout,
            scripts: Scripts::default(),
            connection: ArcSwapOption::empty(),
            failures: AtomicU32::new(0),
            went_down: Notify::new(),
            health: Mutex::new(Health { up: None, since: SystemTime::now(), reason: None }),
        })
    }

    /// The connection, while the link is up.
    pub fn connection(&self) -> Option<Arc<MultiplexedConnection>> {
        self.connection.load_full()
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        self.connection.load().is_some()
    }

    /// Whether it is up, since when, and why not.
    pub fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Takes note of how a round trip on `connection` ended. One answer that is good makes it a good one.
    pub fn report(&self, connection: &Arc<MultiplexedConnection>, answers: &RedisResult<Vec<RedisResult<Answer>>>) {
        let error = match answers {
            Ok(answers) if answers.iter().any(Result::is_ok) => None,
            Ok(answers) => answers.iter().find_map(|answer| answer.as_ref().err()),
            Err(error) => Some(error),
        };
        match error {
            Some(error) => self.failed(connection, error),
            None if self.failures.load(Ordering::Relaxed) != 0 => self.failures.store(0, Ordering::Relaxed),
            None => {}
        }
    }

    fn failed(&self, connection: &Arc<MultiplexedConnection>, error: &RedisError) {
        let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let broken = error.is_unrecoverable_error() || error.is_connection_dropped();
        if !broken && in_a_row < FAILURES {
            return;
        }
        // Of many round trips that fail together, one takes the link down.
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
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let quota = Quota::fixed(std::num::NonZeroU32::MIN, Duration::from_secs(1));
        let trial = Question::one("aegis:rl::trial", quota);
        self.scripts.ask(&mut connection, &[trial]).await?.into_iter().collect::<RedisResult<Vec<_>>>()?;
        Ok(connection)
    }

    /// Keeps the link up for as long as it is in use.
    pub async fn maintain(this: Weak<Self>) {
        let (mut wait, mut came_up) = (RETRY, Instant::now());
        while let Some(link) = this.upgrade() {
            if link.is_up() {
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
                Err(e) => log::warn!("redis {}: {e}; limits are not shared until it returns", self.address),
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

    fn link() -> Link {
        let url = Secret::new("redis://127.0.0.1:1");
        Link::new(&Config { url, timeout: Duration::from_millis(50) }).expect("a URL")
    }

    #[tokio::test]
    async fn the_task_that_maintains_a_link_ends_with_it() {
        let link = Arc::new(link());
        let weak = Arc::downgrade(&link);
        drop(link);
        Link::maintain(weak).await;
    }

    #[tokio::test]
    async fn a_state_that_stays_keeps_the_time_it_began_at() {
        let link = link();
        assert!(!link.connect().await);
        let first = link.health();
        assert_eq!(first.up, Some(false));
        assert!(!link.connect().await);
        assert_eq!(link.health().since, first.since);
    }
}
