//! The connection to a server: got, watched by a breaker, given up, got again.

use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{ConnectionAddr, ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Notify;

use super::endpoint::Endpoint;
use super::script::{Question, Scripts};
use crate::breaker::circuit::Circuit;
use crate::breaker::{Outcome, Permit, Phase, Policy, Refused, View};
use crate::plugin::rate_limit::algorithm::Answer;

/// Round trips in a row that have to fail before nothing is sent any more.
const FAILURES: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");
/// From then until connecting is tried again.
const COOLDOWN: Duration = Duration::from_millis(250);
/// Connecting and a first round trip take less.
const LEASE: Duration = Duration::from_secs(20);
/// Between tries to connect again at once, before the breaker has opened.
const PAUSE: Duration = Duration::from_millis(10);
/// A link that works for a moment only, and again, is left alone for four times as long each time, up to this.
const MAX_PAUSE: Duration = Duration::from_secs(8);
/// How often a link that is up looks whether anybody still needs it, and whether it works, where nobody has asked for anything.
const LOOK_UP: Duration = Duration::from_secs(2);
/// And whether it leads where it should, where sentinels can be asked.
const FOLLOW: Duration = Duration::from_millis(500);
/// A link that has been up for so long has been well.
const STEADY: Duration = Duration::from_secs(10);

/// Whether limits are shared through a server right now.
#[derive(Clone, Debug)]
pub struct Health {
    /// Host and port.
    pub address: String,
    /// It is connected and answers; `None` before the first try.
    pub up: Option<bool>,
    /// Since when.
    pub since: SystemTime,
    /// Why it is down.
    pub reason: Option<String>,
    /// What the breaker says.
    pub breaker: View,
    /// Round trips.
    pub calls: u64,
    /// Those of them that failed.
    pub failed: u64,
}

/// What is known of a link, beside its breaker.
struct Known {
    up: Option<bool>,
    since: SystemTime,
    reason: Option<String>,
}

/// The link to one server.
pub struct Link {
    /// Where it leads.
    pub endpoint: Endpoint,
    /// The longest that a decision may take.
    pub timeout: Duration,
    /// What is run.
    pub scripts: Arc<Scripts>,
    /// Rung when it goes down.
    pub changed: Arc<Notify>,
    /// A key that may be written, to see whether that works.
    trial: Mutex<String>,
    /// There while the link is up.
    connection: ArcSwapOption<MultiplexedConnection>,
    /// Where that leads.
    place: Mutex<Option<ConnectionAddr>>,
    circuit: Circuit,
    went_down: Notify,
    known: Mutex<Known>,
    calls: AtomicU64,
    failed: AtomicU64,
}

/// Leave for one round trip.
pub struct Leave {
    /// What it goes by.
    pub connection: Arc<MultiplexedConnection>,
    permit: Permit,
}

impl Link {
    /// A link that is down until [`Link::connect`] or [`Link::maintain`] gets it up.
    pub fn new(endpoint: Endpoint, timeout: Duration, scripts: Arc<Scripts>, changed: Arc<Notify>) -> Self {
        let policy = Policy::in_a_row(FAILURES, COOLDOWN, LEASE);
        Link {
            endpoint,
            timeout,
            scripts,
            changed,
            trial: Mutex::new("aegis:rl:trial".to_owned()),
            connection: ArcSwapOption::empty(),
            place: Mutex::new(None),
            circuit: Circuit::new(policy, Instant::now()),
            went_down: Notify::new(),
            known: Mutex::new(Known { up: None, since: SystemTime::now(), reason: None }),
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Has the link be tried out by a key that `is_right`, another one of `keys` if need be.
    pub fn try_by(&self, mut keys: impl Iterator<Item = String>, is_right: impl Fn(&str) -> bool) {
        let mut trial = self.trial.lock();
        if !is_right(&trial)
            && let Some(key) = keys.find(|key| is_right(key))
        {
            *trial = key;
        }
    }

    /// Leave for a round trip, while the link is up.
    pub fn enter(&self, now: Instant) -> Option<Leave> {
        let connection = self.connection.load_full()?;
        let permit = self.circuit.admit(now).ok()?;
        Some(Leave { connection, permit })
    }

    /// Whether there is a connection.
    pub fn is_up(&self) -> bool {
        self.connection.load().is_some()
    }

    /// How it is.
    pub fn health(&self) -> Health {
        let known = self.known.lock();
        Health {
            address: self.endpoint.name.clone(),
            up: known.up,
            since: known.since,
            reason: known.reason.clone(),
            breaker: self.circuit.view(Instant::now()),
            calls: self.calls.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// One round trip, which is given up at `deadline`, and whose end is taken note of.
    ///
    /// # Errors
    /// Nothing was answered at all.
    pub async fn ask(
        &self,
        leave: Leave,
        questions: &[Question],
        deadline: Instant,
    ) -> RedisResult<Vec<RedisResult<Answer>>> {
        let mut handle = (*leave.connection).clone();
        let answers = tokio::time::timeout_at(deadline.into(), self.scripts.ask(&mut handle, questions)).await;
        let answers = answers.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        self.report(leave, &answers, Instant::now());
        answers
    }

    /// Takes note of how a round trip ended. One answer that is good makes it a good one.
    fn report(&self, leave: Leave, answers: &RedisResult<Vec<RedisResult<Answer>>>, now: Instant) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let error = match answers {
            Ok(answers) if answers.iter().any(Result::is_ok) => None,
            Ok(answers) => answers.iter().find_map(|answer| answer.as_ref().err()).filter(|error| is_servers(error)),
            Err(error) => Some(error),
        };
        let Some(error) = error else {
            self.circuit.settle(leave.permit, Outcome::Success, now);
            return;
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.circuit.settle(leave.permit, Outcome::Failure, now);
        if needs_another_connection(error) || self.circuit.view(now).phase != Phase::Closed {
            self.give_up(&leave.connection, error);
        }
    }

    /// Of many round trips that fail together, one takes the link down.
    fn give_up(&self, connection: &Arc<MultiplexedConnection>, error: &RedisError) {
        let previous = self.connection.compare_and_swap(&Some(connection.clone()), None);
        if previous.as_ref().is_some_and(|previous| Arc::ptr_eq(previous, connection)) {
            self.note(Err(error));
            self.went_down.notify_one();
            self.changed.notify_one();
        }
    }

    /// Tries to get the link up, if the breaker lets it.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn connect(&self) -> Result<bool, Refused> {
        let permit = self.circuit.admit(Instant::now())?;
        let tried = self.try_connect().await;
        let outcome = if tried.is_ok() { Outcome::Success } else { Outcome::Failure };
        self.circuit.settle(permit, outcome, Instant::now());
        self.note(tried.as_ref().map(drop));
        let is_up = tried.is_ok();
        self.connection.store(tried.ok().map(Arc::new));
        Ok(is_up)
    }

    /// Connects, and sees that the script runs: a Redis that takes connections and nothing else, a
    /// read-only replica or a full one, is not up.
    async fn try_connect(&self) -> RedisResult<MultiplexedConnection> {
        let (mut connection, place) = self.endpoint.connect().await?;
        let trial = Question::trial(&self.trial.lock());
        self.scripts.ask(&mut connection, &[trial]).await?.into_iter().collect::<RedisResult<Vec<_>>>()?;
        *self.place.lock() = Some(place);
        Ok(connection)
    }

    /// Leaves a server that is no longer the one. A primary that has been replaced answers on for a while, as
    /// if it still were, to be forgotten afterwards with all that it has counted.
    async fn follow(&self) {
        let (Some(connection), Ok(client)) = (self.connection.load_full(), self.endpoint.place().await) else { return };
        if self.place.lock().as_ref() != Some(client.get_connection_info().addr()) {
            self.give_up(&connection, &(ErrorKind::Client, "the sentinels name another primary").into());
        }
    }

    /// Tries out a link that nobody has used since there had been so many `calls`, until it works or is down: that it does
    /// not work is known before somebody needs it, even if nothing says that a connection has ended. Gives the calls by now.
    async fn try_if_idle(&self, calls: u64) -> u64 {
        if self.calls.load(Ordering::Relaxed) == calls {
            let (mut now, trial) = (Instant::now(), [Question::trial(&self.trial.lock())]);
            while let Some(leave) = self.enter(now)
                && self.ask(leave, &trial, now + self.timeout).await.is_err()
            {
                now = Instant::now();
            }
        }
        self.calls.load(Ordering::Relaxed)
    }

    /// Keeps the link up for as long as it is in use.
    pub async fn maintain(this: Weak<Self>) {
        let (mut pause, mut came_up) = (PAUSE, Instant::now());
        let (mut calls, mut looked) = (u64::MAX, Instant::now());
        while let Some(link) = this.upgrade() {
            if link.is_up() {
                // Rung when it goes down; looking up now and then lets the task end with the link.
                let patience = if link.endpoint.may_move() { FOLLOW } else { LOOK_UP };
                if tokio::time::timeout(patience, link.went_down.notified()).await.is_err() && link.endpoint.may_move()
                {
                    link.follow().await;
                }
                if looked.elapsed() >= LOOK_UP {
                    (calls, looked) = (link.try_if_idle(calls).await, Instant::now());
                }
                pause = if came_up.elapsed() < STEADY { pause } else { PAUSE };
                continue;
            }
            tokio::time::sleep(pause).await;
            match link.connect().await {
                Ok(true) => (pause, came_up) = ((pause * 4).min(MAX_PAUSE), Instant::now()),
                Ok(false) => {}
                Err(refused) => {
                    let until = if let Refused::Open(until) = refused { until } else { Instant::now() + COOLDOWN };
                    tokio::time::sleep_until(until.into()).await;
                }
            }
        }
    }

    /// Remembers a state, and logs it if it is another one than before.
    fn note(&self, state: Result<(), &RedisError>) {
        let mut known = self.known.lock();
        if known.up != Some(state.is_ok()) {
            known.since = SystemTime::now();
            let name = &self.endpoint.name;
            match state {
                Ok(()) => log::info!("redis {name}: connected; limits are shared"),
                Err(e) => log::warn!("redis {name}: {e}; limits are not shared until it returns"),
            }
        }
        known.up = Some(state.is_ok());
        known.reason = state.err().map(ToString::to_string);
    }
}

/// Whether an error is about the server, and not about the key that it was asked for.
fn is_servers(error: &RedisError) -> bool {
    let elsewhere =
        [ServerErrorKind::Moved, ServerErrorKind::Ask, ServerErrorKind::TryAgain, ServerErrorKind::CrossSlot];
    let about_key = |kind| elsewhere.into_iter().any(|elsewhere| kind == ErrorKind::Server(elsewhere));
    !about_key(error.kind()) && error.code() != Some("WRONGTYPE")
}

/// Whether nothing more is to be had from this connection: it is broken, or leads to a server that has been
/// demoted.
fn needs_another_connection(error: &RedisError) -> bool {
    let kind = error.kind();
    let demoted =
        kind == ErrorKind::Server(ServerErrorKind::ReadOnly) || kind == ErrorKind::Server(ServerErrorKind::MasterDown);
    demoted || error.is_unrecoverable_error() || error.is_connection_dropped()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn link() -> Link {
        let timeout = Duration::from_millis(50);
        let endpoint = Endpoint::new(&config::Redis::at("redis://127.0.0.1:1", timeout)).expect("a URL");
        Link::new(endpoint, timeout, Arc::default(), Arc::default())
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
        assert_eq!(link.connect().await, Ok(false));
        let first = link.health();
        assert_eq!((first.up, first.breaker.phase, first.breaker.failures), (Some(false), Phase::Closed, 1));
        assert_eq!(link.connect().await, Ok(false));
        assert_eq!(link.health().since, first.since);
        assert_eq!(link.connect().await, Ok(false));
        assert_eq!(link.health().breaker.phase, Phase::Open);
        assert!(matches!(link.connect().await, Err(Refused::Open(_))), "three failures open it");
    }
}
