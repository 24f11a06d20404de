//! How long a target takes to answer: a mean that forgets, and that believes bad news at once.
//!
//! "Peak EWMA", as Finagle and linkerd balance by it: an answer that took longer than the mean becomes the mean, a
//! quicker one draws it down as fast as time passes. Without answers it sinks, so that a target that was slow is tried
//! again some day.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time after which an old value counts for a third (1/e).
const TAU: Duration = Duration::from_secs(10);

/// The mean at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ewma {
    /// In milliseconds; 0 before the first answer.
    millis: f32,
    /// When it was so, in milliseconds since the target is known.
    at: u32,
}

impl Ewma {
    fn seen(self, took: f32, at: u32) -> Self {
        let (kept, passed) = self.kept(at);
        let millis = if took >= self.millis { took } else { self.millis * kept + took * (1.0 - kept) };
        Ewma { millis, at: self.at.wrapping_add(passed) }
    }

    fn fade(self, at: u32) -> f32 {
        self.millis * self.kept(at).0
    }

    /// How much of the old value counts at `at`, and how much time has passed until then.
    fn kept(self, at: u32) -> (f32, u32) {
        // The count wraps after 49 days; and threads may bring their times in another order than they took them.
        let passed = match at.wrapping_sub(self.at) {
            passed if passed <= u32::MAX / 2 => passed,
            _ => 0,
        };
        ((-f64::from(passed) / TAU.as_millis() as f64).exp() as f32, passed)
    }

    fn to_bits(self) -> u64 {
        u64::from(self.millis.to_bits()) << 32 | u64::from(self.at)
    }

    fn from_bits(bits: u64) -> Self {
        Ewma { millis: f32::from_bits((bits >> 32) as u32), at: bits as u32 }
    }
}

/// The mean of one target, for many threads.
#[derive(Debug)]
pub struct Latency {
    origin: Instant,
    mean: AtomicU64,
}

impl Latency {
    /// Of a target that has not answered yet.
    pub fn new(now: Instant) -> Self {
        Latency { origin: now, mean: AtomicU64::new(Ewma::default().to_bits()) }
    }

    /// An answer has come at `now`.
    pub fn seen(&self, took: Duration, now: Instant) {
        let (took, at) = (took.as_secs_f32() * 1_000.0, self.millis(now));
        let update = |bits| Some(Ewma::from_bits(bits).seen(took, at).to_bits());
        // It always gives something, so it cannot fail.
        let _ = self.mean.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// In milliseconds; 0 where nothing is known, or nothing any more.
    pub fn mean(&self, now: Instant) -> f64 {
        f64::from(Ewma::from_bits(self.mean.load(Ordering::Relaxed)).fade(self.millis(now)))
    }

    /// As it was at the last answer; `None` before the first.
    pub fn last(&self) -> Option<f64> {
        let last = f64::from(Ewma::from_bits(self.mean.load(Ordering::Relaxed)).millis);
        (last > 0.0).then_some(last)
    }

    fn millis(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.origin).as_millis() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn bad_news_counts_at_once_and_good_news_as_time_passes() {
        let start = Instant::now();
        let latency = Latency::new(start);
        assert_eq!((latency.mean(start), latency.last()), (0.0, None));
        latency.seen(10 * MS, start);
        assert_eq!(latency.mean(start), 10.0);
        latency.seen(500 * MS, start + MS);
        assert_eq!(latency.mean(start + MS), 500.0);
        for answer in 1..=100 {
            latency.seen(10 * MS, start + 10 * answer * MS);
        }
        let after_a_second = latency.mean(start + 1_000 * MS);
        assert!((400.0..480.0).contains(&after_a_second), "{after_a_second}");
        for answer in 100..=6_000 {
            latency.seen(10 * MS, start + 10 * answer * MS);
        }
        let after_a_minute = latency.mean(start + 60_000 * MS);
        assert!((9.0..13.0).contains(&after_a_minute), "{after_a_minute}");
    }

    #[test]
    fn without_answers_it_sinks_and_time_does_not_run_back() {
        let start = Instant::now();
        let latency = Latency::new(start);
        latency.seen(100 * MS, start + 5_000 * MS);
        assert_eq!(latency.mean(start), 100.0);
        latency.seen(MS, start);
        assert_eq!(latency.mean(start), 100.0, "no time has passed");
        let later = latency.mean(start + 15_000 * MS);
        assert!((36.0..38.0).contains(&later), "{later}");
        assert!(latency.mean(start + 600_000 * MS) < 0.001);
        assert_eq!(latency.last(), Some(100.0));
        let wrap = Ewma { millis: 100.0, at: u32::MAX - 5_000 };
        assert!((36.0..38.0).contains(&wrap.fade(4_999)));
        assert_eq!(wrap.seen(10.0, 4_999).at, 4_999);
    }
}
