//! What retries are paid from: a share of what comes, and a floor for those that get little.

use std::time::Instant;

use super::recent::Recent;
use crate::ratio::Ratio;

/// How many retries there may be.
#[derive(Debug)]
pub struct Budget {
    share: Ratio,
    floor: u32,
    requests: Recent,
    retries: Recent,
}

impl Budget {
    /// In any ten seconds, a `share` of the requests and `floor` more.
    pub fn new(share: Ratio, floor: u32, now: Instant) -> Self {
        Budget { share, floor, requests: Recent::new(now), retries: Recent::new(now) }
    }

    /// A request has come.
    pub fn request(&self, now: Instant) {
        self.requests.add(now);
    }

    /// Whether there is one more. Threads that ask at the same moment may all be told so.
    pub fn has_one(&self, now: Instant) -> bool {
        let allowed = self.share.of(self.requests.count(now)) + u64::from(self.floor);
        self.retries.count(now) < allowed
    }

    /// Takes one.
    pub fn spend(&self, now: Instant) {
        self.retries.add(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_budget_is_a_share_of_what_comes_and_a_floor() {
        let start = Instant::now();
        let budget = Budget::new(Ratio::percent(20), 10, start);
        let pay = |at: Instant| {
            budget.has_one(at) && {
                budget.spend(at);
                true
            }
        };
        let paid = |at: Instant| (0..1_000).filter(|_| pay(at)).count();
        assert_eq!(paid(start), 10, "the floor");
        (0..1_000).for_each(|_| budget.request(start));
        assert_eq!(paid(start), 200);
        let later = start + Duration::from_secs(9);
        (0..100).for_each(|_| budget.request(later));
        assert_eq!(paid(later), 20);
        let much_later = start + Duration::from_secs(15);
        assert_eq!(paid(much_later), 10, "20 of 100 are spent, and the floor is there again");
        assert_eq!(paid(start + Duration::from_secs(60)), 10);
    }

    /// Every request fails and wants to be sent again, as in an outage: what goes out is bounded.
    #[test]
    fn retries_cannot_multiply_an_outage() {
        let start = Instant::now();
        let budget = Budget::new(Ratio::percent(20), 10, start);
        let mut sent = 0;
        for request in 0..60_000_u32 {
            let now = start + Duration::from_millis(u64::from(request));
            budget.request(now);
            sent += 1;
            if budget.has_one(now) {
                budget.spend(now);
                sent += 1;
            }
        }
        assert!(sent <= 60_000 * 12 / 10 + 10 * 7, "{sent}");
    }
}
