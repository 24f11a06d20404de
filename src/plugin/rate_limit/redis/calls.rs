//! Requests for decisions, and the calls that they become.

use std::num::NonZeroU32;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{RedisError, RedisResult};
use smallvec::SmallVec;
use tokio::sync::mpsc;

use super::lease::Leases;
use super::link::Link;
use super::queue::{Call, Queue, Request};
use super::script::{Mode, Question};
use crate::plugin::rate_limit::algorithm::{Answer, Decision};

/// Requests that have to go to another server, and the error that says where.
#[derive(Debug)]
pub struct Redirected {
    /// In the order they came.
    pub requests: Vec<Request>,
    /// `MOVED` or `ASK`.
    pub error: RedisError,
}

/// Decides on what comes to `queue`, until that is closed.
///
/// All calls that can go at a moment go in one round trip; several may be on their way.
pub async fn serve(link: &Link, leases: &Leases, redirects: &mpsc::UnboundedSender<Redirected>, queue: &Queue) {
    let mut flights = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = queue.rung() => {}
            Some((calls, flight)) = flights.next(), if !flights.is_empty() => {
                // Who serves them has gone: those who wait are told by their channel's end.
                land(queue, leases, calls, flight).into_iter().for_each(|away| drop(redirects.send(away)));
            }
        }
        let Some(mut calls) = queue.depart() else { return };
        if calls.is_empty() {
            continue;
        }
        let now = Instant::now();
        calls.retain_mut(|(lane, requests)| {
            // Who has lost patience has been decided on elsewhere, or has gone.
            requests.retain(|request| !request.answer.is_closed());
            spend(leases, requests, now);
            if requests.is_empty() {
                queue.land(lane);
            }
            !requests.is_empty()
        });
        if !calls.is_empty() {
            flights.push(fly(link, leases, calls, now));
        }
    }
}

/// While requests have waited, a lease may have come that they can pass by.
fn spend(leases: &Leases, requests: &mut Vec<Request>, now: Instant) {
    let by_lease = |request: &Request| {
        let leased = !request.is_charge && request.asked.limits.leased;
        leased.then(|| leases.spend(&request.asked, now)).flatten()
    };
    let decisions: Vec<Decision> = requests.iter().map_while(by_lease).collect();
    for (request, decision) in requests.drain(..decisions.len()).zip(decisions) {
        // Who does not wait any more has been counted.
        let _ = request.answer.send(decision);
    }
}

/// What came of calls that went together.
struct Flight {
    /// When they were sent.
    at: Instant,
    /// For each one, in their order; none if the whole of it failed.
    answers: Vec<RedisResult<Answer>>,
}

/// Sends calls in one round trip at `at`, and gives them back with what came of them.
async fn fly(link: &Link, leases: &Leases, calls: Vec<Call>, at: Instant) -> (Vec<Call>, Flight) {
    let Some(leave) = link.enter(at) else { return (calls, Flight { at, answers: Vec::new() }) };
    let ask = |(_, requests): &Call| question(requests, leases, at);
    let questions: Vec<Question> = calls.iter().filter_map(ask).collect();
    // Who has waited for it while another call was on its way loses patience earlier.
    let answers = link.ask(leave, &questions, at + link.timeout).await.unwrap_or_default();
    (calls, Flight { at, answers })
}

/// What the requests of one lane ask together.
fn question(requests: &[Request], leases: &Leases, now: Instant) -> Option<Question> {
    let first = requests.first()?;
    let keys = first.asked.counters.iter().map(|c| (first.asked.rule(c).redis_key(&c.client), c.charge));
    let mut counters: SmallVec<[_; 1]> = keys.collect();
    if !first.is_charge {
        let wanted = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        let spare = if first.asked.limits.leased { leases.wish(&first.asked, now) } else { 0 };
        return Some(Question { counters, wanted, mode: Mode::Ask(spare), asking: first.asking });
    }
    for (place, (_, charge)) in counters.iter_mut().enumerate() {
        let costs = requests.iter().map(|request| request.asked.counters[place].charge.cost.get());
        charge.cost = NonZeroU32::new(costs.fold(0, u32::saturating_add))?;
    }
    Some(Question { counters, wanted: 1, mode: Mode::Charge, asking: first.asking })
}

/// Tells the requests what came of their calls, and gives back those who have to go elsewhere. Without an
/// answer there is no hope for those either who wait for the next one.
fn land(queue: &Queue, leases: &Leases, calls: Vec<Call>, flight: Flight) -> Vec<Redirected> {
    let mut redirected = Vec::new();
    let mut answers = flight.answers.into_iter();
    for (counter, requests) in calls {
        match answers.next() {
            Some(Ok(answer)) => {
                if let Some(Request { asked, is_charge: false, .. }) = requests.first()
                    && asked.limits.leased
                {
                    let spent = u32::try_from(requests.len()).unwrap_or(u32::MAX);
                    leases.hold(asked, &answer, flight.at, spent);
                }
                settle(requests, &answer);
                queue.land(&counter);
            }
            Some(Err(error)) if error.redirect_node().is_some() => {
                let behind = queue.crash(&counter);
                redirected.push(Redirected { requests: requests.into_iter().chain(behind).collect(), error });
            }
            _ => drop(queue.crash(&counter)),
        }
    }
    redirected
}

/// As many as were granted pass, in the order they came.
fn settle(requests: Vec<Request>, answer: &Answer) {
    for (request, place) in requests.into_iter().zip(1..) {
        // Who does not wait any more has been counted, as if it had left a moment later.
        let _ = request.answer.send(answer.decision(request.asked.charges(), place));
    }
}
