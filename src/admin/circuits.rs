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
enum Action {
    /// It is kept in a state.
    Hold(Hold),
    /// It decides again.
    Reset,
}

impl Action {
    /// As it is called in a path.
    fn named(path: &str) -> Option<Self> {
        match path.strip_prefix("/circuits/")? {
            "open" => Some(Action::Hold(Hold::Open)),
            "close" => Some(Action::Hold(Hold::Closed)),
            "reset" => Some(Action::Reset),
            _ => None,
        }
    }
}

/// Does what `path` says to the target that `query` names, which need not be in use any more, and says how its circuit is now.
///
/// # Errors
/// There is no such target.
pub fn act(path: &str, query: &str, snapshot: &Snapshot, now: Instant) -> Result<Vec<u8>, Denial> {
    let action = Action::named(path)
        .ok_or_else(|| Denial::new(StatusCode::NOT_FOUND, "not_found", "Nothing of that kind is done."))?;
    let url = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "target").map(|(_, url)| url);
    let Some(url) = url else {
        let why = "Say which target: ?target=URL, as the stats show it.";
        return Err(Denial::new(StatusCode::BAD_REQUEST, "target_missing", why));
    };
    let url = url.parse::<TargetUrl>().map_or_else(|_| url.into_owned(), |url| url.to_string());
    let circuit = snapshot.registry.circuit(&url).map_err(|known| {
        let known = known.iter().map(String::as_str);
        let hint = nearest(&url, known).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        Denial::new(StatusCode::NOT_FOUND, "no_such_target", format!("There is no target {url}{hint}"))
    })?;
    match action {
        Action::Hold(hold) => circuit.hold(hold, now),
        Action::Reset => circuit.reset(now),
    }
    log::info!("{url}: its circuit is {} by hand", said(action));
    Ok(shown(&url, circuit.view(now).phase, action != Action::Reset))
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
