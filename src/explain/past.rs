//! What became of a request that is over.

use jiff::Timestamp;
use serde::Serialize;

use super::{PluginVerdict, RouteName, SkippedTarget, millis, skipped, verdicts};
use crate::breaker::Outcome;
use crate::observe::recent::Recent;
use crate::upstream::tried::Tried;

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Its correlation id.
    pub request_id: String,
    /// When it ended (RFC 3339).
    pub at: String,
    /// Its method.
    pub method: String,
    /// Its path in normal form.
    pub path: String,
    /// The path that its target was sent, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded_path: Option<String>,
    /// Who sent it, seen through trusted proxies.
    pub client: String,
    /// The other end of the connection.
    pub peer: String,
    /// The generation of the config that it ran under.
    pub config: u64,
    /// The status that the client got.
    pub status: u16,
    /// Why it ended as it did, in a word.
    pub reason: &'static str,
    /// From its head to the end of the answer.
    pub duration_ms: f64,
    /// The part of it in which no target had it.
    pub gateway_ms: f64,
    /// The route that took it.
    pub route: Option<RouteName>,
    /// What its plugins said, in their order.
    pub plugins: Vec<PluginVerdict>,
    /// The targets that were passed over.
    pub skipped: Vec<SkippedTarget>,
    /// The attempts, in their order.
    pub attempts: Vec<Attempt>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The URL of its target.
    pub target: String,
    /// Where it went, as far as it got.
    pub address: Option<String>,
    /// When it began, from the request's beginning on.
    pub at_ms: f64,
    /// How long it took.
    pub took_ms: f64,
    /// How long it took to get a connection, if there was one.
    pub connected_after_ms: Option<f64>,
    /// Whether that had been used before.
    pub reused: Option<bool>,
    /// The status of its answer, if there was one.
    pub status: Option<u16>,
    /// What it meant for the breaker: `success`, `failure` or `neutral`.
    pub outcome: &'static str,
    /// What the target did wrong.
    pub cause: Option<String>,
    /// Whether it was the probe of a circuit that had been open.
    pub probe: bool,
}

impl From<&Recent> for Explanation {
    fn from(recent: &Recent) -> Self {
        let at = Timestamp::try_from(recent.at).unwrap_or(Timestamp::UNIX_EPOCH);
        Explanation {
            request_id: recent.request_id.to_string(),
            at: format!("{at:.3}"),
            method: recent.method.to_string(),
            path: recent.path.to_string(),
            forwarded_path: recent.forwarded.as_ref().map(ToString::to_string),
            client: recent.client.to_string(),
            peer: recent.peer.to_string(),
            config: recent.generation,
            status: recent.status,
            reason: recent.reason,
            duration_ms: millis(recent.elapsed),
            gateway_ms: millis(recent.within),
            route: recent
                .route
                .as_ref()
                .map(|(name, path)| RouteName { name: name.to_string(), path: path.to_string() }),
            plugins: verdicts(&recent.trail),
            skipped: skipped(&recent.trail),
            attempts: recent.trail.attempts.iter().map(Attempt::from).collect(),
        }
    }
}

impl From<&Tried> for Attempt {
    fn from(tried: &Tried) -> Self {
        Attempt {
            target: tried.target.to_string(),
            address: tried.course.address.map(|address| address.to_string()),
            at_ms: millis(tried.at),
            took_ms: millis(tried.took),
            connected_after_ms: tried.course.connected.map(|connected| millis(connected.after)),
            reused: tried.course.connected.map(|connected| connected.reused),
            status: tried.course.status,
            outcome: match tried.course.outcome {
                Some(Outcome::Success) => "success",
                Some(Outcome::Failure) => "failure",
                Some(Outcome::Neutral) | None => "neutral",
            },
            cause: tried.course.cause.as_ref().map(ToString::to_string),
            probe: tried.course.is_probe,
        }
    }
}
