//! `GET /keys`: the keys of tokens that are fetched, and how that went.

use serde::Serialize;

use crate::endpoint::stats::clock::timestamp;
use crate::plugin::auth::remote::Remote;
use crate::snapshot::Snapshot;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// Who is asked.
    source: String,
    /// How many keys are known.
    keys: usize,
    /// When they were given the last time.
    last_success: Option<String>,
    /// Why they were not since then.
    error: Option<String>,
}

/// A row for each issuer, as JSON.
pub fn json(snapshot: &Snapshot) -> Vec<u8> {
    let row = |remote| {
        let (keys, status) = (Remote::current(remote).keys.len(), Remote::status(remote));
        Row { source: remote.name(), keys, last_success: status.succeeded.map(timestamp), error: status.error }
    };
    let rows: Vec<Row> = snapshot.remotes().map(|remote| row(remote)).collect();
    serde_json::to_vec(&rows).unwrap_or_default()
}
