//! Connections to one target that wait for the next request, as a pure structure.
//!
//! The one that was used last is used first: no more stay in use than are needed, and the others grow old.

use std::net::SocketAddr;
use std::time::Instant;

/// Who may have a connection: whoever goes to the same address and wants the same of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The target's.
    pub address: SocketAddr,
    /// By which the peers of routes are told from others that want something else.
    pub group: u64,
}

/// A connection that waits.
#[derive(Debug)]
pub struct Waiting<C> {
    /// The connection.
    pub connection: C,
    /// When its last request was over.
    pub since: Instant,
    /// From when on it is of no use any more.
    pub until: Instant,
}

/// All of them, by their kinds, which are few.
#[derive(Debug)]
pub struct Shelves<C>(Vec<(Kind, Vec<Waiting<C>>)>);

impl<C> Default for Shelves<C> {
    fn default() -> Self {
        Shelves(Vec::new())
    }
}

impl<C> Shelves<C> {
    /// One more waits.
    pub fn put(&mut self, kind: Kind, waiting: Waiting<C>) {
        match self.0.iter_mut().find(|(its, _)| *its == kind) {
            Some((_, shelf)) => shelf.push(waiting),
            None => self.0.push((kind, vec![waiting])),
        }
    }

    /// The one of a kind that has waited least.
    pub fn take(&mut self, kind: Kind) -> Option<Waiting<C>> {
        self.0.iter_mut().find(|(its, _)| *its == kind)?.1.pop()
    }

    /// Takes out those that are not to be kept.
    pub fn sweep(&mut self, mut keeps: impl FnMut(&mut Waiting<C>) -> bool) -> Vec<Waiting<C>> {
        let mut gone = Vec::new();
        for (_, shelf) in &mut self.0 {
            gone.extend(shelf.extract_if(.., |waiting| !keeps(waiting)));
            // A crowd has come and gone.
            if shelf.len() < shelf.capacity() / 4 {
                shelf.shrink_to(shelf.len() * 2);
            }
        }
        self.0.retain(|(_, shelf)| !shelf.is_empty());
        gone
    }

    /// Since when each of them has waited.
    pub fn ages(&self) -> impl Iterator<Item = Instant> {
        self.0.iter().flat_map(|(_, shelf)| shelf).map(|waiting| waiting.since)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(|(_, shelf)| shelf.len()).sum()
    }
}

/// Since when those have waited, or longer, who go so that no more than `left` of these stay.
pub fn cut(mut since: Vec<Instant>, left: usize) -> Option<Instant> {
    let last = since.len().checked_sub(left + 1)?;
    Some(*since.select_nth_unstable(last).1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn kind(port: u16, group: u64) -> Kind {
        Kind { address: ([192, 0, 2, 1], port).into(), group }
    }

    /// Five of two kinds, one more each second, named in that order.
    fn shelves(now: Instant) -> Shelves<u32> {
        let mut shelves = Shelves::default();
        for (number, group) in [(0, 7), (1, 8), (2, 7), (3, 8), (4, 7)] {
            let since = now + number * SECOND;
            shelves.put(kind(1, group), Waiting { connection: number, since, until: since + 3 * SECOND });
        }
        shelves
    }

    #[test]
    fn the_last_one_of_its_kind_comes_first() {
        let mut shelves = shelves(Instant::now());
        let mut take = |port, group| shelves.take(kind(port, group)).map(|waiting| waiting.connection);
        assert_eq!([7, 7, 8, 7, 7].map(|group| take(1, group)), [Some(4), Some(2), Some(3), Some(0), None]);
        assert_eq!((take(2, 8), take(1, 9), take(1, 8)), (None, None, Some(1)));
    }

    #[test]
    fn those_go_that_are_swept_and_nothing_is_left_of_a_kind_that_nobody_has() {
        let now = Instant::now();
        let mut shelves = shelves(now);
        let mut gone: Vec<u32> =
            shelves.sweep(|waiting| waiting.until > now + 4 * SECOND).into_iter().map(|gone| gone.connection).collect();
        gone.sort_unstable();
        assert_eq!((gone, shelves.count()), (vec![0, 1], 3));
        assert_eq!(shelves.ages().count(), 3);
        assert_eq!(shelves.sweep(|_| false).len(), 3);
        assert!(shelves.0.is_empty());
    }

    #[test]
    fn a_shelf_is_as_large_as_what_it_has() {
        let now = Instant::now();
        let mut shelves = Shelves::default();
        (0..1_000).for_each(|number| {
            shelves.put(kind(1, 1), Waiting { connection: number, since: now, until: now });
        });
        shelves.sweep(|waiting| waiting.connection < 10);
        assert!(shelves.0[0].1.capacity() < 40, "{}", shelves.0[0].1.capacity());
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let now = Instant::now();
        let ages = |numbers: &[u32]| numbers.iter().map(|number| now + *number * SECOND).collect::<Vec<_>>();
        for (left, cut_at) in [(0, Some(9)), (1, Some(5)), (2, Some(3)), (3, Some(1)), (4, None), (9, None)] {
            assert_eq!(cut(ages(&[5, 1, 9, 3]), left), cut_at.map(|at| now + at * SECOND), "{left}");
        }
        assert_eq!(cut(Vec::new(), 0), None);
    }
}
