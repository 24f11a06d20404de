//! One request on its way to a target, and how that ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;

use super::addresses::Turns;
use super::criteria::Mark;
use super::record::{Cause, LastFailure};
use super::target::{Member, Target};
use super::tried::{Connected, Course, Tried};
use crate::breaker::{self, Change, Outcome, Permit};

/// A probe whose request is still on its way from the client keeps others from probing for so long.
const UPLOAD_LEASE: Duration = Duration::from_secs(1);

/// Why a target gets no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its breaker says so.
    Breaker(breaker::Refused),
    /// It has as many under way as it may.
    Full,
    /// Its checks are bad; the next one may say otherwise, which comes in so long a time.
    Ill(Duration),
}

impl Refused {
    /// A target that stopped answering is full before its breaker opens: what matters then is the breaker.
    fn by_full(member: &Member, now: Instant) -> Self {
        let until = member.guarded.then(|| member.target.view(now).retry_at).flatten();
        until.map_or(Refused::Full, |until| Refused::Breaker(breaker::Refused::Open(until)))
    }
}

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
    /// Asks leave for an attempt at a target.
    ///
    /// # Errors
    /// Why there is none.
    pub fn admit(member: &Arc<Member>, now: Instant) -> Result<Self, Refused> {
        check(member)?;
        Attempt::enter(member, now, |member| match member.guarded {
            true => member.target.circuit.admit(now).map(Some),
            false => not_held(member),
        })
    }

    /// What [`Attempt::admit`] would say, without asking: nothing is taken.
    ///
    /// # Errors
    /// Why it would refuse.
    pub fn outlook(member: &Member, now: Instant) -> Result<(), Refused> {
        check(member)?;
        if member.target.in_flight() >= member.limit() {
            return Err(Refused::by_full(member, now));
        }
        let said = match member.guarded {
            true => member.target.circuit.outlook(now),
            false => not_held(member).map(drop),
        };
        said.map_err(Refused::Breaker)
    }

    /// An attempt that neither breaker nor checks are asked about, and that the breaker is not told of, unless somebody holds it open.
    ///
    /// # Errors
    /// Why there is none.
    pub fn anyway(member: &Arc<Member>, now: Instant) -> Result<Self, Refused> {
        Attempt::enter(member, now, not_held)
    }

    /// Whether [`Attempt::anyway`] would make one.
    pub fn anyway_outlook(member: &Member) -> bool {
        member.target.in_flight() < member.limit() && !member.target.circuit.is_held_open()
    }

    fn enter(
        member: &Arc<Member>,
        now: Instant,
        ask: impl FnOnce(&Member) -> Result<Option<Permit>, breaker::Refused>,
    ) -> Result<Self, Refused> {
        // Asking a breaker may take its probe, so it comes last.
        if !member.target.enter(member.limit()) {
            return Err(Refused::by_full(member, now));
        }
        let permit = ask(member).inspect_err(|_| member.target.leave()).map_err(Refused::Breaker)?;
        if let Some(share) = &member.share {
            share.enter();
        }
        member.target.record.sent();
        Ok(Attempt {
            member: member.clone(),
            course: Course { is_probe: permit.as_ref().is_some_and(Permit::is_probe), ..Course::default() },
            permit,
            state: AttemptState::Sent,
            addresses: None,
            begun: now,
            asked: Some(now),
        })
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

/// What the checks of a target say, if they matter.
fn check(member: &Member) -> Result<(), Refused> {
    match member.checks.as_ref().filter(|checks| checks.is_ill()) {
        Some(checks) => Err(Refused::Ill(checks.interval())),
        None => Ok(()),
    }
}

/// No permit: nobody is told how it ends.
fn not_held(member: &Member) -> Result<Option<Permit>, breaker::Refused> {
    match member.target.circuit.is_held_open() {
        true => Err(breaker::Refused::Held),
        false => Ok(None),
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
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::breaker::{Phase, Policy};
    use crate::config::units::GrpcStatus;
    use crate::upstream::concurrency::Concurrency;
    use crate::upstream::criteria::Criteria;
    use crate::upstream::record::Totals;
    use crate::upstream::registry::Blueprint;

    fn policy() -> Policy {
        Policy::in_a_row(NonZeroU32::new(3).expect("3"), Duration::from_secs(60), Duration::from_secs(90))
    }

    fn target() -> Target {
        Target::by(Blueprint { generation: 1, criteria: Criteria::none_but_5xx(), policy: Some(policy()), check: None })
    }

    fn member() -> Arc<Member> {
        Arc::new(Member::of(target()))
    }

    fn admit(member: &Arc<Member>, now: Instant) -> Attempt {
        Attempt::admit(member, now).expect("closed")
    }

    fn id() -> HeaderValue {
        HeaderValue::from_static("id-1")
    }

    #[test]
    fn every_attempt_is_counted_once_however_often_it_is_told_to_end() {
        let (member, now) = (member(), Instant::now());
        let mut failed = admit(&member, now);
        failed.answered(500, None, &id(), now);
        failed.fail(Cause::Broken("later".into()), &id(), now);
        failed.finish(now);
        drop(failed);
        let mut good = admit(&member, now);
        good.answered(200, None, &id(), now);
        good.finish(now);
        good.withdraw(now);
        drop(good);
        drop(admit(&member, now));
        let totals = Totals { requests: 3, successes: 1, failures: 1, neutrals: 1, retries: 0 };
        assert_eq!(member.target.record.totals(), totals);
        let last = member.target.record.last_failure().expect("one failure");
        assert_eq!((last.cause, last.request_id), (Cause::Status(500), id()));
    }

    #[test]
    fn a_dropped_probe_gives_its_permit_back() {
        let (member, now) = (member(), Instant::now());
        for _ in 0..3 {
            admit(&member, now).fail(Cause::Connect("refused".into()), &id(), now);
        }
        assert!(Attempt::admit(&member, now).is_err());
        let later = now + Duration::from_secs(60);
        let probe = Attempt::admit(&member, later).expect("the probe");
        assert!(Attempt::admit(&member, later).is_err());
        drop(probe);
        let mut probe = Attempt::admit(&member, later).expect("the next probe");
        probe.answered(204, None, &id(), later);
        assert_eq!(member.target.view(later).phase, Phase::Closed);
    }

    #[test]
    fn a_body_that_breaks_off_is_a_failure_and_an_answer_cut_by_the_client_is_none() {
        let (member, now) = (member(), Instant::now());
        let mut broken = admit(&member, now);
        broken.answered(200, None, &id(), now);
        broken.fail(Cause::Broken("reset".into()), &id(), now);
        assert_eq!(member.target.view(now).failures, 1);
        let mut left = admit(&member, now);
        left.answered(200, None, &id(), now);
        left.withdraw(now);
        assert_eq!(
            member.target.record.totals(),
            Totals { requests: 2, successes: 0, failures: 1, neutrals: 1, retries: 0 }
        );
    }

    #[test]
    fn a_status_of_grpc_after_the_body_takes_the_success_back() {
        let criteria = Criteria { grpc_statuses: vec![GrpcStatus::INTERNAL], ..Criteria::none_but_5xx() };
        let member = Arc::new(Member { criteria: Arc::new(criteria), ..Member::of(target()) });
        let now = Instant::now();
        for (status, failures) in [(13, 1), (0, 0), (13, 1), (13, 2)] {
            let mut attempt = admit(&member, now);
            attempt.answered(200, None, &id(), now);
            attempt.ended(status, &id(), now);
            attempt.finish(now);
            assert_eq!(member.target.view(now).failures, failures);
        }
        assert_eq!(member.target.record.last_failure().map(|last| last.cause), Some(Cause::Grpc(GrpcStatus::INTERNAL)));
        assert_eq!((member.target.record.totals().successes, member.target.record.totals().failures), (1, 3));
    }

    #[test]
    fn unguarded_attempts_are_counted_and_the_breaker_hears_nothing() {
        let target = target();
        let (member, now) = (Arc::new(Member { guarded: false, ..Member::of(target) }), Instant::now());
        for _ in 0..5 {
            admit(&member, now).fail(Cause::Connect("refused".into()), &id(), now);
            admit(&member, now).answered(500, None, &id(), now);
        }
        assert_eq!((member.target.view(now).phase, member.target.view(now).failures), (Phase::Closed, 0));
        assert_eq!(member.target.record.totals().failures, 10);
    }

    #[test]
    fn several_addresses_take_turns() {
        let (member, now) = (member(), Instant::now());
        assert!(admit(&member, now).next_address().is_err());
        let addresses: Vec<SocketAddr> =
            ["10.0.0.1:1", "10.0.0.2:1"].iter().map(|a| a.parse().expect("an address")).collect();
        member.target.addresses.found(Ok(addresses.clone()), "a");
        for first in [0, 1, 0, 1] {
            let mut attempt = admit(&member, now);
            assert_eq!(attempt.next_address(), Ok(addresses[first]));
            assert!(attempt.has_more_addresses());
            assert_eq!(attempt.next_address(), Ok(addresses[1 - first]));
            assert!(!attempt.has_more_addresses() && attempt.next_address().is_err());
        }
    }

    #[test]
    fn what_is_under_way_is_given_back_however_it_ends() {
        let (member, now) = (member(), Instant::now());
        let mut flying: Vec<Attempt> = (0..3).map(|_| admit(&member, now)).collect();
        assert_eq!(member.target.in_flight(), 3);
        flying[0].answered(200, None, &id(), now);
        flying[1].fail(Cause::Broken("reset".into()), &id(), now);
        assert_eq!(member.target.in_flight(), 3, "a body may still come");
        drop(flying);
        assert_eq!(member.target.in_flight(), 0);
        let target = target();
        let one = Some(Arc::new(Concurrency::Fixed(1)));
        let member = Arc::new(Member { concurrency: one, ..Member::of(target) });
        let only = admit(&member, now);
        assert_eq!(Attempt::admit(&member, now).expect_err("full"), Refused::Full);
        assert_eq!((member.target.in_flight(), member.target.record.totals().requests), (1, 1));
        drop(only);
        for _ in 0..3 {
            admit(&member, now).fail(Cause::Connect("refused".into()), &id(), now);
        }
        let _stuck = member.target.enter(u32::MAX);
        assert!(matches!(Attempt::admit(&member, now), Err(Refused::Breaker(_))), "full, but that is not why");
        member.target.leave();
        assert!(matches!(Attempt::admit(&member, now), Err(Refused::Breaker(_))));
        assert_eq!(member.target.in_flight(), 0, "what a breaker refuses is not under way");
    }

    #[test]
    fn an_attempt_that_is_made_anyway_passes_a_breaker_by_but_not_whoever_holds_it() {
        let (member, now) = (member(), Instant::now());
        (0..3).for_each(|_| admit(&member, now).fail(Cause::Connect("refused".into()), &id(), now));
        let mut anyway = Attempt::anyway(&member, now).expect("whatever the breaker says");
        anyway.answered(200, None, &id(), now);
        assert_eq!(member.target.view(now).phase, Phase::Open, "it says nothing to the breaker");
        member.target.circuit.hold(crate::breaker::Hold::Open, now);
        assert!(Attempt::anyway(&member, now).is_err());
    }
}
