//! Round-robin over those targets that admit a request.
//!
//! Not `RoundRobin` of pingora-load-balancing: that one counts repeated looks at one target as tries, so
//! under concurrency a healthy target can be missed; here every target is looked at once. When a target
//! is passed over, the turn moves on by one for everybody: were it to fall to the neighbour, that one
//! would carry the share of the one that is down.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Whose turn it is, shared by all requests of a route.
#[derive(Debug, Default)]
pub struct RoundRobin {
    turn: AtomicUsize,
}

impl RoundRobin {
    /// The first of `count` targets, from whose turn it is, that `admit` says yes to; its index and what
    /// `admit` gave. `admit` is asked about each target at most once, and not again after a yes.
    pub fn pick<T>(&self, count: usize, mut admit: impl FnMut(usize) -> Option<T>) -> Option<(usize, T)> {
        if count == 0 {
            return None;
        }
        let first = self.take_turn(count);
        if let Some(admitted) = admit(first) {
            return Some((first, admitted));
        }
        let mut asked = vec![false; count];
        asked[first] = true;
        let turns = (1..count).map(|_| self.take_turn(count));
        // Other requests take turns meanwhile, so fresh turns may repeat targets: what they left out
        // comes last.
        for index in turns.chain((0..count).map(|offset| (first + offset) % count)) {
            if std::mem::replace(&mut asked[index], true) {
                continue;
            }
            if let Some(admitted) = admit(index) {
                return Some((index, admitted));
            }
        }
        None
    }

    fn take_turn(&self, count: usize) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % count
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn shares(selector: &RoundRobin, rounds: usize, open: [bool; 3]) -> [usize; 3] {
        let mut shares = [0; 3];
        for _ in 0..rounds {
            if let Some((index, ())) = selector.pick(3, |index| (!open[index]).then_some(())) {
                shares[index] += 1;
            }
        }
        shares
    }

    #[test]
    fn every_target_gets_its_turn() {
        let selector = RoundRobin::default();
        let picked: Vec<usize> =
            (0..7).filter_map(|_| selector.pick(3, |_| Some(()))).map(|(index, ())| index).collect();
        assert_eq!(picked, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(selector.pick(0, |_| Some(())), None);
        assert_eq!(selector.pick(1, |_| Some(())), Some((0, ())));
    }

    #[test]
    fn the_share_of_an_open_target_falls_to_all_others_alike() {
        let selector = RoundRobin::default();
        assert_eq!(shares(&selector, 300, [false, true, false]), [150, 0, 150]);
        assert_eq!(shares(&selector, 10, [true, true, false]), [0, 0, 10]);
        assert_eq!(shares(&selector, 10, [true, true, true]), [0, 0, 0]);
    }

    #[test]
    fn eight_threads_share_to_within_one_request() {
        let selector = Arc::new(RoundRobin::default());
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let selector = selector.clone();
                std::thread::spawn(move || shares(&selector, 3_000, [false; 3]))
            })
            .collect();
        let mut total = [0; 3];
        for thread in threads {
            let shares = thread.join().expect("no panic");
            (0..3).for_each(|i| total[i] += shares[i]);
        }
        assert_eq!(total, [8_000; 3]);
    }

    /// A known gateway answers 503 here: eight threads move the turn while one looks for the only target up.
    #[test]
    fn the_only_target_that_admits_is_never_missed() {
        let selector = Arc::new(RoundRobin::default());
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let selector = selector.clone();
                std::thread::spawn(move || {
                    (0..5_000).all(|_| selector.pick(7, |index| (index == 5).then_some(())) == Some((5, ())))
                })
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().expect("no panic")));
    }

    #[test]
    fn no_target_is_asked_twice_or_after_a_yes() {
        let selector = RoundRobin::default();
        for admitting in 0..=5 {
            let mut asked = Vec::new();
            selector.pick(5, |index| {
                asked.push(index);
                (index == admitting).then_some(())
            });
            let mut unique = asked.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), asked.len(), "{asked:?}");
            assert!(asked.iter().rev().skip(1).all(|index| *index != admitting), "{asked:?}");
        }
    }
}
