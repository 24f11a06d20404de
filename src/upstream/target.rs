//! One target: its addresses, its circuit, and a record of how its attempts ended.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;

use super::breaker::{Outcome, Permit, Policy, Refused, View};
use super::circuit::Circuit;
use crate::config::units::{StatusRange, TargetUrl};

/// One target URL. All routes that name it share it, its circuit included.
#[derive(Debug)]
pub struct Target {
    /// As the config spells it.
    pub url: TargetUrl,
    /// The statuses that are failures.
    failing: Vec<StatusRange>,
    circuit: Option<Circuit>,
    created: Instant,
    addresses: ArcSwap<Resolution>,
    /// Which of several addresses is next.
    next: AtomicUsize,
    counts: Counts,
    last_failure: Mutex<Option<LastFailure>>,
}

#[derive(Debug)]
enum Resolution {
    Known(Vec<SocketAddr>),
    /// Why not.
    Unknown(String),
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    successes: AtomicU64,
    failures: AtomicU64,
    neutrals: AtomicU64,
}

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
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Unresolved(why) => f.write_str(why),
            Cause::Connect(why) => write!(f, "cannot connect: {why}"),
            Cause::Timeout(why) => write!(f, "timed out: {why}"),
            Cause::Broken(why) => write!(f, "broken answer: {why}"),
            Cause::Status(status) => write!(f, "status {status}"),
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
    /// A target that is not resolved yet, and for which `failing` statuses are failures. Without a policy it
    /// has no breaker.
    pub fn new(url: TargetUrl, failing: Vec<StatusRange>, policy: Option<Policy>) -> Self {
        let now = Instant::now();
        let unresolved = format!("\"{}\" has not been resolved yet", url.host);
        Target {
            failing,
            circuit: policy.map(|policy| Circuit::new(policy, now)),
            created: now,
            addresses: ArcSwap::from_pointee(Resolution::Unknown(unresolved)),
            next: AtomicUsize::new(0),
            counts: Counts::default(),
            last_failure: Mutex::new(None),
            url,
        }
    }

    /// The addresses to try, in the order of this turn; of several, each is first in turn.
    ///
    /// # Errors
    /// Why there is none.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        match &**self.addresses.load() {
            Resolution::Known(addresses) => {
                let mut addresses = addresses.clone();
                if let several @ 2.. = addresses.len() {
                    addresses.rotate_left(self.next.fetch_add(1, Ordering::Relaxed) % several);
                }
                Ok(addresses)
            }
            Resolution::Unknown(why) => Err(why.clone()),
        }
    }

    /// Takes the result of a lookup: addresses, of which there is at least one, or why there are none.
    pub(super) fn resolved(&self, found: Result<Vec<SocketAddr>, String>) {
        let known = self.addresses.load();
        match (found, &**known) {
            (Ok(addresses), Resolution::Known(same)) if addresses == *same => {}
            (Ok(addresses), _) => {
                log::debug!("{}: resolved to {addresses:?}", self.url);
                self.addresses.store(Arc::new(Resolution::Known(addresses)));
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

    /// Asks leave for an attempt. With `guarded` false the breaker is neither asked nor told.
    ///
    /// # Errors
    /// Until when the breaker refuses.
    pub fn admit(self: &Arc<Self>, guarded: bool, now: Instant) -> Result<Attempt, Refused> {
        let permit = match &self.circuit {
            Some(circuit) if guarded => Some(circuit.admit(now)?),
            _ => None,
        };
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Attempt { target: self.clone(), permit, state: AttemptState::Sent, addresses: None })
    }

    /// The breaker at `now`; without one it shows as closed for ever.
    pub fn view(&self, now: Instant) -> View {
        match &self.circuit {
            Some(circuit) => circuit.view(now),
            None => View {
                phase: super::breaker::Phase::Closed,
                failures: 0,
                since: self.created,
                retry_at: None,
                trips: 0,
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

    fn is_failure(&self, status: u16) -> bool {
        self.failing.iter().any(|range| (range.first..=range.last).contains(&status))
    }
}

/// One request on its way to a target. Settled exactly once; dropped unsettled (a client that hung up, a
/// task that was cancelled) it is neutral, and a probe's permit returns.
#[derive(Debug)]
pub struct Attempt {
    target: Arc<Target>,
    permit: Option<Permit>,
    state: AttemptState,
    /// Addresses that are left to be tried; `None` before the first one.
    addresses: Option<std::vec::IntoIter<SocketAddr>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptState {
    /// Nothing has come back.
    Sent,
    /// The head of a good answer has.
    Answered,
    /// It is over.
    Settled,
}

impl Attempt {
    /// Where it went.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The next address to try to connect to. Each address of the target comes once.
    ///
    /// # Errors
    /// Why there is none, or none any more.
    pub fn next_address(&mut self) -> Result<SocketAddr, String> {
        if self.addresses.is_none() {
            self.addresses = Some(self.target.addresses()?.into_iter());
        }
        self.addresses.as_mut().and_then(Iterator::next).ok_or_else(|| "no address is left".to_owned())
    }

    /// Whether [`Attempt::next_address`] has another one.
    pub fn has_more_addresses(&self) -> bool {
        self.addresses.as_ref().is_some_and(|addresses| addresses.len() > 0)
    }

    /// The head of the final response has arrived. A failing status settles the attempt.
    pub fn answered(&mut self, status: u16, request_id: &HeaderValue, now: Instant) {
        if self.state != AttemptState::Sent {
            return;
        }
        if self.target.is_failure(status) {
            self.fail(Cause::Status(status), request_id, now);
            return;
        }
        self.state = AttemptState::Answered;
        if let (Some(permit), Some(circuit)) = (&mut self.permit, &self.target.circuit) {
            circuit.answered(permit, now);
        }
    }

    /// The target failed.
    pub fn fail(&mut self, cause: Cause, request_id: &HeaderValue, now: Instant) {
        if self.settle(Outcome::Failure, now) {
            let failure = LastFailure { at: SystemTime::now(), cause, request_id: request_id.clone() };
            *self.target.last_failure.lock() = Some(failure);
        }
    }

    /// The request is over and nothing went wrong: a success if an answer came, else neutral.
    pub fn finish(&mut self, now: Instant) {
        let outcome = if self.state == AttemptState::Answered { Outcome::Success } else { Outcome::Neutral };
        self.settle(outcome, now);
    }

    /// It ended for a reason that says nothing about the target.
    pub fn withdraw(&mut self, now: Instant) {
        self.settle(Outcome::Neutral, now);
    }

    /// Whether this was the call that settled it.
    fn settle(&mut self, outcome: Outcome, now: Instant) -> bool {
        if std::mem::replace(&mut self.state, AttemptState::Settled) == AttemptState::Settled {
            return false;
        }
        let counts = &self.target.counts;
        let count = match outcome {
            Outcome::Success => &counts.successes,
            Outcome::Failure => &counts.failures,
            Outcome::Neutral => &counts.neutrals,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let (Some(permit), Some(circuit)) = (self.permit.take(), &self.target.circuit) {
            circuit.settle(permit, outcome, now);
        }
        true
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.state != AttemptState::Settled {
            self.withdraw(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::upstream::breaker::Phase;

    fn target() -> Arc<Target> {
        let policy = Policy {
            failures: NonZeroU32::new(3).expect("3"),
            cooldown: Duration::from_secs(60),
            lease: Duration::from_secs(90),
        };
        let statuses = vec![StatusRange { first: 500, last: 599 }];
        Arc::new(Target::new("http://a:1".parse().expect("a URL"), statuses, Some(policy)))
    }

    fn id() -> HeaderValue {
        HeaderValue::from_static("id-1")
    }

    #[test]
    fn every_attempt_is_counted_once_however_often_it_is_told_to_end() {
        let (target, now) = (target(), Instant::now());
        let mut failed = target.admit(true, now).expect("closed");
        failed.answered(500, &id(), now);
        failed.fail(Cause::Broken("later".into()), &id(), now);
        failed.finish(now);
        drop(failed);
        let mut good = target.admit(true, now).expect("closed");
        good.answered(200, &id(), now);
        good.finish(now);
        good.withdraw(now);
        drop(good);
        drop(target.admit(true, now).expect("closed"));
        let totals = Totals { requests: 3, successes: 1, failures: 1, neutrals: 1 };
        assert_eq!(target.totals(), totals);
        let last = target.last_failure().expect("one failure");
        assert_eq!((last.cause, last.request_id), (Cause::Status(500), id()));
    }

    #[test]
    fn a_dropped_probe_gives_its_permit_back() {
        let (target, now) = (target(), Instant::now());
        for _ in 0..3 {
            target.admit(true, now).expect("closed").fail(Cause::Connect("refused".into()), &id(), now);
        }
        assert!(target.admit(true, now).is_err());
        let later = now + Duration::from_secs(60);
        let probe = target.admit(true, later).expect("the probe");
        assert!(target.admit(true, later).is_err());
        drop(probe);
        let mut probe = target.admit(true, later).expect("the next probe");
        probe.answered(204, &id(), later);
        assert_eq!(target.view(later).phase, Phase::Closed);
    }

    #[test]
    fn a_body_that_breaks_off_is_a_failure_and_an_answer_cut_by_the_client_is_none() {
        let (target, now) = (target(), Instant::now());
        let mut broken = target.admit(true, now).expect("closed");
        broken.answered(200, &id(), now);
        broken.fail(Cause::Broken("reset".into()), &id(), now);
        assert_eq!(target.view(now).failures, 1);
        let mut left = target.admit(true, now).expect("closed");
        left.answered(200, &id(), now);
        left.withdraw(now);
        assert_eq!(target.totals(), Totals { requests: 2, successes: 0, failures: 1, neutrals: 1 });
    }

    #[test]
    fn unguarded_attempts_are_counted_and_the_breaker_hears_nothing() {
        let (target, now) = (target(), Instant::now());
        for _ in 0..5 {
            target.admit(false, now).expect("not asked").fail(Cause::Connect("refused".into()), &id(), now);
            target.admit(false, now).expect("not asked").answered(500, &id(), now);
        }
        assert_eq!((target.view(now).phase, target.view(now).failures), (Phase::Closed, 0));
        assert_eq!(target.totals().failures, 10);
    }

    #[test]
    fn several_addresses_take_turns() {
        let target = target();
        let now = Instant::now();
        assert!(target.admit(true, now).expect("closed").next_address().is_err());
        let addresses: Vec<SocketAddr> =
            ["10.0.0.1:1", "10.0.0.2:1"].iter().map(|a| a.parse().expect("an address")).collect();
        target.resolved(Ok(addresses.clone()));
        for first in [0, 1, 0, 1] {
            let mut attempt = target.admit(true, now).expect("closed");
            assert_eq!(attempt.next_address(), Ok(addresses[first]));
            assert!(attempt.has_more_addresses());
            assert_eq!(attempt.next_address(), Ok(addresses[1 - first]));
            assert!(!attempt.has_more_addresses() && attempt.next_address().is_err());
        }
    }
}
