//! The requests of a route among groups of targets, each its share: for canaries.

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::attempt::Attempt;
use super::hash;
use super::pool::{Told, Unavailable, Wish};
use super::roster::Roster;
use super::target::Member;

/// Targets that share a part of the requests.
#[derive(Debug)]
pub struct Group {
    /// What it is called; the only one need not be called anything.
    pub name: Arc<str>,
    /// How many of the requests it gets, beside the others; 0: none.
    pub weight: u32,
    /// Its targets.
    pub roster: Arc<Roster>,
}

/// The groups of a route.
#[derive(Debug)]
pub struct Split {
    /// At least one, and one with a weight.
    pub groups: SmallVec<[Group; 1]>,
}

impl Split {
    /// The group that a request belongs to: always the same for the same `key`, else by `chance`, which is any number.
    ///
    /// By weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005), so that
    /// when a weight changes, only so many keys move as have to, and those of a canary that grows stay with it.
    pub fn choose(&self, key: Option<u64>, chance: u64) -> usize {
        if self.groups.len() == 1 {
            return 0;
        }
        let key = key.unwrap_or_else(|| hash::of(&chance.to_be_bytes()));
        let score = |group: &Group| {
            let drawn = hash::of(&[&key.to_be_bytes(), group.name.as_bytes()].concat());
            // From 0 up to 1, neither of which it is.
            let drawn = ((drawn >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
            f64::from(group.weight) / -drawn.ln()
        };
        let best = self.groups.iter().map(score).enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
        best.map_or(0, |(at, _)| at)
    }

    /// The group of that name, if it gets requests.
    pub fn named(&self, name: &[u8]) -> Option<usize> {
        self.groups.iter().position(|group| group.name.as_bytes() == name && group.weight > 0)
    }

    /// An attempt at a target of group `first`; where that has none that takes it, at one of the others.
    ///
    /// # Errors
    /// Why there is none in any of them.
    pub fn pick(&self, first: usize, wish: Wish<'_>, told: Told<'_>) -> Result<Attempt, Unavailable> {
        let found = self.find(first, |roster| roster.pick(wish, told));
        found.or_else(|why| self.from(first).find_map(|roster| roster.pick_anyway(wish.tried, wish.now)).ok_or(why))
    }

    /// Who would be found: see [`Roster::preview`].
    ///
    /// # Errors
    /// Why there would be nobody.
    pub fn preview(&self, first: usize, wish: Wish<'_>, told: Told<'_>) -> Result<Arc<Member>, Unavailable> {
        let found = self.find(first, |roster| roster.preview(wish, told));
        found.or_else(|why| self.from(first).find_map(|roster| roster.preview_anyway()).ok_or(why))
    }

    fn find<T>(&self, first: usize, mut ask: impl FnMut(&Roster) -> Result<T, Unavailable>) -> Result<T, Unavailable> {
        let mut why: Option<Unavailable> = None;
        for roster in self.from(first) {
            match ask(roster) {
                Ok(found) => return Ok(found),
                Err(also) => why = Some(why.map_or(also, |why| why.and(also))),
            }
        }
        Err(why.unwrap_or_default())
    }

    /// Whether there is a target that a request of group `first` could be sent to beside those that were tried.
    pub fn has_another(&self, first: usize, tried: &[u32], now: Instant) -> bool {
        self.from(first).any(|roster| roster.has_another(tried, now))
    }

    /// The targets of a group, then those of the others that get requests.
    fn from(&self, first: usize) -> impl Iterator<Item = &Arc<Roster>> {
        let others = self.groups.iter().enumerate().filter(move |(at, group)| *at != first && group.weight > 0);
        self.groups.get(first).into_iter().chain(others.map(|(_, group)| group)).map(|group| &group.roster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::pool::{Algorithm, OnAllOpen};

    fn split(groups: &[(&str, u32)]) -> Split {
        let group = |(name, weight): &(&str, u32)| Group {
            name: (*name).into(),
            weight: *weight,
            roster: Roster::new(Vec::new(), Algorithm::RoundRobin, OnAllOpen::Fail, None),
        };
        Split { groups: groups.iter().map(group).collect() }
    }

    fn chosen(split: &Split) -> Vec<usize> {
        (0..20_000_u64).map(|key| split.choose(Some(hash::of(&key.to_be_bytes())), 0)).collect()
    }

    #[test]
    fn each_group_gets_its_share_by_key_and_by_chance() {
        let split = split(&[("stable", 95), ("canary", 5), ("off", 0)]);
        let by_key = chosen(&split);
        let by_chance: Vec<usize> = (0..20_000).map(|chance| split.choose(None, chance)).collect();
        for chosen in [by_key, by_chance] {
            let count = |group| chosen.iter().filter(|chosen| **chosen == group).count();
            assert!((850..1_150).contains(&count(1)) && count(2) == 0, "{} {}", count(1), count(2));
        }
        assert_eq!((split.named(b"canary"), split.named(b"off"), split.named(b"x")), (Some(1), None, None));
    }

    #[test]
    fn a_canary_that_grows_keeps_whom_it_had() {
        let (before, after) =
            (chosen(&split(&[("stable", 95), ("canary", 5)])), chosen(&split(&[("stable", 80), ("canary", 20)])));
        assert!(before.iter().zip(&after).all(|(before, after)| *before == 0 || *after == 1));
        assert_eq!(split(&[("", 1)]).choose(None, 7), 0);
    }
}
