//! What is remembered of how attempts at a target ended.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use parking_lot::Mutex;

use crate::breaker::Outcome;
use crate::config::units::GrpcStatus;

/// One target's.
#[derive(Debug, Default)]
pub struct Record {
    requests: AtomicU64,
    successes: AtomicU64,
    failures: AtomicU64,
    neutrals: AtomicU64,
    retries: AtomicU64,
    last_failure: Mutex<Option<LastFailure>>,
}

/// How often attempts ended how, since the target is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Attempts sent, those still under way included.
    pub requests: u64,
    /// Attempts that ended well.
    pub successes: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Attempts that say nothing about the target.
    pub neutrals: u64,
    /// Attempts after which the request went out again.
    pub retries: u64,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its host name has no address.
    Unresolved(String),
    /// No connection came about.
    Connect(String),
    /// It took too long, to connect or to answer.
    Timeout(String),
    /// The connection broke, or what came was no HTTP.
    Broken(String),
    /// It answered with a failing status.
    Status(u16),
    /// And with one of gRPC.
    Grpc(GrpcStatus),
    /// It answered, after so long.
    Slow(Duration),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Unresolved(why) => f.write_str(why),
            Cause::Connect(why) => write!(f, "cannot connect: {why}"),
            Cause::Timeout(why) => write!(f, "timed out: {why}"),
            Cause::Broken(why) => write!(f, "broken answer: {why}"),
            Cause::Status(status) => write!(f, "status {status}"),
            Cause::Grpc(status) => write!(f, "gRPC status {status}"),
            Cause::Slow(took) => write!(f, "slow answer: {} ms", took.as_millis()),
        }
    }
}

/// The most recent failure.
#[derive(Clone, Debug)]
pub struct LastFailure {
    /// When it was noticed.
    pub at: SystemTime,
    /// What happened.
    pub cause: Cause,
    /// The request that met it.
    pub request_id: HeaderValue,
}

impl Record {
    /// One more was sent.
    pub fn sent(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// One has ended.
    pub fn ended(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Success => &self.successes,
            Outcome::Failure => &self.failures,
            Outcome::Neutral => &self.neutrals,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Its request goes out again.
    pub fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// This is why the last one failed.
    pub fn failed(&self, failure: LastFailure) {
        *self.last_failure.lock() = Some(failure);
    }

    /// The counters.
    pub fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            requests: read(&self.requests),
            successes: read(&self.successes),
            failures: read(&self.failures),
            neutrals: read(&self.neutrals),
            retries: read(&self.retries),
        }
    }

    /// The most recent failure, if there was any.
    pub fn last_failure(&self) -> Option<LastFailure> {
        self.last_failure.lock().clone()
    }
}
