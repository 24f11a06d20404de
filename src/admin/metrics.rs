//! `GET /metrics`: everything that is counted, as Prometheus reads it.
//!
//! Labels are names of the config and addresses of targets, never what a client wrote, so that nobody from outside can make up
//! series.

mod process;
mod redis;
mod routes;
mod targets;

use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::observe::exposition::{Kind, Page};
use crate::reload::report::Outcome;
use crate::shared::Shared;

/// The page.
pub fn page(shared: &Shared, now: Instant) -> String {
    let snapshot = shared.snapshot.load_full();
    let mut page = Page::default();
    routes::show(&mut page, &snapshot, &shared.unrouted);
    targets::show(&mut page, &snapshot, now);
    redis::show(&mut page, &snapshot);
    gateway(&mut page, shared);
    process::show(&mut page);
    page.finish()
}

fn gateway(page: &mut Page, shared: &Shared) {
    let version = page.family("aegis_build_info", Kind::Gauge, "The program that runs; always 1.");
    { version }.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    let under_way = shared.in_flight.load(Ordering::Relaxed);
    page.one("aegis_requests_in_flight", Kind::Gauge, "Requests under way.", under_way as f64);
    page.one("aegis_connections", Kind::Gauge, "Open connections of clients.", shared.crowd.count().into());
    page.one(
        "aegis_draining",
        Kind::Gauge,
        "Whether the process is about to end, and sends clients elsewhere.",
        shared.drain.is_begun().into(),
    );
    page.one(
        "aegis_access_log_lost_lines_total",
        Kind::Counter,
        "Lines of the access log that were dropped, since its file did not keep up or could not be written.",
        shared.access_log.lost() as f64,
    );
    let last = shared.reloads.last();
    let generation = shared.snapshot.load().generation;
    page.one(
        "aegis_config_generation",
        Kind::Gauge,
        "Which config requests run under, counted from the start of the process.",
        generation as f64,
    );
    page.one(
        "aegis_config_last_reload_success",
        Kind::Gauge,
        "Whether the config could run that was read last.",
        (last.outcome != Outcome::Rejected).into(),
    );
    page.one(
        "aegis_config_last_reload_timestamp_seconds",
        Kind::Gauge,
        "When the config was read last, in seconds since 1970.",
        seconds(last.at),
    );
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
