//! What came of a seed.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Counts, and a digest of every step.
#[derive(Debug, Default)]
pub struct History {
    /// How long it was.
    pub length: Duration,
    pub requests: u64,
    /// Answered with 200, to the end.
    pub answered: u64,
    /// Had no target.
    pub refused: u64,
    pub retries: u64,
    pub trips: u64,
    pub probes: u64,
    /// Of every step.
    pub digest: u64,
}

/// A rule that did not hold.
pub struct Broken {
    pub seed: u64,
    pub at: Duration,
    pub rule: String,
    pub config: String,
    /// The last ones, with their times.
    pub steps: VecDeque<(Duration, String)>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} at {:?}: {}\n{}", self.seed, self.at, self.rule, self.config)?;
        self.steps.iter().try_for_each(|(at, step)| writeln!(f, "{at:>12.3?} {step}"))?;
        write!(f, "again: AEGIS_SEED={} cargo test --lib simulation", self.seed)
    }
}
