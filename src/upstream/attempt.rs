//! One request on its way to a target, and how that ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use http::HeaderValue;

use super::criteria::Mark;
use super::target::{Addresses, Cause, LastFailure, Target};
use crate::breaker::{Outcome, Permit, Refused};

/// One request on its way to a target. Settled exactly once; dropped unsettled (a client that hung up, a
/// task that was cancelled) it is neutral, and a probe's permit returns.
#[derive(Debug)]
pub struct Attempt {
    target: Arc<Target>,
    permit: Option<Permit>,
    state: AttemptState,
    /// Addresses that are left to be tried; `None` before the first one.
    addresses: Option<Addresses>,
    begun: Instant,
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
    /// Asks leave for an attempt at `target`. With `guarded` false the breaker is neither asked nor told.
    ///
    /// # Errors
    /// Until when the breaker refuses.
    pub fn admit(target: &Arc<Target>, guarded: bool, now: Instant) -> Result<Self, Refused> {
        let permit = match &target.circuit {
            Some(circuit) if guarded => Some(circuit.admit(now)?),
            _ => None,
        };
        target.counts.requests.fetch_add(1, Ordering::Relaxed);
        Ok(Attempt { target: target.clone(), permit, state: AttemptState::Sent, addresses: None, begun: now })
    }

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
            self.addresses = Some(self.target.addresses()?);
        }
        self.addresses.as_mut().and_then(Iterator::next).ok_or_else(|| "no address is left".to_owned())
    }

    /// Whether [`Attempt::next_address`] has another one.
    pub fn has_more_addresses(&self) -> bool {
        self.addresses.as_ref().is_some_and(|addresses| addresses.len() > 0)
    }

    /// The head of the final response has arrived, with the status of gRPC if it has one already. If it counts
    /// as a failure, that settles the attempt.
    pub fn answered(&mut self, status: u16, grpc: Option<u8>, request_id: &HeaderValue, now: Instant) {
        if self.state != AttemptState::Sent {
            return;
        }
        let mark = self.target.criteria.head(status, grpc, now.saturating_duration_since(self.begun));
        if let Mark::Failed(cause) = mark {
            return self.fail(cause, request_id, now);
        }
        self.state = AttemptState::Answered;
        if let (Some(permit), Some(circuit)) = (&mut self.permit, &self.target.circuit) {
            circuit.answered(permit, mark == Mark::Slow, now);
        }
    }

    /// The status of gRPC has come after the body.
    pub fn ended(&mut self, grpc: u8, request_id: &HeaderValue, now: Instant) {
        if let Some(cause) = self.target.criteria.grpc(grpc) {
            self.fail(cause, request_id, now);
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
    use crate::breaker::{Phase, Policy};
    use crate::config::units::GrpcStatus;
    use crate::upstream::criteria::Criteria;
    use crate::upstream::target::Totals;

    fn target() -> Arc<Target> {
        let three = NonZeroU32::new(3).expect("3");
        let policy = Policy::in_a_row(three, Duration::from_secs(60), Duration::from_secs(90));
        Arc::new(Target::new("http://a:1".parse().expect("a URL"), Criteria::none_but_5xx(), Some(policy)))
    }

    fn id() -> HeaderValue {
        HeaderValue::from_static("id-1")
    }

    #[test]
    fn every_attempt_is_counted_once_however_often_it_is_told_to_end() {
        let (target, now) = (target(), Instant::now());
        let mut failed = Attempt::admit(&target, true, now).expect("closed");
        failed.answered(500, None, &id(), now);
        failed.fail(Cause::Broken("later".into()), &id(), now);
        failed.finish(now);
        drop(failed);
        let mut good = Attempt::admit(&target, true, now).expect("closed");
        good.answered(200, None, &id(), now);
        good.finish(now);
        good.withdraw(now);
        drop(good);
        drop(Attempt::admit(&target, true, now).expect("closed"));
        let totals = Totals { requests: 3, successes: 1, failures: 1, neutrals: 1 };
        assert_eq!(target.totals(), totals);
        let last = target.last_failure().expect("one failure");
        assert_eq!((last.cause, last.request_id), (Cause::Status(500), id()));
    }

    #[test]
    fn a_dropped_probe_gives_its_permit_back() {
        let (target, now) = (target(), Instant::now());
        for _ in 0..3 {
            Attempt::admit(&target, true, now).expect("closed").fail(Cause::Connect("refused".into()), &id(), now);
        }
        assert!(Attempt::admit(&target, true, now).is_err());
        let later = now + Duration::from_secs(60);
        let probe = Attempt::admit(&target, true, later).expect("the probe");
        assert!(Attempt::admit(&target, true, later).is_err());
        drop(probe);
        let mut probe = Attempt::admit(&target, true, later).expect("the next probe");
        probe.answered(204, None, &id(), later);
        assert_eq!(target.view(later).phase, Phase::Closed);
    }

    #[test]
    fn a_body_that_breaks_off_is_a_failure_and_an_answer_cut_by_the_client_is_none() {
        let (target, now) = (target(), Instant::now());
        let mut broken = Attempt::admit(&target, true, now).expect("closed");
        broken.answered(200, None, &id(), now);
        broken.fail(Cause::Broken("reset".into()), &id(), now);
        assert_eq!(target.view(now).failures, 1);
        let mut left = Attempt::admit(&target, true, now).expect("closed");
        left.answered(200, None, &id(), now);
        left.withdraw(now);
        assert_eq!(target.totals(), Totals { requests: 2, successes: 0, failures: 1, neutrals: 1 });
    }

    #[test]
    fn a_status_of_grpc_after_the_body_takes_the_success_back() {
        let policy = Policy::in_a_row(NonZeroU32::new(3).expect("3"), Duration::from_secs(60), Duration::from_secs(90));
        let criteria = Criteria { grpc_statuses: vec![GrpcStatus::INTERNAL], ..Criteria::none_but_5xx() };
        let target = Arc::new(Target::new("http://a:1".parse().expect("a URL"), criteria, Some(policy)));
        let now = Instant::now();
        for (status, failures) in [(13, 1), (0, 0), (13, 1), (13, 2)] {
            let mut attempt = Attempt::admit(&target, true, now).expect("closed");
            attempt.answered(200, None, &id(), now);
            attempt.ended(status, &id(), now);
            attempt.finish(now);
            assert_eq!(target.view(now).failures, failures);
        }
        assert_eq!(target.last_failure().map(|last| last.cause), Some(Cause::Grpc(GrpcStatus::INTERNAL)));
        assert_eq!((target.totals().successes, target.totals().failures), (1, 3));
    }

    #[test]
    fn unguarded_attempts_are_counted_and_the_breaker_hears_nothing() {
        let (target, now) = (target(), Instant::now());
        for _ in 0..5 {
            Attempt::admit(&target, false, now).expect("not asked").fail(Cause::Connect("refused".into()), &id(), now);
            Attempt::admit(&target, false, now).expect("not asked").answered(500, None, &id(), now);
        }
        assert_eq!((target.view(now).phase, target.view(now).failures), (Phase::Closed, 0));
        assert_eq!(target.totals().failures, 10);
    }

    #[test]
    fn several_addresses_take_turns() {
        let target = target();
        let now = Instant::now();
        assert!(Attempt::admit(&target, true, now).expect("closed").next_address().is_err());
        let addresses: Vec<SocketAddr> =
            ["10.0.0.1:1", "10.0.0.2:1"].iter().map(|a| a.parse().expect("an address")).collect();
        target.resolved(Ok(addresses.clone()));
        for first in [0, 1, 0, 1] {
            let mut attempt = Attempt::admit(&target, true, now).expect("closed");
            assert_eq!(attempt.next_address(), Ok(addresses[first]));
            assert!(attempt.has_more_addresses());
            assert_eq!(attempt.next_address(), Ok(addresses[1 - first]));
            assert!(!attempt.has_more_addresses() && attempt.next_address().is_err());
        }
    }
}
