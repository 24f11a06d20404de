//! What a route is called, and how its requests ended.

use serde::Serialize;

use crate::observe::tally::Totals;
use crate::snapshot;
use crate::upstream::mirror::{Mirror, Totals as Copies};

/// The same in each of its rows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Route {
    name: String,
    /// All that have ended.
    requests: u64,
    /// With 2xx, 401, 404 and 429.
    ok: u64,
    unauthorized: u64,
    not_found: u64,
    rate_limited: u64,
    /// With 503 for want of a target that takes them.
    no_target: u64,
    /// With 5xx that an upstream gave, and that the gateway gave for it.
    upstream_errors: u64,
    failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<Retries>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<Mirrored>,
}

#[derive(Serialize)]
struct Retries {
    made: u64,
    /// For want of budget.
    denied: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Mirrored {
    target_url: String,
    /// Sent whole and answered.
    sent: u64,
    failed: u64,
    dropped: u64,
    in_flight: u32,
}

pub(super) fn route(route: &snapshot::Route) -> Route {
    let Totals { requests, ok, unauthorized, not_found, limited, no_target, upstream_errors, failed } =
        route.tally.totals();
    let retries = |(made, denied)| Retries { made, denied };
    Route {
        name: route.name.to_string(),
        requests,
        ok,
        unauthorized,
        not_found,
        rate_limited: limited,
        no_target,
        upstream_errors,
        failed,
        retries: route.retries.as_ref().map(|of| retries(of.totals())),
        mirror: route.mirror.as_deref().map(mirrored),
    }
}

fn mirrored(mirror: &Mirror) -> Mirrored {
    let Copies { sent, failed, dropped } = mirror.totals();
    Mirrored { target_url: mirror.target.url.as_str().to_owned(), sent, failed, dropped, in_flight: mirror.in_flight() }
}
