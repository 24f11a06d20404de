//! One request on its way to a target, and how that ended.

mod admit;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;

pub use self::admit::Refused;
use super::addresses::Turns;
use super::criteria::Mark;
use super::record::{Cause, LastFailure};
use super::target::{Member, Target};
use super::tried::{Connected, Course, Tried};
use crate::breaker::{Change, Outcome, Permit};

/// A probe whose request is still on its way from the client keeps others from probing for so long.
const UPLOAD_LEASE: Duration = Duration::from_secs(1);

/// One request on its way to a target. Settled exactly once; dropped unsettled (a client that hung up, a
/// task that was cancelled) it is neutral, and a probe's permit returns.
#[derive(Debug)]
pub struct Attempt {
    member: Arc<Member>,
    permit: Option<Permit>,
    state: AttemptState,
    /// Addresses that are left to be tried; `None` before the first one.
    addresses: Option<Turns>,
    begun: Instant,
    /// Since when it is the target's turn, if it is.
    asked: Option<Instant>,
    /// What is told of it.
    course: Course,
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
    /// It begins `now`, with what its breaker says `permit`s it, if that was asked.
    fn begins(member: &Arc<Member>, permit: Option<Permit>, now: Instant) -> Self {
        if let Some(share) = &member.share {
            share.enter();
        }
        member.target.record.sent();
        Attempt {
            member: member.clone(),
            course: Course { is_probe: permit.as_ref().is_some_and(Permit::is_probe), ..Course::default() },
            permit,
            state: AttemptState::Sent,
            addresses: None,
            begun: now,
            asked: Some(now),
        }
    }

    /// Where it went.
    pub fn member(&self) -> &Arc<Member> {
        &self.member
    }

    fn target(&self) -> &Target {
        &self.member.target
    }

    /// The next address to try to connect to. Each address of the target comes once.
    ///
    /// # Errors
    /// Why there is none, or none any more.
    pub fn next_address(&mut self) -> Result<SocketAddr, String> {
        if self.addresses.is_none() {
            self.addresses = Some(self.target().addresses.turns()?);
        }
        self.course.address = self.addresses.as_mut().and_then(Iterator::next);
        self.course.address.ok_or_else(|| "no address is left".to_owned())
    }

    /// There is a connection, which may have been `reused`.
    pub fn connected(&mut self, reused: bool, now: Instant) {
        self.course.connected = Some(Connected { after: self.age(now), reused });
    }

    /// What is told of it, of a request that began then.
    pub fn tried(&self, started: Instant, now: Instant) -> Tried {
        Tried {
            target: self.target().url.text().clone(),
            at: self.begun.saturating_duration_since(started),
            took: self.age(now),
            course: self.course.clone(),
        }
    }

    /// Whether [`Attempt::next_address`] has another one.
    pub fn has_more_addresses(&self) -> bool {
        self.addresses.as_ref().is_some_and(|addresses| addresses.len() > 0)
    }

    /// Its request has a body that comes from the client in its own time, for which the target is not to blame: a probe
    /// is the only one for no longer than a moment meanwhile.
    pub fn uploads(&mut self, now: Instant) {
        self.asked = None;
        if let Some(permit) = &self.permit {
            self.member.target.circuit.shorten(permit, now + UPLOAD_LEASE);
        }
    }

    /// All of its request has been sent.
    pub fn sent(&mut self, now: Instant) {
        if self.asked.is_none() {
            self.asked = Some(now);
            if let Some(permit) = &self.permit {
                self.member.target.circuit.renew(permit, now);
            }
        }
    }

    /// How long ago it began.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }

    /// How long the target has had all that it needs to answer.
    fn took(&self, now: Instant) -> Option<Duration> {
        self.asked.map(|since| now.saturating_duration_since(since))
    }

    /// The head of the final response has arrived, with the status of gRPC if it has one already. If it counts
    /// as a failure, that settles the attempt.
    pub fn answered(&mut self, status: u16, grpc: Option<u8>, request_id: &HeaderValue, now: Instant) {
        self.course.status = Some(status);
        if self.state != AttemptState::Sent {
            return;
        }
        let (took, target) = (self.took(now), &self.member.target);
        if let Some(took) = took {
            target.latency.seen(took, now);
            target.taken.seen(took, now);
            self.member.took.observe(took);
            if let Some(concurrency) = &self.member.concurrency {
                concurrency.answered(took, target.in_flight(), now);
            }
        }
        // Who answers before it has been asked all is quick.
        let mark = self.member.criteria.head(status, grpc, took.unwrap_or_default());
        if let Mark::Failed(cause) = mark {
            return self.fail(cause, request_id, now);
        }
        self.state = AttemptState::Answered;
        let change = self.permit.as_mut().and_then(|permit| {
            let circuit = &self.member.target.circuit;
            circuit.answered(permit, mark == Mark::Slow, now)
        });
        self.tell(change, None, now);
    }

    /// The status of gRPC has come after the body.
    pub fn ended(&mut self, grpc: u8, request_id: &HeaderValue, now: Instant) {
        if let Some(cause) = self.member.criteria.grpc(grpc) {
            self.fail(cause, request_id, now);
        }
    }

    /// The target failed.
    pub fn fail(&mut self, cause: Cause, request_id: &HeaderValue, now: Instant) {
        if self.state == AttemptState::Sent
            && matches!(cause, Cause::Timeout(_))
            && let Some(took) = self.took(now)
        {
            self.target().latency.seen(took, now);
            self.target().taken.seen(took, now);
            self.member.took.observe(took);
        }
        if matches!(cause, Cause::Timeout(_)) {
            self.target().leave_connections();
        }
        if matches!(cause, Cause::Connect(_)) || self.state == AttemptState::Sent && matches!(cause, Cause::Timeout(_))
        {
            self.member.doubt();
        }
        if self.settle(Outcome::Failure, Some(&cause), now) {
            self.course.cause = Some(cause.to_string().into());
            let failure = LastFailure { at: SystemTime::now(), cause, request_id: request_id.clone() };
            self.target().record.failed(failure);
        }
    }

    /// The request is over and nothing went wrong: a success if an answer came, else neutral.
    pub fn finish(&mut self, now: Instant) {
        let outcome = if self.state == AttemptState::Answered { Outcome::Success } else { Outcome::Neutral };
        self.settle(outcome, None, now);
    }

    /// It ended for a reason that says nothing about the target.
    pub fn withdraw(&mut self, now: Instant) {
        self.settle(Outcome::Neutral, None, now);
    }

    /// Whether this was the call that settled it.
    fn settle(&mut self, outcome: Outcome, cause: Option<&Cause>, now: Instant) -> bool {
        if std::mem::replace(&mut self.state, AttemptState::Settled) == AttemptState::Settled {
            return false;
        }
        self.course.outcome = Some(outcome);
        self.target().record.ended(outcome);
        if let Some(permit) = self.permit.take() {
            let change = self.member.target.circuit.settle(permit, outcome, now);
            self.tell(change, cause, now);
        }
        true
    }

    /// Logs what has become of the circuit.
    fn tell(&self, change: Option<Change>, cause: Option<&Cause>, now: Instant) {
        let url = self.target().url.as_str();
        match (change, cause) {
            (None, _) => {}
            (Some(Change::Closed), _) => log::info!("{url}: its circuit is closed again"),
            (Some(Change::Opened(until)), cause) => {
                let seconds = until.saturating_duration_since(now).as_secs_f64();
                let cause = cause.map_or_else(|| "slow answers".to_owned(), ToString::to_string);
                log::warn!("{url}: its circuit is open for {seconds:.1} s: {cause}");
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.state != AttemptState::Settled {
            self.withdraw(Instant::now());
        }
        if let Some(share) = &self.member.share {
            share.leave();
        }
        self.target().leave();
    }
}

#[cfg(test)]
mod tests;
