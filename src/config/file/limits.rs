//! `limits:`

use super::words::{OrOff, Positive};
use crate::config::located::Located;
use crate::config::units::{Count, Rate, Size};

/// `limits:` at the top level: what a client may ask of the gateway.
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { maxBody: 10MiB }")]
pub struct Limits {
    /// Bytes of a request's body; more is refused with 413. Default: `off`, since bodies are passed on as they come.
    pub max_body: Option<OrOff<Size>>,
    /// Header fields of a request, 250 at most; more is refused with 431. Default: `100`.
    pub max_headers: Option<Located<Count>>,
    /// Bytes of a request's head, from 64 to 1MiB; more is refused with 431. Default: `64KiB`.
    pub max_header_bytes: Option<Located<Size>>,
    /// Bytes of a request's target, the query included, from 64 to 1MiB; more is refused with 414. Default: `8KiB`.
    pub max_uri: Option<Located<Size>>,
    /// How long a head may take to arrive, from its first byte. Default: `10s`.
    pub header_timeout: Option<Positive>,
    /// Bytes a second that a client has to send of its body, and to take of its answer, on average; or `off`. Default:
    /// `500B`.
    pub min_rate: Option<OrOff<Rate>>,
    /// How long a client may keep the gateway waiting beyond that. Default: `20s`.
    pub min_rate_grace: Option<Positive>,
    /// How long a connection may be unused. Default: `60s`.
    pub idle_timeout: Option<Positive>,
    /// Connections in all. Default: `100000`.
    pub max_connections: Option<Count>,
    /// Connections of one client address, or `off`. Default: `off`.
    pub max_connections_per_client: Option<OrOff<Count>>,
    /// Requests on one connection before it is closed, or `off`. Default: `off`.
    pub max_requests_per_connection: Option<OrOff<Count>>,
    /// Requests of one connection of HTTP/2 that may be under way. Default: `128`.
    pub max_streams: Option<Count>,
}

/// `limits:` of a route.
#[derive(Clone, Copy, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { maxBody: 10MiB }")]
pub struct RouteLimits {
    /// Bytes of a request's body, or `off`. Default: those of the gateway's `limits`.
    pub max_body: Option<OrOff<Size>>,
    /// Bytes a second of a body and of an answer, or `off`. Default: those of the gateway's `limits`.
    pub min_rate: Option<OrOff<Rate>>,
}
