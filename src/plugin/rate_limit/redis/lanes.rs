//! Who waits for which counter.
//!
//! Each counter has a lane while somebody wants it: one call in flight, and those who came meanwhile, who go
//! together in the next one. So a counter that everybody wants costs one call at a time, however many want
//! it, and each of them is still counted. Pure.

use std::collections::HashMap;
use std::hash::Hash;

/// Lanes of counters `K`, with waiting `W`.
#[derive(Debug)]
pub struct Lanes<K, W> {
    lanes: HashMap<K, Lane<W>>,
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
        Lanes { lanes: HashMap::new(), ready: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash, W> Lanes<K, W> {
    /// Somebody wants `counter`.
    pub fn arrive(&mut self, counter: K, who: W) {
        let lane = self.lanes.entry(counter.clone()).or_insert(Lane { in_flight: false, waiting: Vec::new() });
        if !lane.in_flight && lane.waiting.is_empty() {
            self.ready.push(counter);
        }
        lane.waiting.push(who);
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

    /// The call for `counter` has been answered: who waits may go next.
    pub fn land(&mut self, counter: &K) {
        let Some(lane) = self.lanes.get_mut(counter) else { return };
        lane.in_flight = false;
        if lane.waiting.is_empty() {
            self.lanes.remove(counter);
        } else {
            self.ready.push(counter.clone());
        }
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
        lanes.arrive("a", 1);
        lanes.arrive("b", 2);
        lanes.arrive("a", 3);
        assert_eq!(lanes.depart(), [("a", vec![1, 3]), ("b", vec![2])]);
        lanes.arrive("a", 4);
        lanes.arrive("a", 5);
        assert_eq!(lanes.depart(), [], "one call at a time");
        lanes.land(&"b");
        lanes.land(&"a");
        lanes.arrive("a", 6);
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
