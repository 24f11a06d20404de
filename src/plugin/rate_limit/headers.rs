//! What clients are told of their limits, on every answer.
//!
//! `legacy` are the three `X-RateLimit-*` fields, which can tell of one limit: the one that is nearest to
//! its end. `ietf` are `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), structured
//! fields with an item for each limit.

use std::fmt::Write as _;

use http::{HeaderName, HeaderValue};

use super::algorithm::{Quota, View};
use super::rule::{Asked, Rule};
use crate::config::LimitAlgorithm;
use crate::plugin::Notes;
use crate::refusal::whole_seconds;

static X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// A limit as one request sees it.
struct Shown<'a> {
    rule: &'a Rule,
    quota: Quota,
    view: View,
}

/// Adds the fields for how things stand. What a dry run says is nobody's business but the operator's.
pub fn add(notes: &mut Notes, asked: &Asked, views: &[View]) {
    let shown = |(counted, view): (&'_ super::rule::Counted, &View)| {
        let rule = &asked.limits.rules[counted.rule];
        (!rule.dry_run).then_some(Shown { rule, quota: counted.charge.quota, view: *view })
    };
    let shown = || asked.counters.iter().zip(views).filter_map(shown);
    let nearest = shown()
        .filter(|shown| shown.rule.headers.legacy())
        .min_by_key(|Shown { rule, view, .. }| (view.remaining / rule.cost, std::cmp::Reverse(view.reset)));
    if let Some(Shown { quota, view, .. }) = nearest {
        notes.answer.extend([
            (X_RATELIMIT_LIMIT.clone(), HeaderValue::from(quota.limit())),
            (X_RATELIMIT_REMAINING.clone(), HeaderValue::from(view.remaining)),
            (X_RATELIMIT_RESET.clone(), HeaderValue::from(whole_seconds(view.reset))),
        ]);
    }
    let (mut policies, mut limits) = (String::new(), String::new());
    for Shown { rule, quota, view } in shown().filter(|shown| shown.rule.headers.ietf()) {
        if !policies.is_empty() {
            policies.push_str(", ");
            limits.push_str(", ");
        }
        // Writing to a string cannot fail.
        let _ = write!(policies, "\"{}\";q={}", rule.label, quota.limit());
        if let Some(window) = window(&quota) {
            let _ = write!(policies, ";w={window}");
        }
        let _ = write!(limits, "\"{}\";r={};t={}", rule.label, view.remaining, whole_seconds(view.reset));
    }
    let value = |text: String| HeaderValue::try_from(text).ok().filter(|value| !value.is_empty());
    if let (Some(policies), Some(limits)) = (value(policies), value(limits)) {
        notes.answer.extend([(RATELIMIT_POLICY.clone(), policies), (RATELIMIT.clone(), limits)]);
    }
}

/// The time that the limit is for, in whole seconds; `None` where it is none. A bucket's is the time in which
/// all of it drains: `q` in `w` is its rate then.
fn window(quota: &Quota) -> Option<u64> {
    let millis = match quota.algorithm {
        LimitAlgorithm::TokenBucket => {
            let drains = quota.window_millis() * u64::from(quota.limit());
            drains.div_ceil(u64::from(quota.max.get())).next_multiple_of(1_000)
        }
        _ => quota.window_millis(),
    };
    (millis % 1_000 == 0).then_some(millis / 1_000)
}
