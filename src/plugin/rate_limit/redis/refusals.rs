//! Who has been refused, and until when Redis would say so again.
//!
//! Nothing that others do lets a refused request pass earlier: until then the answer is known without
//! asking, and a client that goes on after its 429 costs Redis nothing. What there is no room for is asked
//! again, which is as right, and dearer.

use std::time::Instant;

use super::bounded::{Bounded, Mortal};
use crate::plugin::rate_limit::algorithm::{Decision, View};
use crate::plugin::rate_limit::fingerprint::Fingerprint;

/// All refusals that are remembered.
#[derive(Debug, Default)]
pub struct Refusals(Bounded<Refused>);

#[derive(Clone, Debug)]
struct Refused {
    at: Instant,
    decision: Decision,
}

impl Mortal for Refused {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= self.decision.retry_after
    }
}

impl Refusals {
    /// What Redis would say at `now` to who asks the same as those in `lane`, if it is known that it would
    /// refuse.
    pub fn find(&self, lane: Fingerprint, now: Instant) -> Option<Decision> {
        self.0.look(lane, now, |Refused { at, decision }| {
            let gone = now.saturating_duration_since(*at);
            let view = |view: &View| View { reset: view.reset.saturating_sub(gone), ..*view };
            Decision {
                allowed: false,
                retry_after: decision.retry_after - gone,
                views: decision.views.iter().map(view).collect(),
            }
        })
    }

    /// Redis has decided on a request in `lane` that was made at `at`: from then on it is remembered, which
    /// was before it was refused, and never for too long.
    pub fn note(&self, lane: Fingerprint, decision: &Decision, at: Instant) {
        if !decision.allowed {
            self.0.put(lane, Refused { at, decision: decision.clone() }, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smallvec::smallvec;

    use super::*;
    use crate::plugin::rate_limit::fingerprint::Hasher;
    use crate::plugin::rate_limit::key::Client;

    const RETRY: Duration = Duration::from_secs(10);

    fn decision(allowed: bool) -> Decision {
        let view = View { fits: allowed, remaining: 0, reset: 2 * RETRY };
        Decision { allowed, retry_after: RETRY, views: smallvec![view] }
    }

    #[test]
    fn a_refusal_is_known_until_a_request_can_pass() {
        let (refusals, hasher, start) = (Refusals::default(), Hasher::default(), Instant::now());
        let lane = |n: u32| hasher.counter(n, &Client::Named("x".into()));
        assert_eq!(refusals.find(lane(1), start), None);
        refusals.note(lane(1), &decision(false), start);
        refusals.note(lane(2), &decision(true), start);
        let later = start + Duration::from_secs(4);
        let known = refusals.find(lane(1), later).expect("it is known");
        assert_eq!((known.allowed, known.retry_after), (false, Duration::from_secs(6)));
        assert_eq!(known.views[..], [View { fits: false, remaining: 0, reset: Duration::from_secs(16) }]);
        assert_eq!(refusals.find(lane(2), later), None);
        assert_eq!(refusals.find(lane(1), start + RETRY), None);
        refusals.note(lane(1), &Decision { retry_after: Duration::MAX, ..decision(false) }, start);
        assert!(refusals.find(lane(1), start + RETRY).is_some(), "a wait without end is no trouble");
    }
}
