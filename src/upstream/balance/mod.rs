//! Which target of many is asked first, and which next.
//!
//! Not the algorithms of pingora-load-balancing: those count repeated looks at one target as tries, so that under
//! concurrency a healthy target can be missed. Here every target is asked at most once, and none is left out.
//! Whoever would rather not (it is warming up, it has more to do than others) is asked again at the very end,
//! and then it has to. The first to be asked is found at once, however many targets there are.
//!
//! Pure: chance, turns and loads are handed in.

mod ring;
mod schedule;

use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};

use smallvec::SmallVec;

pub use self::ring::{Ring, is_over};
pub use self::schedule::{Schedule, reduced};
use crate::rng::Rng;

/// How targets are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// In turn, each as often as its weight says. When a target is passed over, the turn moves on for
    /// everybody: were it to fall to the neighbour, that one would carry the share of the one that is down.
    RoundRobin,
    /// Of two by chance, the one with less load: nearly as good as the least of all (Mitzenmacher, "The power
    /// of two choices in randomized load balancing", 2001), and requests that come together do not all
    /// find the same one.
    TwoChoices,
    /// By a hash of the request.
    Hash,
    /// By chance.
    Random,
}

/// Targets with their weights, and how they are chosen.
#[derive(Debug)]
pub struct Balance {
    algorithm: Algorithm,
    count: usize,
    schedule: Schedule,
    ring: Option<Ring>,
}

/// What a choice depends on.
pub struct Circumstances<'c, L> {
    /// Whose turn it is; counted on.
    pub turn: &'c AtomicUsize,
    /// Chance.
    pub rng: &'c mut Rng,
    /// Of the request's key.
    pub hash: u64,
    /// How much a target has to do, by its weight.
    pub load: L,
}

/// What a target says to a request.
pub enum Answer<T> {
    /// Yes.
    Yes(T),
    /// If nobody else takes it.
    RatherNot,
    /// No.
    No,
}

impl Balance {
    /// Targets, each with what it is known by and its weight, which is not 0.
    pub fn new(algorithm: Algorithm, targets: &[(u128, u32)]) -> Self {
        let weights: Vec<u32> = targets.iter().map(|(_, weight)| *weight).collect();
        let hashed = algorithm == Algorithm::Hash && !targets.is_empty();
        Balance {
            algorithm,
            count: targets.len(),
            schedule: Schedule::new(&weights),
            ring: hashed.then(|| Ring::new(targets)),
        }
    }

    /// The first target that says yes, and what it gave. Each is asked at most once whether it would, and none
    /// after a yes; those that would rather not are asked once more, with `true`: whether they have to.
    pub fn pick<T, L: Fn(usize) -> f64>(
        &self,
        circumstances: Circumstances<'_, L>,
        mut ask: impl FnMut(usize, bool) -> Answer<T>,
    ) -> Option<(usize, T)> {
        if self.count == 0 {
            return None;
        }
        match (self.algorithm, &self.ring) {
            (Algorithm::Hash, Some(ring)) => self.ask_all(ring.walk(circumstances.hash), &mut ask),
            (Algorithm::TwoChoices, _) => self.ask_all(self.better_first(circumstances), &mut ask),
            (Algorithm::Random, _) | (Algorithm::Hash, None) => self.pick_by_chance(circumstances.rng, ask),
            (Algorithm::RoundRobin, _) => {
                let turn = || self.schedule.target(circumstances.turn.fetch_add(1, Ordering::Relaxed));
                self.ask_all(iter::repeat_with(turn), &mut ask)
            }
        }
    }

    /// The same, whatever the algorithm, by chance.
    pub fn pick_by_chance<T>(
        &self,
        rng: &mut Rng,
        mut ask: impl FnMut(usize, bool) -> Answer<T>,
    ) -> Option<(usize, T)> {
        match self.count {
            0 => None,
            _ => self.ask_all(iter::repeat_with(|| self.by_chance(rng)), &mut ask),
        }
    }

    fn by_chance(&self, rng: &mut Rng) -> usize {
        self.schedule.target(rng.below(self.schedule.len() as u64) as usize)
    }

    /// Two by chance, the one with less to do before the other, then more by chance.
    fn better_first<'c, L: Fn(usize) -> f64>(
        &'c self,
        circumstances: Circumstances<'c, L>,
    ) -> impl Iterator<Item = usize> + use<'c, L> {
        let Circumstances { rng, load, .. } = circumstances;
        let first = self.by_chance(rng);
        // With very different weights it may take a while to draw another one: then it is the neighbour.
        let mut draws = iter::repeat_with(|| self.by_chance(rng)).take(3);
        let second = draws.find(|other| *other != first).unwrap_or((first + 1) % self.count);
        let pair = if load(second) < load(first) { [second, first] } else { [first, second] };
        pair.into_iter().chain(iter::repeat_with(|| self.by_chance(rng)))
    }

    /// Asks in this order, as far as it brings up new ones, then whoever is left.
    fn ask_all<T>(
        &self,
        mut order: impl Iterator<Item = usize>,
        ask: &mut impl FnMut(usize, bool) -> Answer<T>,
    ) -> Option<(usize, T)> {
        let first = order.next()?;
        let mut reluctant = Vec::new();
        match ask(first, false) {
            Answer::Yes(given) => return Some((first, given)),
            Answer::RatherNot => reluctant.push(first),
            Answer::No => {}
        }
        let mut asked = Asked::new(self.count);
        asked.insert(first);
        // Others take turns meanwhile, and chance repeats itself: what was left out comes last.
        let rest = (0..self.count).map(|offset| (first + offset) % self.count);
        for target in order.take(2 * self.count).chain(rest) {
            if !asked.insert(target) {
                continue;
            }
            match ask(target, false) {
                Answer::Yes(given) => return Some((target, given)),
                Answer::RatherNot => reluctant.push(target),
                Answer::No => {}
            }
        }
        reluctant.into_iter().find_map(|target| match ask(target, true) {
            Answer::Yes(given) => Some((target, given)),
            Answer::RatherNot | Answer::No => None,
        })
    }
}

/// A set of targets, without an allocation for up to 256.
struct Asked(SmallVec<[u64; 4]>);

impl Asked {
    fn new(count: usize) -> Self {
        Asked(SmallVec::from_elem(0, count.div_ceil(64)))
    }

    /// Whether it was not in before.
    fn insert(&mut self, target: usize) -> bool {
        let (word, bit) = (&mut self.0[target / 64], 1 << (target % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

#[cfg(test)]
mod tests;
