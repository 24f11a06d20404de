//! How the requests of a route ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;

use super::answers::Answers;
use crate::histogram::Histogram;

/// One route's.
#[derive(Debug, Default)]
pub struct Tally {
    /// By method and status.
    pub answers: Answers,
    /// What statuses do not tell, of those from 500 on.
    no_target: AtomicU64,
    upstream_errors: AtomicU64,
    failed: AtomicU64,
    /// From the request's head to the end of the answer.
    pub elapsed: Histogram,
    /// The part of it in which no target had the request.
    pub within: Histogram,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'r> {
    /// Its method.
    pub method: &'r Method,
    /// What it was answered.
    pub status: u16,
    /// The gateway's word for that, where the gateway gave it.
    pub code: Option<&'r str>,
    /// From its head to the end of the answer.
    pub elapsed: Duration,
    /// The part of it in which no target had the request.
    pub within: Duration,
}

/// How often requests ended how. What is none of these is among the requests alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All that have ended.
    pub requests: u64,
    /// With a status of 200 to 299.
    pub ok: u64,
    /// With 401.
    pub unauthorized: u64,
    /// With 404.
    pub not_found: u64,
    /// With 429.
    pub limited: u64,
    /// For want of a target that takes them, with 503.
    pub no_target: u64,
    /// With a status of 500 or more that an upstream gave.
    pub upstream_errors: u64,
    /// With one that the gateway gave, since no upstream answered as it should.
    pub failed: u64,
}

impl Tally {
    /// A request has ended.
    pub fn ended(&self, end: &Ended<'_>) {
        self.answers.count(end.method, end.status);
        self.elapsed.observe(end.elapsed);
        self.within.observe(end.within);
        let count = match (end.status, end.code) {
            (..500, _) => return,
            (_, Some("no_target_available" | "overloaded")) => &self.no_target,
            (_, None) => &self.upstream_errors,
            (_, Some(_)) => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters.
    pub fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut totals = Totals {
            no_target: read(&self.no_target),
            upstream_errors: read(&self.upstream_errors),
            failed: read(&self.failed),
            ..Totals::default()
        };
        self.answers.each(|_, status, count| {
            totals.requests += count;
            match status {
                200..=299 => totals.ok += count,
                401 => totals.unauthorized += count,
                404 => totals.not_found += count,
                429 => totals.limited += count,
                _ => {}
            }
        });
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_by_how_it_ended() {
        let tally = Tally::default();
        for (status, code) in [
            (200, None),
            (204, None),
            (302, None),
            (401, Some("token_missing")),
            (404, None),
            (429, Some("rate_limited")),
            (499, Some("client_gone")),
            (500, None),
            (502, Some("upstream_reset")),
            (503, Some("no_target_available")),
            (503, Some("overloaded")),
            (503, None),
            (504, Some("upstream_timeout")),
        ] {
            let method = &Method::GET;
            tally.ended(&Ended { method, status, code, elapsed: Duration::from_millis(5), within: Duration::ZERO });
        }
        let expected = Totals {
            requests: 13,
            ok: 2,
            unauthorized: 1,
            not_found: 1,
            limited: 1,
            no_target: 2,
            upstream_errors: 2,
            failed: 2,
        };
        assert_eq!(tally.totals(), expected);
        assert_eq!((tally.elapsed.seen().within[3], tally.elapsed.seen().within[4]), (0, 13));
        assert_eq!((tally.within.seen().count, tally.answers.seen().len()), (13, 11));
    }
}
