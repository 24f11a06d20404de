//! How long answers took in the last minute: counts by duration, for many threads.
//!
//! Durations are told apart to an eighth, as in HdrHistogram, and counted in slots of ten seconds. A count that meets
//! a slot being begun anew may be lost: this is for people to look at.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SLOT_SECONDS: u64 = 10;
/// A minute, and the slot that is being filled.
const SLOTS: usize = 7;
/// Up to this power of two every microsecond has its own count.
const EXACT_BITS: u32 = 3;
/// The last one has all that took longer than two minutes.
const BUCKETS: usize = bucket(1 << 27) + 1;

/// Of one target.
pub struct Quantiles {
    origin: Instant,
    slots: Box<[Slot; SLOTS]>,
}

struct Slot {
    /// Its number plus one, counted from `origin`; 0 before it was filled.
    number: AtomicU64,
    counts: [AtomicU32; BUCKETS],
}

/// What so many parts of the answers took at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Answers.
    pub count: u64,
    /// Half of them.
    pub p50: Duration,
    /// 95 of 100.
    pub p95: Duration,
    /// 99 of 100.
    pub p99: Duration,
}

impl std::fmt::Debug for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quantiles").finish_non_exhaustive()
    }
}

impl Quantiles {
    /// Nothing yet.
    pub fn new(now: Instant) -> Self {
        let slot = |_| Slot { number: AtomicU64::new(0), counts: std::array::from_fn(|_| AtomicU32::new(0)) };
        Quantiles { origin: now, slots: Box::new(std::array::from_fn(slot)) }
    }

    /// An answer has come at `now`.
    pub fn seen(&self, took: Duration, now: Instant) {
        let number = self.number(now);
        let slot = &self.slots[(number % SLOTS as u64) as usize];
        let known = slot.number.load(Ordering::Relaxed);
        if known != number + 1 {
            if known > number + 1 {
                return; // Late by a whole round.
            }
            if slot.number.compare_exchange(known, number + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                slot.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
            }
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        slot.counts[bucket(micros).min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// What those of the last minute took; `None` if there was none.
    pub fn taken(&self, now: Instant) -> Option<Taken> {
        let number = self.number(now) + 1;
        let is_recent = |slot: &&Slot| {
            let of = slot.number.load(Ordering::Relaxed);
            of > 0 && of <= number && of + SLOTS as u64 > number
        };
        let mut counts = [0_u64; BUCKETS];
        for slot in self.slots.iter().filter(is_recent) {
            counts
                .iter_mut()
                .zip(&slot.counts)
                .for_each(|(sum, count)| *sum += u64::from(count.load(Ordering::Relaxed)));
        }
        let count: u64 = counts.iter().sum();
        let at_most = |part: f64| {
            let rank = ((count as f64 * part).ceil() as u64).max(1);
            let mut seen = 0;
            let at = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            Duration::from_micros(upper(at.unwrap_or(BUCKETS - 1)))
        };
        (count > 0).then(|| Taken { count, p50: at_most(0.5), p95: at_most(0.95), p99: at_most(0.99) })
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs() / SLOT_SECONDS
    }
}

/// Which count so many microseconds belong to: eight to each power of two.
const fn bucket(micros: u64) -> usize {
    let bits = u64::BITS - micros.leading_zeros();
    if bits <= EXACT_BITS + 1 {
        return micros as usize;
    }
    let shift = bits - EXACT_BITS - 1;
    ((shift as usize) << EXACT_BITS) + (micros >> shift) as usize
}

/// The most microseconds that belong to it.
const fn upper(bucket: usize) -> u64 {
    let eight = 1 << EXACT_BITS;
    if bucket < 2 * eight {
        return bucket as u64;
    }
    let shift = bucket / eight - 1;
    (((bucket % eight + eight) as u64 + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_and_are_narrow() {
        let mut last = 0;
        for micros in (0..100_000).chain((100_000..130_000_000).step_by(9_973)) {
            let at = bucket(micros);
            assert!(at == last || at == last + 1 || micros >= 100_000, "{micros}");
            assert!(micros <= upper(at) && upper(at) - micros <= micros / 8, "{micros}: {}", upper(at));
            assert!(at == 0 || upper(at - 1) < micros, "{micros}");
            last = at;
        }
        const { assert!(BUCKETS < 256) };
    }

    #[test]
    fn quantiles_are_those_of_the_last_minute() {
        let start = Instant::now();
        let quantiles = Quantiles::new(start);
        assert_eq!(quantiles.taken(start), None);
        let at = |seconds| start + Duration::from_secs(seconds);
        (1..=1_000).for_each(|millis| quantiles.seen(Duration::from_millis(millis), at(5)));
        let taken = quantiles.taken(at(5)).expect("a thousand");
        let near = |got: Duration, millis: u64| {
            let got = got.as_millis() as u64;
            (millis..=millis * 9 / 8).contains(&got)
        };
        assert!(
            taken.count == 1_000 && near(taken.p50, 500) && near(taken.p95, 950) && near(taken.p99, 990),
            "{taken:?}"
        );
        assert_eq!(quantiles.taken(at(64)).map(|taken| taken.count), Some(1_000));
        quantiles.seen(Duration::from_secs(3_600), at(64));
        assert_eq!(quantiles.taken(at(70)).map(|taken| taken.count), Some(1), "the first slot is over");
        assert!(quantiles.taken(at(70)).is_some_and(|taken| taken.p50 > Duration::from_secs(120)));
        quantiles.seen(Duration::from_millis(1), at(75));
        quantiles.seen(Duration::from_millis(1), at(1));
        assert_eq!(quantiles.taken(at(75)).map(|taken| taken.count), Some(2), "who is late is not counted");
        assert_eq!(quantiles.taken(at(1_000)), None);
    }
}
