//! What happens, in the order of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fleet::{Mood, Sight};
use super::flight::Flight;
use super::history::{Broken, History};
use super::rules::{self, Observed, Spending};
use super::scenario::{REQUESTS, Scenario};
use crate::breaker::{Hold, Phase};
use crate::config;
use crate::plugin::rate_limit::Store;
use crate::rng::{self, Rng};
use crate::snapshot::{Route, Snapshot};
use crate::upstream::target::Target;

/// Steps that are shown when a rule is broken.
const SHOWN: usize = 40;
/// Requests of the end, in which all has to be well.
pub(super) const LAST: u64 = 400;

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Request,
    Weather(usize),
    Operator,
    /// Something is seen of the attempt of that request which is its so-manieth.
    Sight(u64, usize),
    Leave(u64),
}

/// A gateway's route, its targets and its clients.
pub struct World {
    seed: u64,
    pub(super) scenario: Scenario,
    pub(super) rng: Rng,
    start: Instant,
    pub(super) now: Instant,
    pub(super) route: Arc<Route>,
    pub(super) targets: Vec<Arc<Target>>,
    pub(super) moods: Vec<Mood>,
    pub(super) observed: Vec<Observed>,
    pub(super) spending: Spending,
    pub(super) flights: HashMap<u64, Flight>,
    /// What will be seen of an attempt, by its request.
    pub(super) coming: HashMap<u64, Sight>,
    agenda: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    planned: u64,
    /// Since when all targets are well for good, and from which request on all has to be well.
    pub(super) peace: Option<(Instant, Option<u64>)>,
    pub(super) history: History,
    steps: VecDeque<(Duration, String)>,
}

pub(super) type Step = Result<(), String>;

impl World {
    /// That of a seed, in which nothing has happened yet.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::seeded(seed + 1);
        // Chance within the gateway is that of this thread.
        rng::seed_local(seed + 1);
        let scenario = Scenario::draw(&mut rng);
        let loaded = config::parse("simulation", &scenario.config, &|_| None);
        let loaded = loaded.unwrap_or_else(|errors| panic!("{errors:?}\n{}", scenario.config));
        let start = Instant::now();
        let snapshot = Snapshot::new(&loaded.config, Arc::new(Store::new(None, start)), start);
        let route = snapshot.routes[0].clone();
        let targets: Vec<_> =
            route.split.groups[0].roster.pool().members().map(|member| member.target.clone()).collect();
        let mut world = World {
            moods: vec![Mood::Well(20); targets.len()],
            observed: vec![Observed::default(); targets.len()],
            seed,
            scenario,
            rng,
            start,
            now: start,
            route,
            targets,
            spending: Spending::default(),
            flights: HashMap::new(),
            coming: HashMap::new(),
            agenda: BinaryHeap::new(),
            planned: 0,
            peace: None,
            history: History::default(),
            steps: VecDeque::new(),
        };
        world.plan(Duration::ZERO, Event::Request);
        (0..world.targets.len()).for_each(|at| world.plan_about(world.scenario.spell, Event::Weather(at)));
        world.plan_about(Duration::from_secs(300), Event::Operator);
        world
    }

    /// Everything that happens.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn run(mut self) -> Result<History, Broken> {
        while let Some(Reverse((at, _, event))) = self.agenda.pop() {
            self.now = at;
            if let Err(rule) = self.step(event).and_then(|()| self.look()) {
                let (seed, at) = (self.seed, self.now - self.start);
                return Err(Broken { seed, at, rule, config: self.scenario.config, steps: self.steps });
            }
        }
        self.history.length = self.now - self.start;
        self.history.trips = self.targets.iter().map(|target| target.view(self.now).trips).sum();
        Ok(self.history)
    }

    fn step(&mut self, event: Event) -> Step {
        match event {
            Event::Request => self.request(),
            Event::Weather(at) => {
                if self.peace.is_none() {
                    self.moods[at] = Mood::draw(&mut self.rng);
                    self.note(|world| format!("t{at} is {:?}", world.moods[at]));
                    self.plan_about(self.scenario.spell, Event::Weather(at));
                }
                Ok(())
            }
            Event::Operator => {
                self.operate();
                Ok(())
            }
            Event::Sight(id, number) => {
                match self.flights.get(&id).is_some_and(|flight| flight.tried.len() == number) {
                    true => self.see(id),
                    false => Ok(()),
                }
            }
            Event::Leave(id) => {
                self.leave(id);
                Ok(())
            }
        }
    }

    /// After enough requests everybody is well, and when every circuit has had time to notice, it has to have closed.
    pub(super) fn calm_down(&mut self, id: u64) -> Step {
        match self.peace {
            None if id == REQUESTS => {
                self.moods.fill(Mood::Well(20));
                self.targets
                    .iter()
                    .filter(|target| target.view(self.now).held)
                    .for_each(|target| target.circuit.reset(self.now));
                self.peace = Some((self.now, None));
                self.note(|_| "all are well from now on".to_owned());
            }
            Some((since, None)) => {
                let needed = self.scenario.longest_cooldown + self.scenario.lease + Duration::from_secs(30);
                if id >= REQUESTS + LAST && self.now > since + needed {
                    self.peace = Some((since, Some(id)));
                    self.observed.iter_mut().for_each(|target| target.begun = 0);
                    for (at, target) in self.targets.iter().enumerate() {
                        let view = target.view(self.now);
                        if view.phase != Phase::Closed {
                            return Err(format!("t{at} has been well for {:?} and is {view:?}", self.now - since));
                        }
                    }
                }
            }
            Some((_, Some(from))) if id == from + LAST => {
                if let Some(at) = self.observed.iter().position(|target| target.begun == 0) {
                    return Err(format!("t{at} is well and got none of {LAST} requests"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a request comes when all has been well for long enough.
    pub(super) fn is_over_for(&self, id: u64) -> bool {
        self.peace.and_then(|(_, from)| from).is_some_and(|from| id >= from)
    }

    fn operate(&mut self) {
        if self.peace.is_some() {
            return;
        }
        let at = self.rng.below(self.targets.len() as u64) as usize;
        let circuit = &self.targets[at].circuit;
        let what = self.rng.below(6);
        match what {
            0 => circuit.hold(Hold::Open, self.now),
            1 => circuit.hold(Hold::Closed, self.now),
            2 => circuit.reconsider(self.now),
            _ => circuit.reset(self.now),
        }
        (self.observed[at].last, self.observed[at].opened) = (None, None);
        self.note(|_| format!("an operator does {what} to t{at}"));
        self.plan_about(Duration::from_secs(120), Event::Operator);
    }

    /// The rules that hold at any time; what is seen now is what was seen last.
    fn look(&mut self) -> Step {
        for (at, (target, observed)) in self.targets.iter().zip(&mut self.observed).enumerate() {
            rules::always(at, target, observed, &self.scenario, self.now)?;
            let view = target.view(self.now);
            let was_open = observed.last.is_some_and(|last| last.phase == Phase::Open);
            match view.phase {
                Phase::Open if view.held => observed.opened = None,
                Phase::Open if !was_open => observed.opened = observed.last.map(|_| self.now),
                Phase::Open => {}
                _ => observed.opened = None,
            }
            if view.phase != Phase::HalfOpen {
                observed.probe = None;
            }
            observed.last = Some(view);
        }
        Ok(())
    }

    pub(super) fn note(&mut self, step: impl FnOnce(&Self) -> String) {
        let entry = (self.now - self.start, step(self));
        let known = self.history.digest.to_be_bytes();
        let digest = [&known[..], &entry.0.as_nanos().to_be_bytes(), entry.1.as_bytes()].concat();
        self.history.digest = crate::upstream::hash::of(&digest);
        if self.steps.len() == SHOWN {
            self.steps.pop_front();
        }
        self.steps.push_back(entry);
    }

    pub(super) fn plan(&mut self, after: Duration, event: Event) {
        self.planned += 1;
        self.agenda.push(Reverse((self.now + after, self.planned, event)));
    }

    /// Some time from now: `mean` on average, as things happen that do not know of one another.
    pub(super) fn plan_about(&mut self, mean: Duration, event: Event) {
        let after = mean.mul_f64(-(1.0 - self.rng.unit()).ln());
        self.plan(after, event);
    }
}
