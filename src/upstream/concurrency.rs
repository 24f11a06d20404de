//! How many requests a target may have under way at one time: so many, or as many as it answers in good time.
//!
//! The latter is found as TCP finds its window: while answers come as fast as they mostly do, the limit grows
//! by a little; when they take longer, it shrinks in proportion ("Gradient2" of Netflix' concurrency-limits).

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Answers are looked at together: so many at least, and for so long.
const SAMPLES: u32 = 10;
const SPAN: Duration = Duration::from_millis(100);
/// Answers may take so many times as long as they mostly do before the limit shrinks.
const TOLERANCE: f64 = 1.5;
/// What a limit grows by beyond what is proportional: as many may wait in the target's queue.
const QUEUE: f64 = 4.0;
/// How much of a change is made at once.
const SMOOTHING: f64 = 0.2;
/// Of how many looks what is usual is the mean.
const MEMORY: f64 = 600.0;

/// Between what the limit is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// At least.
    pub min: u32,
    /// At first.
    pub initial: u32,
    /// At most.
    pub max: u32,
}

/// The limit of one target.
#[derive(Debug)]
pub enum Concurrency {
    /// So many.
    Fixed(u32),
    /// As many as it answers in good time.
    Adaptive(Box<Adaptive>),
}

/// A limit that follows what the target can do.
#[derive(Debug)]
pub struct Adaptive {
    limit: AtomicU32,
    gradient: Mutex<Gradient>,
}

impl Concurrency {
    /// A limit that is found between `bounds`.
    pub fn adaptive(bounds: Bounds, now: Instant) -> Self {
        let gradient = Mutex::new(Gradient::new(bounds, now));
        Concurrency::Adaptive(Box::new(Adaptive { limit: AtomicU32::new(bounds.initial), gradient }))
    }

    /// How many.
    pub fn limit(&self) -> u32 {
        match self {
            Concurrency::Fixed(limit) => *limit,
            Concurrency::Adaptive(adaptive) => adaptive.limit.load(Ordering::Relaxed),
        }
    }

    /// An answer has come at `now`, while so many were under way.
    pub fn answered(&self, took: Duration, in_flight: u32, now: Instant) {
        if let Concurrency::Adaptive(adaptive) = self
            && let Some(limit) = adaptive.gradient.lock().answered(took, in_flight, now)
        {
            adaptive.limit.store(limit, Ordering::Relaxed);
        }
    }
}

/// How a limit is found.
#[derive(Debug)]
struct Gradient {
    bounds: Bounds,
    limit: f64,
    /// How long answers mostly take, in seconds; 0 before the first look.
    usual: f64,
    /// Since the last look.
    since: Instant,
    samples: u32,
    sum: f64,
    most_in_flight: u32,
}

impl Gradient {
    fn new(bounds: Bounds, now: Instant) -> Self {
        Gradient {
            bounds,
            limit: f64::from(bounds.initial),
            usual: 0.0,
            since: now,
            samples: 0,
            sum: 0.0,
            most_in_flight: 0,
        }
    }

    /// The limit, if this was the time for a look.
    fn answered(&mut self, took: Duration, in_flight: u32, now: Instant) -> Option<u32> {
        self.samples += 1;
        self.sum += took.as_secs_f64();
        self.most_in_flight = self.most_in_flight.max(in_flight);
        if self.samples < SAMPLES || now.saturating_duration_since(self.since) < SPAN {
            return None;
        }
        let (recent, in_flight) = (self.sum / f64::from(self.samples), f64::from(self.most_in_flight));
        (self.since, self.samples, self.sum, self.most_in_flight) = (now, 0, 0.0, 0);
        self.look(recent.max(1e-6), in_flight);
        Some(self.limit as u32)
    }

    fn look(&mut self, recent: f64, in_flight: f64) {
        self.usual = match self.usual {
            0.0 => recent,
            usual => usual + (recent - usual) / MEMORY,
        };
        // What was slow for long has become quick: it would take very long to unlearn.
        if self.usual > 2.0 * recent {
            self.usual *= 0.95;
        }
        // Who is not asked for more says nothing about whether there is more.
        if in_flight < self.limit / 2.0 {
            return;
        }
        let gradient = (TOLERANCE * self.usual / recent).clamp(0.5, 1.0);
        let limit = self.limit * gradient + QUEUE;
        let limit = self.limit * (1.0 - SMOOTHING) + limit * SMOOTHING;
        self.limit = limit.clamp(f64::from(self.bounds.min), f64::from(self.bounds.max));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    const BOUNDS: Bounds = Bounds { min: 4, initial: 20, max: 500 };
    const MS: Duration = Duration::from_millis(1);

    /// Time with a target that works on `capacity` requests at once, each for 10 ms, under all the load that is let
    /// through. The limits that were set.
    fn run(concurrency: &Concurrency, capacity: u32, from: Instant, looks: u32) -> Vec<u32> {
        let mut rng = Rng::seeded(9);
        (0..looks)
            .map(|look| {
                let in_flight = concurrency.limit();
                let queued = f64::from(in_flight.max(capacity)) / f64::from(capacity);
                for sample in 0..SAMPLES {
                    let took = MS.mul_f64(10.0 * queued * (0.95 + 0.1 * rng.unit()));
                    concurrency.answered(took, in_flight, from + (look * 100 + sample + 91) * MS);
                }
                concurrency.limit()
            })
            .collect()
    }

    #[test]
    fn it_is_found_near_what_the_target_can_do_and_follows() {
        let now = Instant::now();
        let concurrency = Concurrency::adaptive(BOUNDS, now);
        let found = run(&concurrency, 50, now, 600);
        let settled = &found[300..];
        assert!(settled.iter().all(|limit| (50..160).contains(limit)), "{settled:?}");
        let less = run(&concurrency, 10, now + 60_000 * MS, 600);
        assert!(less[300..].iter().all(|limit| (10..60).contains(limit)), "{less:?}");
    }

    #[test]
    fn it_stays_within_its_bounds_and_does_not_grow_unasked() {
        let now = Instant::now();
        let concurrency = Concurrency::adaptive(BOUNDS, now);
        for look in 1..2_000 {
            (0..SAMPLES).for_each(|_| concurrency.answered(MS, 3, now + look * SPAN));
        }
        assert_eq!(concurrency.limit(), 20, "nobody needed more");
        for look in 2_000..4_000 {
            (0..SAMPLES).for_each(|_| concurrency.answered(MS, 500, now + look * SPAN));
        }
        assert_eq!(concurrency.limit(), 500);
        for look in 4_000..4_200 {
            (0..SAMPLES).for_each(|_| concurrency.answered(1_000 * MS, 500, now + look * SPAN));
        }
        assert!((4..20).contains(&concurrency.limit()), "{}", concurrency.limit());
        assert_eq!(Concurrency::Fixed(7).limit(), 7);
    }
}
