//! When a request is sent again, and how often that may be.
//!
//! A retry helps against one target that fails and harms when all do: each request is several then, just
//! when there is least room for it. So retries are paid from a budget, a share of the requests that come
//! (Finagle and linkerd do it so), whatever a single request would be allowed.

mod budget;
mod recent;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Method;

use self::budget::Budget;
use crate::config;
use crate::config::units::RetryOn;

/// What went wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection came about, so nothing was sent.
    Connect,
    /// The connection broke before there was an answer.
    Reset,
    /// There was no answer in time.
    Timeout,
    /// The answer has this status.
    Status(u16),
}

/// The retries of one route.
#[derive(Debug)]
pub struct Retries {
    policy: config::Retry,
    budget: Budget,
    /// Retries that were made, and that the budget did not allow.
    made: AtomicU64,
    denied: AtomicU64,
}

impl Retries {
    /// Retries by this policy.
    pub fn new(policy: config::Retry, now: Instant) -> Self {
        let budget = Budget::new(policy.budget.share, policy.budget.min, now);
        Retries { policy, budget, made: AtomicU64::new(0), denied: AtomicU64::new(0) }
    }

    /// A request has come, from which the budget grows.
    pub fn request(&self, now: Instant) {
        self.budget.request(now);
    }

    /// Whether the policy has something to say to such a trouble.
    pub fn covers(&self, trouble: Trouble) -> bool {
        self.policy.on.iter().any(|on| match (on, trouble) {
            (RetryOn::Connect, Trouble::Connect)
            | (RetryOn::Reset, Trouble::Reset)
            | (RetryOn::Timeout, Trouble::Timeout) => true,
            (RetryOn::Status(range), Trouble::Status(status)) => range.contains(status),
            _ => false,
        })
    }

    /// Whether such a request may be sent once more, having been `sent` so often.
    fn may_repeat(&self, method: &Method, has_key: bool, sent: u32) -> bool {
        let repeatable = self.policy.methods.iter().any(|repeatable| repeatable.0 == *method);
        sent < self.policy.attempts.get() && (repeatable || self.policy.idempotency_key && has_key)
    }

    /// How long to wait, for a connection and then for the beginning of an answer, where `trouble` with it would have
    /// the request go out again.
    pub fn per_try_timeout(
        &self,
        trouble: Trouble,
        request: &Request<'_>,
        now: Instant,
        has_another: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        let timeout = self.policy.per_try_timeout?;
        let can_pay = || trouble == Trouble::Connect || self.budget.has_one(now);
        (self.are_possible(trouble, request) && can_pay() && has_another()).then_some(timeout)
    }

    /// Whether a request may go out again after `trouble`, if the budget has one more.
    fn are_possible(&self, trouble: Trouble, request: &Request<'_>) -> bool {
        let may_repeat = || self.may_repeat(request.method, request.has_key, request.sent) && request.is_kept;
        self.covers(trouble) && !request.is_answered && (trouble == Trouble::Connect || may_repeat())
    }

    /// A request goes out again after `trouble`, if it may, the budget has one more and `pick` finds somebody who takes it.
    pub fn again<T>(
        &self,
        trouble: Trouble,
        request: &Request<'_>,
        now: Instant,
        pick: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        if !self.are_possible(trouble, request) {
            return None;
        }
        // What has not been sent is not sent again.
        let is_free = trouble == Trouble::Connect;
        if !is_free && !self.budget.has_one(now) {
            self.denied.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let picked = pick()?;
        if !is_free {
            self.budget.spend(now);
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        Some(picked)
    }

    /// How many were made, and how many the budget did not allow.
    pub fn totals(&self) -> (u64, u64) {
        (self.made.load(Ordering::Relaxed), self.denied.load(Ordering::Relaxed))
    }
}

/// What a request is to whoever asks whether it may go out again.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// What it is to do.
    pub method: &'r Method,
    /// Whether it has an `Idempotency-Key`.
    pub has_key: bool,
    /// How often it was sent.
    pub sent: u32,
    /// Whether its body, as far as it was sent, is still there.
    pub is_kept: bool,
    /// Whether a part of an answer went to the client.
    pub is_answered: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn retries(block: &str) -> Retries {
        let text = format!("routes: [{{ path: /, targets: [http://a:1, http://b:1, http://c:1], retry: {block} }}]\n");
        let config = parse("test", &text, &|_| None).expect("valid").config;
        Retries::new(config.routes[0].retry.clone().expect("retries"), Instant::now())
    }

    #[test]
    fn troubles_are_covered_as_the_policy_says() {
        let standard = retries("on");
        assert!(standard.covers(Trouble::Connect) && standard.covers(Trouble::Reset));
        assert!(!standard.covers(Trouble::Timeout) && !standard.covers(Trouble::Status(503)));
        let own = retries("{ on: [timeout, 502, 503-504] }");
        assert!(
            own.covers(Trouble::Timeout) && [502, 503, 504].iter().all(|status| own.covers(Trouble::Status(*status)))
        );
        assert!(!own.covers(Trouble::Connect) && !own.covers(Trouble::Status(500)));
    }

    #[test]
    fn post_is_not_repeated_unless_it_has_a_key_and_the_config_says_so() {
        let (standard, keys) = (retries("on"), retries("{ attempts: 3, idempotencyKey: true, methods: [PUT] }"));
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(standard.may_repeat(&method, false, 1) && !standard.may_repeat(&method, false, 2));
            assert!(!keys.may_repeat(&method, false, 1));
        }
        for method in [Method::POST, Method::PATCH, Method::DELETE] {
            assert!(!standard.may_repeat(&method, true, 1), "the config says nothing of keys");
            assert!(!keys.may_repeat(&method, false, 1) && keys.may_repeat(&method, true, 2));
            assert!(!keys.may_repeat(&method, true, 3));
        }
        assert!(keys.may_repeat(&Method::PUT, false, 2));
    }
}
