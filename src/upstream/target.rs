//! One target: its addresses, its circuit, and a record of how attempts at it ended.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;

use super::criteria::Criteria;
use crate::breaker::circuit::Circuit;
use crate::breaker::{Phase, Policy, View};
use crate::config::units::{GrpcStatus, TargetUrl};

/// One target URL. All routes that name it share it, its circuit included.
#[derive(Debug)]
pub struct Target {
    /// As the config spells it.
    pub url: TargetUrl,
    /// What counts as a failure.
    pub(super) criteria: Criteria,
    pub(super) circuit: Option<Circuit>,
    created: Instant,
    addresses: ArcSwap<Resolution>,
    /// Which of several addresses is next.
    next: AtomicUsize,
    pub(super) counts: Counts,
    pub(super) last_failure: Mutex<Option<LastFailure>>,
}

#[derive(Debug)]
enum Resolution {
    Known(Arc<[SocketAddr]>),
    /// Why not.
    Unknown(String),
}

/// [`Totals`], as they grow.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) successes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) neutrals: AtomicU64,
}

/// The addresses of a target, each once, beginning with the one whose turn it is.
#[derive(Debug)]
pub struct Addresses {
    known: Arc<[SocketAddr]>,
    first: usize,
    given: usize,
}

impl Iterator for Addresses {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        let at = (self.first + self.given).checked_rem(self.known.len())?;
        let left = self.size_hint().0 > 0;
        self.given += usize::from(left);
        left.then(|| self.known[at])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.known.len() - self.given;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Addresses {}

/// How often attempts ended how, since the target is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Attempts sent, those still under way included.
    pub requests: u64,
    /// Attempts that ended well.
    pub successes: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Attempts that say nothing about the target.
    pub neutrals: u64,
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

impl Target {
    /// A target that is not resolved yet. Without a policy it has no breaker.
    pub fn new(url: TargetUrl, criteria: Criteria, policy: Option<Policy>) -> Self {
        let now = Instant::now();
        let unresolved = format!("\"{}\" has not been resolved yet", url.host);
        Target {
            criteria,
            circuit: policy.map(|policy| Circuit::new(policy, now)),
            created: now,
            addresses: ArcSwap::from_pointee(Resolution::Unknown(unresolved)),
            next: AtomicUsize::new(0),
            counts: Counts::default(),
            last_failure: Mutex::new(None),
            url,
        }
    }

    /// The addresses to try; of several, each is first in turn.
    ///
    /// # Errors
    /// Why there is none.
    pub fn addresses(&self) -> Result<Addresses, String> {
        let known = match &**self.addresses.load() {
            Resolution::Known(known) => known.clone(),
            Resolution::Unknown(why) => return Err(why.clone()),
        };
        let first = if known.len() > 1 { self.next.fetch_add(1, Ordering::Relaxed) % known.len() } else { 0 };
        Ok(Addresses { known, first, given: 0 })
    }

    /// Takes the result of a lookup: addresses, of which there is at least one, or why there are none.
    pub(super) fn resolved(&self, found: Result<Vec<SocketAddr>, String>) {
        let known = self.addresses.load();
        match (found, &**known) {
            (Ok(addresses), Resolution::Known(same)) if addresses[..] == **same => {}
            (Ok(addresses), _) => {
                log::debug!("{}: resolved to {addresses:?}", self.url);
                self.addresses.store(Arc::new(Resolution::Known(addresses.into())));
            }
            (Err(why), Resolution::Known(_)) => log::debug!("{}: {why}; its known addresses stay in use", self.url),
            (Err(why), Resolution::Unknown(same)) => {
                if why != *same {
                    log::warn!("{}: {why}", self.url);
                }
                self.addresses.store(Arc::new(Resolution::Unknown(why)));
            }
        }
    }

    /// The breaker at `now`; without one it shows as closed for ever.
    pub fn view(&self, now: Instant) -> View {
        match &self.circuit {
            Some(circuit) => circuit.view(now),
            None => View {
                phase: Phase::Closed,
                failures: 0,
                since: self.created,
                retry_at: None,
                trips: 0,
                recent: None,
                held: false,
            },
        }
    }

    /// The counters.
    pub fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            requests: read(&self.counts.requests),
            successes: read(&self.counts.successes),
            failures: read(&self.counts.failures),
            neutrals: read(&self.counts.neutrals),
        }
    }

    /// The most recent failure, if there was any.
    pub fn last_failure(&self) -> Option<LastFailure> {
        self.last_failure.lock().clone()
    }
}
