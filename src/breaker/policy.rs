//! What opens a breaker, and for how long.

use std::num::NonZeroU32;
use std::time::Duration;

use super::window::Counts;
use crate::ratio::Ratio;

/// What opens a breaker, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What opens it.
    pub trip: Trip,
    /// How long it stays open before a probe is let through.
    pub cooldown: Duration,
    /// How that grows while the peer does not get well.
    pub backoff: Option<Backoff>,
    /// How long a probe may take to be settled before another may take its place.
    pub lease: Duration,
}

/// What opens a breaker: failures in a row, shares of the recent past, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// So many in a row.
    pub in_a_row: Option<NonZeroU32>,
    /// Shares of what came in the last while.
    pub recent: Option<Recent>,
    /// Where failures are counted in both ways: whether both are needed, instead of either.
    pub both: bool,
}

/// Shares of what came in the last while that open a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// How long that while is.
    pub window: Duration,
    /// Fewer attempts say nothing.
    pub min_requests: NonZeroU32,
    /// Of failures.
    pub failed: Option<Ratio>,
    /// Of answers that took too long.
    pub slow: Option<Ratio>,
}

/// How a cooldown grows: by `factor` each time, up to `max`, and by chance a `jitter` shorter or longer, so that
/// many gateways do not probe at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// In hundredths, at least 100.
    pub factor: u32,
    /// Jitter is added to it.
    pub max: Duration,
    /// Of the cooldown.
    pub jitter: Ratio,
}

impl Policy {
    /// Opens at `failures` in a row, for the same `cooldown` each time.
    pub fn in_a_row(failures: NonZeroU32, cooldown: Duration, lease: Duration) -> Self {
        let trip = Trip { in_a_row: Some(failures), recent: None, both: false };
        Policy { trip, cooldown, backoff: None, lease }
    }

    /// What is usual: three in a row, a minute.
    pub fn standard() -> Self {
        const THREE: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");
        Policy::in_a_row(THREE, Duration::from_secs(60), Duration::from_secs(60))
    }

    /// The cooldown of the trip that is number `streak`, from 0, of those between which the peer did not get
    /// well; `chance` is from 0 to 1.
    pub fn cooldown(&self, streak: u32, chance: f64) -> Duration {
        let Some(Backoff { factor, max, jitter }) = self.backoff else { return self.cooldown };
        let growth = (f64::from(factor) / 100.0).powi(i32::try_from(streak).unwrap_or(i32::MAX));
        let grown = (self.cooldown.as_secs_f64() * growth).min(max.max(self.cooldown).as_secs_f64());
        Duration::from_secs_f64(grown * jitter.jitter(chance))
    }
}

impl Trip {
    /// Whether a breaker with so many failures `in_a_row`, and these `recent` outcomes, opens.
    pub fn is_due(&self, in_a_row: u32, recent: Option<Counts>) -> bool {
        let row = self.in_a_row.map(|limit| in_a_row >= limit.get());
        let shares = self.recent.zip(recent).filter(|(limits, counts)| counts.total >= limits.min_requests.get());
        let reached = |limit: Option<Ratio>, part: u32, whole: u32| {
            // A share of nothing is reached by nothing.
            limit.is_some_and(|limit| part > 0 && limit.is_reached(part, whole))
        };
        let slow = shares.is_some_and(|(limits, counts)| reached(limits.slow, counts.slow, counts.total));
        let failed = shares.is_some_and(|(limits, counts)| reached(limits.failed, counts.failed, counts.total));
        let failing = match row {
            Some(row) if self.both => row && failed,
            Some(row) => row || failed,
            None => failed,
        };
        failing || slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn count(count: u32) -> NonZeroU32 {
        NonZeroU32::new(count).expect("not 0")
    }

    #[test]
    fn a_cooldown_grows_up_to_its_most_and_is_spread_by_chance() {
        let plain = Policy::in_a_row(count(3), MINUTE, MINUTE);
        assert_eq!([plain.cooldown(0, 0.9), plain.cooldown(9, 0.1)], [MINUTE; 2]);
        let backoff = Backoff { factor: 200, max: 5 * MINUTE, jitter: Ratio::percent(20) };
        let grows = Policy { backoff: Some(backoff), ..plain };
        assert_eq!(
            [0, 1, 2, 3, u32::MAX].map(|streak| grows.cooldown(streak, 0.5).as_secs()),
            [60, 120, 240, 300, 300]
        );
        assert_eq!([0.0, 1.0].map(|chance| grows.cooldown(0, chance).as_secs()), [48, 72]);
        let less =
            Policy { backoff: Some(Backoff { max: Duration::ZERO, jitter: Ratio::percent(0), ..backoff }), ..plain };
        assert_eq!(less.cooldown(3, 0.5), MINUTE, "no shorter than it begins");
    }

    #[test]
    fn rows_and_shares_open_it_alone_or_together() {
        let counts = |total, failed, slow| Some(Counts { total, failed, slow });
        let recent = Recent { window: MINUTE, min_requests: count(10), failed: Some(Ratio::percent(50)), slow: None };
        let row = Trip { in_a_row: Some(count(3)), recent: None, both: false };
        assert!(row.is_due(3, None) && !row.is_due(2, None));
        let share = Trip { in_a_row: None, recent: Some(recent), both: false };
        assert!(share.is_due(0, counts(10, 5, 0)) && !share.is_due(99, counts(10, 4, 9)));
        assert!(!share.is_due(9, counts(9, 9, 0)), "too few to tell");
        let either = Trip { in_a_row: Some(count(3)), ..share };
        assert!(either.is_due(3, counts(100, 3, 0)) && either.is_due(0, counts(10, 5, 0)));
        let both = Trip { both: true, ..either };
        assert!(!both.is_due(3, counts(100, 3, 0)) && !both.is_due(2, counts(10, 5, 0)));
        assert!(both.is_due(3, counts(10, 5, 0)));
        let slow = Recent { failed: None, slow: Some(Ratio::percent(80)), ..recent };
        let slow = Trip { recent: Some(slow), ..row };
        assert!(slow.is_due(0, counts(10, 0, 8)) && !slow.is_due(2, counts(10, 10, 7)));
    }
}
