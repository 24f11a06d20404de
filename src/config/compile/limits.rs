//! `limits:`

use super::Compiler;
use crate::config::file;
use crate::config::located::Located;
use crate::config::model::{Limits, RouteLimits};
use crate::config::units::{Count, Size};
use crate::downstream::framing::Bounds;
use crate::downstream::pace::Pace;

/// Pingora's own, whose answer would not be ours.
const MOST_FIELDS: u32 = 250;
const MOST_BYTES: u64 = 1 << 20;

/// Those of a route: its own, and what it does not say is the gateway's. `off` is none, whatever the gateway's is.
pub fn of_route(written: Option<&file::RouteLimits>, limits: &Limits) -> RouteLimits {
    let own = written.copied().unwrap_or_default();
    let min_rate = own.min_rate.map_or(limits.min_rate, |rate| rate.0.map(|rate| rate.0));
    RouteLimits {
        max_body: own.max_body.map_or(limits.max_body, |size| size.0.map(|size| size.0)),
        pace: min_rate.map(|rate| Pace { rate, grace: limits.min_rate_grace }),
    }
}

impl Compiler<'_> {
    pub(super) fn limits(&mut self, written: &file::Limits) -> Limits {
        let standard = Limits::default();
        let number = |count: Option<file::OrOff<Count>>| count.and_then(|count| count.0).map(|count| count.0.get());
        Limits {
            max_body: written.max_body.and_then(|size| size.0).map(|size| size.0),
            head: Bounds {
                fields: self.fields(written.max_headers, standard.head.fields),
                bytes: self.bytes(written.max_header_bytes, "maxHeaderBytes", standard.head.bytes),
                target: self.bytes(written.max_uri, "maxUri", standard.head.target),
            },
            header_timeout: written.header_timeout.map_or(standard.header_timeout, |period| period.0.0),
            min_rate: written.min_rate.map_or(standard.min_rate, |rate| rate.0.map(|rate| rate.0)),
            min_rate_grace: written.min_rate_grace.map_or(standard.min_rate_grace, |period| period.0.0),
            idle_timeout: written.idle_timeout.map_or(standard.idle_timeout, |period| period.0.0),
            max_connections: written.max_connections.map_or(standard.max_connections, |count| count.0.get()),
            max_connections_per_client: number(written.max_connections_per_client),
            max_requests_per_connection: number(written.max_requests_per_connection),
            max_streams: written.max_streams.map_or(standard.max_streams, |count| count.0.get()),
        }
    }

    fn fields(&mut self, written: Option<Located<Count>>, standard: usize) -> usize {
        let Some(count) = written else { return standard };
        if count.0.get() > MOST_FIELDS {
            let message = format!("{} is out of range; write at most {MOST_FIELDS}", count.value);
            self.error(count.at, "limits.maxHeaders", message);
        }
        count.0.get() as usize
    }

    fn bytes(&mut self, written: Option<Located<Size>>, key: &str, standard: usize) -> usize {
        let Some(size) = written else { return standard };
        if !(64..=MOST_BYTES).contains(&size.0) {
            let message = format!("{} is out of range; write 64 to {}", size.value, Size(MOST_BYTES));
            self.error(size.at, format!("limits.{key}"), message);
        }
        size.0.min(MOST_BYTES) as usize
    }
}
