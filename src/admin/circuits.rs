//! Circuits by hand: kept open, to drain an instance for maintenance; kept closed; and left to themselves again.

use std::time::Instant;

use http::StatusCode;
use serde::Serialize;

use super::Denial;
use crate::breaker::{Hold, Phase};
use crate::config::error::nearest;
use crate::config::units::TargetUrl;
use crate::snapshot::Snapshot;

/// What is done to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is kept in a state.
    Hold(Hold),
    /// It decides again.
    Reset,
}

impl Action {
    /// As it is called in a path.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "open" => Some(Action::Hold(Hold::Open)),
            "close" => Some(Action::Hold(Hold::Closed)),
            "reset" => Some(Action::Reset),
            _ => None,
        }
    }
}

/// Does so to the target that `query` names, and says how its circuit is now.
///
/// # Errors
/// There is no such target.
pub fn act(action: Action, query: &str, snapshot: &Snapshot, now: Instant) -> Result<Vec<u8>, Denial> {
    let url = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "target").map(|(_, url)| url);
    let Some(url) = url else {
        let why = "Say which target: ?target=URL, as the stats show it.";
        return Err(Denial::new(StatusCode::BAD_REQUEST, "target_missing", why));
    };
    let url = url.parse::<TargetUrl>().map_or_else(|_| url.into_owned(), |url| url.to_string());
    let targets = snapshot.registry.all();
    let Some(target) = targets.iter().find(|target| target.url.as_str() == url) else {
        let known = targets.iter().map(|target| target.url.as_str());
        let hint = nearest(&url, known).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        let why = format!("There is no target {url}{hint}");
        return Err(Denial::new(StatusCode::NOT_FOUND, "no_such_target", why));
    };
    match action {
        Action::Hold(hold) => target.circuit.hold(hold, now),
        Action::Reset => target.circuit.reset(now),
    }
    log::info!("{}: its circuit is {} by hand", target.url, said(action));
    Ok(shown(target.url.as_str(), target.view(now).phase, action != Action::Reset))
}

fn said(action: Action) -> &'static str {
    match action {
        Action::Hold(Hold::Open) => "kept open",
        Action::Hold(Hold::Closed) => "kept closed",
        Action::Reset => "reset",
    }
}

fn shown(target_url: &str, phase: Phase, held: bool) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Shown<'s> {
        target_url: &'s str,
        state: &'static str,
        held: bool,
    }
    serde_json::to_vec(&Shown { target_url, state: phase.name(), held }).unwrap_or_default()
}
