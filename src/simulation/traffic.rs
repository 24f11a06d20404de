//! Requests and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};

use super::fleet::{Mood, Sight};
use super::flight::Flight;
use super::rules::{self, Observed};
use super::world::{Event, LAST, Step, World};
use crate::breaker::{Phase, View};
use crate::upstream::attempt::Attempt;
use crate::upstream::pool::Wish;
use crate::upstream::record::Cause;
use crate::upstream::retry::Trouble;

impl World {
    /// A request comes, and the next one is planned.
    pub(super) fn request(&mut self) -> Step {
        let id = self.history.requests;
        self.history.requests += 1;
        self.calm_down(id)?;
        if self.peace.and_then(|(_, from)| from).is_none_or(|from| id < from + LAST) {
            self.plan_about(Duration::from_secs_f64(1.0 / self.scenario.rate), Event::Request);
        }
        let mut flight = Flight::draw(&mut self.rng);
        if self.rng.unit() < self.scenario.leaving && self.peace.is_none() {
            self.plan_about(Duration::from_millis(300), Event::Leave(id));
        }
        self.spending.request(self.now);
        self.route.retries.iter().for_each(|retries| retries.request(self.now));
        let seen = self.seen();
        match self.route.split.pick(0, Wish { hash: flight.hash, tried: &[], now: self.now }, &mut |_, _| {}) {
            Ok(attempt) => self.launch(id, &mut flight, attempt, &seen)?,
            Err(why) => {
                self.note(|_| format!("{id} is refused: {why:?}"));
                self.history.refused += 1;
                rules::refused(&vec![false; self.targets.len()], &seen, &self.scenario, self.now)?;
                if self.is_over_for(id) && self.scenario.limit == u32::MAX {
                    return Err(format!("{id} was refused although all has been well for long: {why:?}"));
                }
                return Ok(());
            }
        }
        self.flights.insert(id, flight);
        Ok(())
    }

    /// The client of a request leaves, if it is still there.
    pub(super) fn leave(&mut self, id: u64) {
        let Some(mut flight) = self.flights.remove(&id) else { return };
        if let Some((mut attempt, at)) = flight.attempt.take() {
            self.note(|_| format!("the client of {id} leaves"));
            attempt.withdraw(self.now);
            self.over(id, at);
        }
    }

    /// The targets as they are before a choice.
    fn seen(&self) -> Vec<(View, Observed)> {
        self.targets.iter().map(|target| target.view(self.now)).zip(self.observed.iter().cloned()).collect()
    }

    fn launch(&mut self, id: u64, flight: &mut Flight, mut attempt: Attempt, seen: &[(View, Observed)]) -> Step {
        let target = attempt.member().target.clone();
        let at = self.targets.iter().position(|known| Arc::ptr_eq(known, &target)).unwrap_or_default();
        let tried: Vec<bool> = self.targets.iter().map(|target| flight.tried.contains(&target.id)).collect();
        if let Err(rule) = rules::admitted(at, &tried, seen, &self.scenario, self.now) {
            attempt.withdraw(self.now);
            return Err(format!("{id}: {rule}"));
        }
        let is_admitted = seen[at].1.admits(&seen[at].0, &self.scenario, self.now);
        flight.counts = is_admitted.then_some(self.now);
        if seen[at].0.phase == Phase::HalfOpen && is_admitted {
            self.observed[at].probe = Some((id, self.now));
            self.history.probes += 1;
        }
        self.observed[at].under_way += 1;
        self.observed[at].begun += 1;
        flight.tried.push(target.id);
        let route = self.route.clone();
        let per_try = |trouble| {
            let has_another = || route.split.has_another(0, &flight.tried, self.now);
            route.retries.as_ref()?.per_try_timeout(trouble, &flight.seen(), self.now, has_another)
        };
        let (connecting, waiting) = (per_try(Trouble::Connect), per_try(Trouble::Timeout));
        let mood = self.moods[at];
        let per_try = if matches!(mood, Mood::Refuses | Mood::Away) { connecting } else { waiting };
        let (after, sight) = mood.meet(per_try, &mut self.rng);
        flight.sent += u32::from(sight != Sight::NoConnection);
        if flight.sent > self.scenario.attempts || flight.sent > 1 && flight.method == Method::POST && !flight.has_key {
            return Err(format!("{id}, {}, is sent for the {}th time", flight.method, flight.sent));
        }
        self.note(|_| format!("{id} to t{at}, which is {mood:?}: {sight:?} after {after:?}"));
        self.coming.insert(id, sight);
        flight.attempt = Some((attempt, at));
        self.plan(after, Event::Sight(id, flight.tried.len()));
        Ok(())
    }

    /// The gateway sees what comes of the attempt of a request.
    pub(super) fn see(&mut self, id: u64) -> Step {
        let (Some(mut flight), Some(sight)) = (self.flights.remove(&id), self.coming.remove(&id)) else {
            return Ok(());
        };
        let Some((mut attempt, at)) = flight.attempt.take() else { return Ok(()) };
        let (now, name) = (self.now, HeaderValue::from_static("id"));
        self.note(|_| format!("{id} sees {sight:?} of t{at}"));
        let trouble = match sight {
            Sight::NoConnection => {
                attempt.fail(Cause::Connect("refused".into()), &name, now);
                Some(Trouble::Connect)
            }
            Sight::Timeout => {
                attempt.fail(Cause::Timeout("no answer".into()), &name, now);
                Some(Trouble::Timeout)
            }
            Sight::Broken => {
                attempt.fail(Cause::Broken("reset".into()), &name, now);
                (!flight.is_answered).then_some(Trouble::Reset)
            }
            Sight::Head(status, ends) => {
                flight.attempt = Some((attempt, at));
                return self.head(id, flight, status, ends);
            }
            Sight::End => {
                attempt.finish(now);
                None
            }
        };
        self.observed[at].row += u32::from(sight != Sight::End);
        drop(attempt);
        self.over(id, at);
        if let Some(trouble) = trouble {
            if self.again(id, &mut flight, trouble)? {
                self.flights.insert(id, flight);
            } else if self.is_over_for(id) {
                return Err(format!("{id} met {trouble:?} although all has been well for long"));
            }
        }
        Ok(())
    }

    /// The head of an answer has come, whose end will come after so long, if it does.
    fn head(&mut self, id: u64, mut flight: Flight, status: u16, ends: Option<Duration>) -> Step {
        let Some((mut attempt, at)) = flight.attempt.take() else { return Ok(()) };
        let (is_good, now) = (status < 500 && ends.is_some(), self.now);
        attempt.answered(status, None, &HeaderValue::from_static("id"), now);
        // Who was let through in another state of the circuit changes nothing; only the probe's answer closes it.
        let view = self.targets[at].view(now);
        let is_heard = flight.counts.is_some_and(|begun| begun > view.since || view.since == now);
        match is_good {
            true if is_heard => self.observed[at].row = 0,
            // One whose body breaks off fails when it does.
            _ => self.observed[at].row += u32::from(status >= 500),
        }
        if status >= 500 && self.again(id, &mut flight, Trouble::Status(status))? {
            attempt.finish(now);
            self.over(id, at);
        } else {
            if self.is_over_for(id) && !is_good {
                return Err(format!("{id} was answered {status} although all has been well for long"));
            }
            flight.is_answered = true;
            flight.attempt = Some((attempt, at));
            self.coming.insert(id, if ends.is_some() { Sight::End } else { Sight::Broken });
            self.plan(ends.unwrap_or(Duration::from_millis(10)), Event::Sight(id, flight.tried.len()));
            self.history.answered += u64::from(is_good);
        }
        self.flights.insert(id, flight);
        Ok(())
    }

    /// The request goes out again, if it may and there is somebody.
    fn again(&mut self, id: u64, flight: &mut Flight, trouble: Trouble) -> Result<bool, String> {
        let route = self.route.clone();
        let Some(retries) = &route.retries else { return Ok(false) };
        let seen = self.seen();
        let pick = || {
            let wish = Wish { hash: flight.hash, tried: &flight.tried, now: self.now };
            route.split.pick(0, wish, &mut |_, _| {}).ok()
        };
        let Some(attempt) = retries.again(trouble, &flight.seen(), self.now, pick) else { return Ok(false) };
        self.history.retries += 1;
        if trouble != Trouble::Connect {
            self.spending.retry(&self.scenario, self.now)?;
        }
        self.launch(id, flight, attempt, &seen)?;
        Ok(true)
    }

    /// The attempt of a request at a target is over.
    fn over(&mut self, id: u64, at: usize) {
        self.observed[at].under_way -= 1;
        self.observed[at].probe.take_if(|(probe, _)| *probe == id);
    }
}
