//! Requests for decisions, and the calls that they become.

use std::io;
use std::num::NonZeroU32;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{RedisError, RedisResult};
use smallvec::SmallVec;
use tokio::sync::{mpsc, oneshot};

use super::lanes::Lanes;
use super::lease::Leases;
use super::link::Link;
use super::script::{Mode, Question};
use crate::plugin::rate_limit::algorithm::{Answer, Decision};
use crate::plugin::rate_limit::fingerprint::Fingerprint;
use crate::plugin::rate_limit::rule::Asked;

/// Requests that are taken up at a time.
const AT_ONCE: usize = 1_024;

/// A request to be decided.
#[derive(Debug)]
pub struct Request {
    /// What it asks.
    pub asked: Asked,
    /// When it was made: the time-out counts from here.
    pub at: Instant,
    /// Takes the decision. Dropped, there is none. Without it, nothing is asked: what was used is counted.
    pub answer: Option<oneshot::Sender<Decision>>,
    /// How often it has been sent elsewhere.
    pub hops: u8,
    /// The server has not got the slot yet that it is asked for, and is told that we know.
    pub asking: bool,
}

/// Requests that have to go to another server, and the error that says where.
#[derive(Debug)]
pub struct Redirected {
    /// In the order they came.
    pub requests: Vec<Request>,
    /// `MOVED` or `ASK`.
    pub error: RedisError,
}

impl Request {
    /// A request that has not been anywhere.
    pub fn new(asked: Asked, at: Instant, answer: Option<oneshot::Sender<Decision>>) -> Self {
        Request { asked, at, answer, hops: 0, asking: false }
    }

    /// Requests in the same lane go together.
    fn lane(&self) -> Fingerprint {
        self.asked.lane.aside(u8::from(self.answer.is_none()) | u8::from(self.asking) << 1)
    }
}

/// The requests in one lane, in the order they came.
type Call = (Fingerprint, Vec<Request>);

/// Decides on what comes from `requests`, until their other end is gone.
///
/// All calls that can go at a moment go in one round trip; several may be on their way.
pub async fn serve(
    link: &Link,
    leases: &Leases,
    redirects: &mpsc::UnboundedSender<Redirected>,
    mut requests: mpsc::UnboundedReceiver<Request>,
) {
    let (mut lanes, mut arrived, mut flights) = (Lanes::default(), Vec::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            count = requests.recv_many(&mut arrived, AT_ONCE) => {
                if count == 0 {
                    return;
                }
                for request in arrived.drain(..) {
                    lanes.arrive(request.lane(), request);
                }
            }
            Some((calls, flight)) = flights.next(), if !flights.is_empty() => {
                // Who serves them has gone: those who wait are told by their channel's end.
                land(&mut lanes, leases, calls, flight).into_iter().for_each(|away| drop(redirects.send(away)));
            }
        }
        let mut calls = lanes.depart();
        if calls.is_empty() {
            continue;
        }
        let now = Instant::now();
        calls.retain_mut(|(lane, requests)| {
            spend(leases, requests, now);
            if requests.is_empty() {
                lanes.land(lane);
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
        let leased = request.answer.is_some() && request.asked.limits.leased;
        leased.then(|| leases.spend(&request.asked, now)).flatten()
    };
    let decisions: Vec<Decision> = requests.iter().map_while(by_lease).collect();
    for (request, decision) in requests.drain(..decisions.len()).zip(decisions) {
        // Who does not wait any more has been counted.
        let _ = request.answer.map(|waiting| waiting.send(decision));
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
    // Some have waited while another call was on its way, and nobody waits for longer than the time-out.
    let first = calls.iter().filter_map(|(_, requests)| Some(requests.first()?.at)).min();
    let deadline = first.unwrap_or(at) + link.timeout;
    let mut handle = (*leave.connection).clone();
    let answers = tokio::time::timeout_at(deadline.into(), link.scripts.ask(&mut handle, &questions)).await;
    let answers = answers.unwrap_or_else(|_| Err(RedisError::from(io::Error::from(io::ErrorKind::TimedOut))));
    link.report(leave, &answers, Instant::now());
    (calls, Flight { at, answers: answers.unwrap_or_default() })
}

/// What the requests of one lane ask together.
fn question(requests: &[Request], leases: &Leases, now: Instant) -> Option<Question> {
    let first = requests.first()?;
    let keys = first.asked.counters.iter().map(|c| (first.asked.rule(c).redis_key(&c.client), c.charge));
    let mut counters: SmallVec<[_; 1]> = keys.collect();
    if first.answer.is_some() {
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
fn land(lanes: &mut Lanes<Fingerprint, Request>, leases: &Leases, calls: Vec<Call>, flight: Flight) -> Vec<Redirected> {
    let mut redirected = Vec::new();
    let mut answers = flight.answers.into_iter();
    for (counter, requests) in calls {
        match answers.next() {
            Some(Ok(answer)) => {
                if let Some(Request { asked, answer: Some(_), .. }) = requests.first()
                    && asked.limits.leased
                {
                    let spent = u32::try_from(requests.len()).unwrap_or(u32::MAX);
                    leases.hold(asked, &answer, flight.at, spent);
                }
                settle(requests, &answer);
                lanes.land(&counter);
            }
            Some(Err(error)) if error.redirect_node().is_some() => {
                let behind = lanes.crash(&counter);
                redirected.push(Redirected { requests: requests.into_iter().chain(behind).collect(), error });
            }
            _ => drop(lanes.crash(&counter)),
        }
    }
    redirected
}

/// As many as were granted pass, in the order they came.
fn settle(requests: Vec<Request>, answer: &Answer) {
    for (request, place) in requests.into_iter().zip(1..) {
        let Some(waiting) = request.answer else { continue };
        // Who does not wait any more has been counted, as if it had left a moment later.
        let _ = waiting.send(answer.decision(request.asked.charges(), place));
    }
}
