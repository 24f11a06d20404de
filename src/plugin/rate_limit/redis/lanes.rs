//! Who waits for which counter.
//!
//! Each counter has a lane while somebody wants it: one call in flight, and those who came meanwhile, who go
//! together in the next one. So a counter that everybody wants costs one call at a time, however many want
//! it, and each of them is still counted. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash};

use crate::plugin::rate_limit::fingerprint::Hashed;

/// Lanes of counters `K`, with waiting `W`.
#[derive(Debug)]
pub struct Lanes<K, W> {
    lanes: HashMap<K, Lane<W>, BuildHasherDefault<Hashed>>,
    /// Counters that somebody waits for and no call is in flight for.
    ready: Vec<K>,
}

#[derive(Debug)]
struct Lane<W> {
    in_flight: bool,
    /// In the order they came.
    waiting: Vec<W>,
}

impl<K, W> Default for Lanes<K, W> {
    fn default() -> Self {
        Lanes { lanes: HashMap::default(), ready: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, W> Lanes<K, W> {
    /// Somebody wants `counter`. Says whether that is the first one who can go.
    pub fn arrive(&mut self, counter: K, who: W) -> bool {
        let lane = self.lanes.entry(counter.clone()).or_insert(Lane { in_flight: false, waiting: Vec::new() });
        let can_go = !lane.in_flight && lane.waiting.is_empty();
        lane.waiting.push(who);
        if can_go {
            self.ready.push(counter);
        }
        can_go && self.ready.len() == 1
    }

    /// All who can go now, by counter; their calls are in flight from here on.
    pub fn depart(&mut self) -> Vec<(K, Vec<W>)> {
        let mut calls = Vec::with_capacity(self.ready.len());
        for counter in self.ready.drain(..) {
            if let Some(lane) = self.lanes.get_mut(&counter) {
                lane.in_flight = true;
                calls.push((counter, std::mem::take(&mut lane.waiting)));
            }
        }
        calls
    }

    /// The call for `counter` has been answered: who waits may go next. Says whether those are the first who can.
    pub fn land(&mut self, counter: &K) -> bool {
        let Some(lane) = self.lanes.get_mut(counter) else { return false };
        lane.in_flight = false;
        if lane.waiting.is_empty() {
            self.lanes.remove(counter);
            return false;
        }
        self.ready.push(counter.clone());
        self.ready.len() == 1
    }

    /// The call for `counter` has failed: gives back those who wait, for whom there is no hope either.
    pub fn crash(&mut self, counter: &K) -> Vec<W> {
        self.lanes.remove(counter).map_or_else(Vec::new, |lane| lane.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_come_during_a_call_go_together_in_the_next_one() {
        let mut lanes = Lanes::default();
        assert_eq!([("a", 1), ("b", 2), ("a", 3)].map(|(lane, who)| lanes.arrive(lane, who)), [true, false, false]);
        assert_eq!(lanes.depart(), [("a", vec![1, 3]), ("b", vec![2])]);
        assert!(!lanes.arrive("a", 4), "it has to wait");
        lanes.arrive("a", 5);
        assert_eq!(lanes.depart(), [], "one call at a time");
        assert_eq!([lanes.land(&"b"), lanes.land(&"a")], [false, true]);
        assert!(!lanes.arrive("a", 6), "others can go already");
        assert_eq!(lanes.depart(), [("a", vec![4, 5, 6])]);
        lanes.land(&"a");
        assert_eq!(lanes.depart(), []);
        assert!(lanes.lanes.is_empty(), "{lanes:?}");
    }

    #[test]
    fn those_who_wait_for_a_call_that_fails_are_given_back() {
        let mut lanes = Lanes::default();
        lanes.arrive("a", 1);
        lanes.depart();
        lanes.arrive("a", 2);
        assert_eq!(lanes.crash(&"a"), [2]);
        assert!(lanes.crash(&"a").is_empty());
        lanes.land(&"a");
        lanes.arrive("a", 3);
        assert_eq!(lanes.depart(), [("a", vec![3])]);
    }
}
