//! What has to hold after each step, told from outside: by what was sent and seen, not by what the breakers believe.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::scenario::Scenario;
use crate::breaker::{Phase, View};
use crate::upstream::target::Target;

/// What an observer knows of a target.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Attempts under way.
    pub under_way: u32,
    /// The probe that was sent last, and when, while it may still decide.
    pub probe: Option<(u64, Instant)>,
    /// Failures since the last answer that stays good; at least as many as in a row.
    pub row: u32,
    /// Attempts that were begun.
    pub begun: u64,
    /// When its circuit was seen to open.
    pub opened: Option<Instant>,
    /// As its circuit was shown last.
    pub last: Option<View>,
}

/// Counts of the last ten seconds.
#[derive(Default)]
pub struct Spending {
    requests: VecDeque<Instant>,
    retries: VecDeque<Instant>,
}

type Held = Result<(), String>;

fn hold(holds: bool, what: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(what()) }
}

impl Observed {
    /// Whether its circuit and its limit let a request through.
    pub fn admits(&self, view: &View, scenario: &Scenario, now: Instant) -> bool {
        let by_circuit = match view.phase {
            Phase::Closed => true,
            Phase::Open => false,
            Phase::HalfOpen => self.probe.is_none_or(|(_, sent)| now >= sent + scenario.lease),
        };
        by_circuit && self.under_way < scenario.limit
    }
}

/// An attempt has begun at target `at`, when all targets were seen like this.
pub fn admitted(at: usize, tried: &[bool], seen: &[(View, Observed)], scenario: &Scenario, now: Instant) -> Held {
    let (view, target) = &seen[at];
    hold(!tried[at], || format!("t{at} got the same request twice"))?;
    hold(target.under_way < scenario.limit, || format!("t{at} had {} under way", target.under_way))?;
    hold(!(view.held && view.phase == Phase::Open), || format!("t{at} is held open and got a request"))?;
    if target.admits(view, scenario, now) {
        return Ok(());
    }
    hold(scenario.tries_anyway, || format!("t{at} got a request: {view:?}, probe {:?}", target.probe))?;
    refused(tried, seen, scenario, now)
}

/// There was no target, when all were seen like this.
pub fn refused(tried: &[bool], seen: &[(View, Observed)], scenario: &Scenario, now: Instant) -> Held {
    let mut others = seen.iter().enumerate().filter(|(at, _)| !tried[*at]);
    match others.find(|(_, (view, target))| target.admits(view, scenario, now)) {
        Some((at, (view, _))) => Err(format!("t{at} would have taken the request: {view:?}")),
        None => Ok(()),
    }
}

/// What has to hold for a target at any time.
pub fn always(at: usize, target: &Target, observed: &Observed, scenario: &Scenario, now: Instant) -> Held {
    let (view, totals) = (target.view(now), target.record.totals());
    let (counted, under_way) = (target.in_flight(), observed.under_way);
    hold(counted == under_way, || format!("t{at} has {under_way} under way and counts {counted}"))?;
    let ended = totals.successes + totals.failures + totals.neutrals;
    // What has failed by its head is settled and still under way.
    let is_right = (ended..=ended + u64::from(under_way)).contains(&totals.requests);
    hold(is_right, || format!("t{at} lost count: {totals:?}, {under_way} under way"))?;
    if let (Some(failures), false) = (scenario.failures, view.held) {
        let is_due = view.phase == Phase::Closed && view.failures >= failures;
        hold(!is_due, || format!("t{at} is closed after {} failures", view.failures))?;
    }
    let Some(last) = &observed.last else { return Ok(()) };
    let has_opened = last.phase == Phase::Closed && view.phase == Phase::Open && !view.held && !last.held;
    if let (true, Some(failures)) = (has_opened, scenario.failures) {
        hold(observed.row >= failures, || format!("t{at} opened after {} failures", observed.row))?;
    }
    let is_early = |opened: Instant| now < opened + scenario.shortest_cooldown && view.phase != Phase::Open;
    hold(!observed.opened.is_some_and(is_early), || format!("t{at} did not stay open long enough"))?;
    if let Some(until) = view.retry_at {
        let longest = now + scenario.longest_cooldown;
        hold(until <= longest, || format!("t{at} stays open until {:?}", until - now))?;
    }
    Ok(())
}

impl Spending {
    /// A request has come.
    pub fn request(&mut self, now: Instant) {
        self.requests.push_back(now);
    }

    /// One goes out again that had been sent.
    pub fn retry(&mut self, scenario: &Scenario, now: Instant) -> Held {
        self.retries.push_back(now);
        // Counts are of ten seconds give or take half of one.
        let forget = |from: &mut VecDeque<Instant>, millis| {
            while from.front().is_some_and(|at| now.duration_since(*at) > Duration::from_millis(millis)) {
                from.pop_front();
            }
            from.len() as u64
        };
        let (requests, retries) = (forget(&mut self.requests, 10_000), forget(&mut self.retries, 9_500));
        let (share, floor) = scenario.budget;
        let allowed = (requests as f64 * share).ceil() as u64 + floor;
        hold(retries <= allowed, || format!("{retries} retries for {requests} requests"))
    }
}
