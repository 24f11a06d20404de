use std::num::NonZeroU32;

use super::*;
use crate::breaker::{Phase, Policy};
use crate::config::units::GrpcStatus;
use crate::upstream::criteria::Criteria;
use crate::upstream::record::Totals;
use crate::upstream::registry::Blueprint;

fn policy() -> Policy {
    Policy::in_a_row(NonZeroU32::new(3).expect("3"), Duration::from_secs(60), Duration::from_secs(90))
}

pub fn target() -> Target {
    Target::by(Blueprint { generation: 1, criteria: Criteria::none_but_5xx(), policy: Some(policy()), check: None })
}

pub fn member() -> Arc<Member> {
    Arc::new(Member::of(target()))
}

pub fn admit(member: &Arc<Member>, now: Instant) -> Attempt {
    Attempt::admit(member, now).expect("closed")
}

pub fn id() -> HeaderValue {
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
}
