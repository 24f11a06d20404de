//! How many took how long, in the buckets that Prometheus shows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in seconds: from a quarter of a millisecond, which is what the gateway itself takes, to what
/// people wait for.
pub const BOUNDS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The same in nanoseconds.
const NANOS: [u64; BOUNDS.len()] = {
    let mut nanos = [0; BOUNDS.len()];
    let mut at = 0;
    while at < nanos.len() {
        nanos[at] = (BOUNDS[at] * 1e9) as u64;
        at += 1;
    }
    nanos
};

/// Counts by duration, for many threads. What an answer in good time touches, up to 25 ms, is one line of the processor's cache.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Histogram {
    nanos: AtomicU64,
    /// Of each bucket alone; the last one has no bound.
    counts: [AtomicU64; BOUNDS.len() + 1],
}

/// What a histogram has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// How many were no longer than each of [`BOUNDS`].
    pub within: [u64; BOUNDS.len()],
    /// All of them.
    pub count: u64,
    /// What they took together, in seconds.
    pub sum: f64,
}

impl Seen {
    /// What has come since `before`.
    pub fn since(&self, before: &Seen) -> Seen {
        let mut since = *self;
        since.within.iter_mut().zip(before.within).for_each(|(count, before)| *count = count.saturating_sub(before));
        Seen { count: self.count.saturating_sub(before.count), sum: self.sum - before.sum, ..since }
    }

    /// These and those of `other`.
    pub fn and(&self, other: &Seen) -> Seen {
        let mut both = *self;
        both.within.iter_mut().zip(other.within).for_each(|(count, more)| *count += more);
        Seen { count: self.count + other.count, sum: self.sum + other.sum, ..both }
    }

    /// What so large a part of them took at the most, in seconds: as if those of a bucket were spread evenly in it. `None`
    /// without any.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = part * self.count as f64;
        let at = self.within.iter().position(|count| *count as f64 >= rank && *count > 0);
        let Some(at) = at else { return (self.count > 0).then_some(BOUNDS[BOUNDS.len() - 1]) };
        let (floor, below) = at.checked_sub(1).map_or((0.0, 0), |before| (BOUNDS[before], self.within[before]));
        let inside = (self.within[at] - below) as f64;
        Some(floor + (BOUNDS[at] - floor) * ((rank - below as f64) / inside).clamp(0.0, 1.0))
    }
}

impl Histogram {
    /// One more took this long.
    pub fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = NANOS.partition_point(|bound| *bound < nanos);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What it has counted. The total is that of the buckets, whoever counts meanwhile.
    pub fn seen(&self) -> Seen {
        let mut within = [0; BOUNDS.len()];
        let mut count = 0;
        for (at, bucket) in self.counts.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            if let Some(within) = within.get_mut(at) {
                *within = count;
            }
        }
        Seen { within, count, sum: self.nanos.load(Ordering::Relaxed) as f64 / 1e9 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_buckets_add_up() {
        let histogram = Histogram::default();
        for micros in [0, 250, 251, 1_000, 30_000_000, 30_000_001, 90_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let seen = histogram.seen();
        assert_eq!((seen.within[0], seen.within[1], seen.within[2], seen.within[3]), (2, 3, 4, 4));
        assert_eq!((seen.within[15], seen.count), (5, 7));
        assert!((seen.sum - 150.001_502).abs() < 1e-9, "{}", seen.sum);
    }

    #[test]
    fn what_takes_25_ms_at_the_most_is_counted_on_one_line_of_the_cache() {
        let quick = BOUNDS.iter().filter(|bound| **bound <= 0.025).count();
        let end = std::mem::offset_of!(Histogram, counts) + quick * size_of::<AtomicU64>();
        assert_eq!((std::mem::offset_of!(Histogram, nanos), end, align_of::<Histogram>()), (0, 64, 64));
    }

    #[test]
    fn quantiles_are_read_off_the_buckets() {
        let histogram = Histogram::default();
        assert_eq!(histogram.seen().quantile(0.5), None);
        (0..100).for_each(|_| histogram.observe(Duration::from_micros(600)));
        let first = histogram.seen();
        assert_eq!(first.quantile(0.5), Some(0.000_75), "in the middle of 0.5 ms to 1 ms");
        (0..99).for_each(|_| histogram.observe(Duration::from_millis(20)));
        histogram.observe(Duration::from_secs(60));
        let since = histogram.seen().since(&first);
        assert_eq!((since.count, since.within[15]), (100, 99));
        assert!(since.quantile(0.5).is_some_and(|half| (0.01..0.025).contains(&half)));
        assert_eq!(since.quantile(1.0), Some(30.0), "what is beyond the last bound is not known better");
        assert_eq!(histogram.seen().quantile(0.0), Some(0.000_5));
    }

    #[test]
    fn what_took_longer_than_can_be_counted_is_counted_all_the_same() {
        let histogram = Histogram::default();
        histogram.observe(Duration::MAX);
        assert_eq!((histogram.seen().within[15], histogram.seen().count), (0, 1));
    }
}
