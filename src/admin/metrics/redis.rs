//! The servers of Redis, where there are any.

use crate::observe::exposition::{Kind, Page};
use crate::snapshot::Snapshot;

pub(super) fn show(page: &mut Page, snapshot: &Snapshot) {
    let servers = snapshot.store.redis_health().unwrap_or_default();
    let help =
        "Whether a server of Redis is connected and answers; while none does, limits are counted in this process.";
    let mut family = page.family("aegis_redis_up", Kind::Gauge, help);
    for server in &servers {
        family.sample(&[("server", &server.address)], (server.up == Some(true)).into());
    }
    let mut family = page.family("aegis_redis_calls_total", Kind::Counter, "Round trips to a server of Redis.");
    for server in &servers {
        for (outcome, count) in [("success", server.calls - server.failed), ("failure", server.failed)] {
            family.sample(&[("server", &server.address), ("outcome", outcome)], count as f64);
        }
    }
}
