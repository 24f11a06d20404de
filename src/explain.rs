//! Why a request went as it did ([`past`]), and how one would go ([`preview`]); for programs as JSON, for people as [`text`].
//!
//! No credentials are in there, and of a path no query.

pub mod past;
pub mod preview;
mod routes;
pub mod text;

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::breaker;
use crate::trail::{Trail, Verdict};
use crate::upstream::attempt::Refused;
use crate::upstream::pool::{Reluctance, Skip};

/// A route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteName {
    /// What it is known by.
    pub name: String,
    /// Its path prefix.
    pub path: String,
}

/// What a plugin said.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginVerdict {
    /// Its name in the config.
    pub plugin: &'static str,
    /// Whether it let the request pass.
    pub passed: bool,
    /// The code of its refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What its refusal says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it was asked, from the request's beginning on.
    pub at_ms: f64,
    /// How long it took.
    pub took_ms: f64,
    /// What it went by.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub went_by: Value,
}

impl From<&Verdict> for PluginVerdict {
    fn from(verdict: &Verdict) -> Self {
        PluginVerdict {
            plugin: verdict.plugin,
            passed: verdict.refused.is_none(),
            code: verdict.refused.as_ref().map(|(code, _)| *code),
            why: verdict.refused.as_ref().map(|(_, why)| why.to_string()),
            at_ms: millis(verdict.at),
            took_ms: millis(verdict.took),
            went_by: verdict.facts.as_ref().map_or(Value::Null, |facts| facts.to_json()),
        }
    }
}

/// A target that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkippedTarget {
    /// Its URL.
    pub target: String,
    /// Why, in a word for programs.
    pub why: &'static str,
    /// Why, for people.
    pub detail: String,
    /// How many attempts there had been.
    pub after_attempts: usize,
}

fn verdicts(trail: &Trail) -> Vec<PluginVerdict> {
    trail.verdicts.iter().map(PluginVerdict::from).collect()
}

fn skipped(trail: &Trail) -> Vec<SkippedTarget> {
    let skipped = trail.passed_over.iter().map(|passed| SkippedTarget {
        target: passed.target.to_string(),
        why: word(passed.why),
        detail: sentence(passed.why, passed.seen),
        after_attempts: passed.after,
    });
    skipped.collect()
}

fn word(skip: Skip) -> &'static str {
    match skip {
        Skip::Tried => "tried",
        Skip::Refused(Refused::Breaker(breaker::Refused::Open(_))) => "circuit_open",
        Skip::Refused(Refused::Breaker(breaker::Refused::Probing)) => "circuit_probing",
        Skip::Refused(Refused::Breaker(breaker::Refused::Held)) => "held_open",
        Skip::Refused(Refused::Full) => "full",
        Skip::Refused(Refused::Ill(_)) => "unhealthy",
        Skip::Reluctant(Reluctance::OverShare) => "over_share",
        Skip::Reluctant(Reluctance::Crowded) => "crowded",
        Skip::Reluctant(Reluctance::WarmingUp) => "warming_up",
    }
}

/// `seen` is when it was so.
fn sentence(skip: Skip, seen: Instant) -> String {
    match skip {
        Skip::Tried => "it was tried for this request before".to_owned(),
        Skip::Refused(Refused::Breaker(breaker::Refused::Open(until))) => {
            let wait = until.saturating_duration_since(seen);
            format!("its circuit is open, for {:.1} s from then on", wait.as_secs_f64())
        }
        Skip::Refused(Refused::Breaker(breaker::Refused::Probing)) => {
            "its circuit is half-open, and another request is the probe".to_owned()
        }
        Skip::Refused(Refused::Breaker(breaker::Refused::Held)) => "its circuit is held open by hand".to_owned(),
        Skip::Refused(Refused::Full) => "it has as many requests under way as it may".to_owned(),
        Skip::Refused(Refused::Ill(_)) => "its health checks fail".to_owned(),
        Skip::Reluctant(Reluctance::OverShare) => "it has more than its share under way".to_owned(),
        Skip::Reluctant(Reluctance::Crowded) => "it leaves far more requests unanswered than others do".to_owned(),
        Skip::Reluctant(Reluctance::WarmingUp) => "it has just come back, and gets more by and by".to_owned(),
    }
}

/// In milliseconds, to the microsecond.
fn millis(span: Duration) -> f64 {
    span.as_micros() as f64 / 1_000.0
}
