//! Answers whose heads are good and whose bodies are yet to come.

use super::*;

#[test]
fn the_head_of_a_good_answer_closes_although_the_body_goes_on() {
    let mut bench = Bench::half_open();
    let mut probe = bench.admit();
    bench.breaker.answered(&mut probe, false, bench.now);
    assert_eq!(bench.phase(), Phase::Closed);
    bench.now += COOLDOWN;
    bench.run(Outcome::Failure);
    bench.settle(probe, Outcome::Success);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 1), "it counts where its head came");
}

/// A peer that answers 200 and breaks off every body would else have three more to break off after each cooldown.
#[test]
fn a_probe_whose_body_breaks_off_opens_it_again() {
    let mut bench = Bench::half_open();
    let mut probe = bench.admit();
    bench.breaker.answered(&mut probe, false, bench.now);
    assert_eq!((bench.phase(), bench.breaker.calm()), (Phase::Closed, None));
    bench.now += SECOND;
    bench.settle(probe, Outcome::Failure);
    assert_eq!(bench.phase(), Phase::Open);
    let view = bench.breaker.view(bench.now);
    assert_eq!((view.retry_at, view.failures, view.trips), (Some(bench.now + COOLDOWN), 3, 2));
}

#[test]
fn a_probe_whose_body_breaks_off_after_others_went_well_is_one_failure() {
    let mut bench = Bench::half_open();
    let mut probe = bench.admit();
    bench.breaker.answered(&mut probe, false, bench.now);
    bench.run(Outcome::Success);
    bench.settle(probe, Outcome::Failure);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 1));
}

#[test]
fn a_probe_that_ends_well_leaves_the_calm() {
    for outcome in [Outcome::Success, Outcome::Neutral] {
        let mut bench = Bench::half_open();
        let mut probe = bench.admit();
        bench.breaker.answered(&mut probe, false, bench.now);
        bench.settle(probe, outcome);
        assert!(bench.breaker.calm().is_some(), "{outcome:?}");
    }
}

/// A peer that answers 200 and breaks off every body used to count 0, 1, 0, 1 … and never opened.
#[test]
fn bodies_that_break_off_open_the_circuit_although_their_heads_were_good() {
    let mut bench = Bench::closed();
    for failures in [1, 2] {
        let mut permit = bench.admit();
        bench.breaker.answered(&mut permit, false, bench.now);
        assert_eq!(bench.failures(), 0);
        bench.settle(permit, Outcome::Failure);
        assert_eq!(bench.failures(), failures);
    }
    let mut permit = bench.admit();
    bench.breaker.answered(&mut permit, false, bench.now);
    bench.settle(permit, Outcome::Failure);
    assert_eq!(bench.phase(), Phase::Open);
}

#[test]
fn a_success_in_between_ends_the_row_of_a_body_that_breaks_off_later() {
    let mut bench = Bench::closed();
    bench.run(Outcome::Failure);
    bench.run(Outcome::Failure);
    let mut stream = bench.admit();
    bench.breaker.answered(&mut stream, false, bench.now);
    bench.run(Outcome::Success);
    bench.settle(stream, Outcome::Failure);
    assert_eq!((bench.phase(), bench.failures()), (Phase::Closed, 1));
}

#[test]
fn failures_after_the_head_join_the_row_when_the_body_breaks_off() {
    let mut bench = Bench::closed();
    bench.run(Outcome::Failure);
    let mut stream = bench.admit();
    bench.breaker.answered(&mut stream, false, bench.now);
    bench.run(Outcome::Failure);
    assert_eq!(bench.failures(), 1);
    bench.settle(stream, Outcome::Failure);
    assert_eq!(bench.phase(), Phase::Open);
}

#[test]
fn a_long_body_that_ends_well_says_nothing_of_the_failures_since_its_head() {
    let mut bench = Bench::closed();
    let mut download = bench.admit();
    bench.breaker.answered(&mut download, false, bench.now);
    bench.run(Outcome::Failure);
    bench.run(Outcome::Failure);
    bench.settle(download, Outcome::Success);
    assert_eq!(bench.failures(), 2);
}

#[test]
fn a_body_that_ends_well_cannot_be_taken_back() {
    let mut bench = Bench::closed();
    bench.run(Outcome::Failure);
    let mut permit = bench.admit();
    bench.breaker.answered(&mut permit, false, bench.now);
    assert_eq!(bench.breaker.calm(), None, "the success may still be taken back");
    bench.settle(permit, Outcome::Success);
    assert!(bench.breaker.calm().is_some());
    // A neutral end (the client left) says nothing about the peer; the head's success stays.
    bench.run(Outcome::Failure);
    let mut permit = bench.admit();
    bench.breaker.answered(&mut permit, false, bench.now);
    bench.settle(permit, Outcome::Neutral);
    assert_eq!(bench.failures(), 0);
}
