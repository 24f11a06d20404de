//! `limits:`

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{or_off, period};
use crate::config::units::Size;
use crate::downstream::framing::Bounds;
use crate::downstream::pace::Pace;

/// What clients may ask of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Bytes of a body; `None`: any number.
    #[serde(serialize_with = "size_or_off")]
    pub max_body: Option<u64>,
    /// How large a head may be.
    #[serde(flatten, serialize_with = "bounds")]
    pub head: Bounds,
    /// How long it may take to arrive, from its first byte.
    #[serde(serialize_with = "period")]
    pub header_timeout: Duration,
    /// Bytes a second that they send of a body and take of an answer; `None`: as few as they like.
    #[serde(serialize_with = "rate_or_off")]
    pub min_rate: Option<NonZeroU64>,
    /// How long they may keep the gateway waiting beyond that.
    #[serde(serialize_with = "period")]
    pub min_rate_grace: Duration,
    /// How long a connection may be unused.
    #[serde(serialize_with = "period")]
    pub idle_timeout: Duration,
    /// Connections in all.
    pub max_connections: u32,
    /// Connections of one client address; `None`: any number.
    #[serde(serialize_with = "or_off")]
    pub max_connections_per_client: Option<u32>,
    /// Requests on one connection; `None`: any number.
    #[serde(serialize_with = "or_off")]
    pub max_requests_per_connection: Option<u32>,
    /// Requests of one connection of HTTP/2 that are under way.
    pub max_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_body: None,
            head: Bounds { fields: 100, bytes: 64 << 10, target: 8 << 10 },
            header_timeout: Duration::from_secs(10),
            // As Apache httpd has it in its `mod_reqtimeout`.
            min_rate: NonZeroU64::new(500),
            min_rate_grace: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            max_connections: 100_000,
            max_connections_per_client: None,
            max_requests_per_connection: None,
            max_streams: 128,
        }
    }
}

/// What clients may ask of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteLimits {
    /// Bytes of a body; `None`: any number.
    #[serde(serialize_with = "size_or_off")]
    pub max_body: Option<u64>,
    /// How fast they have to be; `None`: as slow as they like.
    #[serde(rename = "minRate", serialize_with = "pace_or_off")]
    pub pace: Option<Pace>,
}

/// The rate of it, or `off`.
fn pace_or_off<S: Serializer>(pace: &Option<Pace>, serializer: S) -> Result<S::Ok, S::Error> {
    rate_or_off(&pace.map(|pace| pace.rate), serializer)
}

/// Bytes a second, or `off`.
fn rate_or_off<S: Serializer>(rate: &Option<NonZeroU64>, serializer: S) -> Result<S::Ok, S::Error> {
    size_or_off(&rate.map(NonZeroU64::get), serializer)
}

/// Bytes, or `off`.
pub fn size_or_off<S: Serializer>(bytes: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    or_off(&bytes.map(Size), serializer)
}

fn bounds<S: Serializer>(bounds: &Bounds, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Written {
        max_headers: usize,
        max_header_bytes: Size,
        max_uri: Size,
    }
    let &Bounds { fields, bytes, target } = bounds;
    Written { max_headers: fields, max_header_bytes: Size(bytes as u64), max_uri: Size(target as u64) }
        .serialize(serializer)
}
