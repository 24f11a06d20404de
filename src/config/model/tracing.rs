//! `tracing:`

use http::HeaderName;
use serde::{Serialize, Serializer};
use url::Url;

use crate::config::conceal::{MASK, named};
use crate::config::units::Secret;
use crate::ratio::Ratio;

/// Where spans of requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// By OTLP over HTTP.
    #[serde(serialize_with = "without_query")]
    pub endpoint: Url,
    /// How many of the requests are recorded, of which nobody else has decided.
    pub sample: Ratio,
    /// Header fields to send along.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "masked")]
    pub headers: Vec<(HeaderName, Secret)>,
    /// What the gateway is called.
    pub service_name: String,
}

fn without_query<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&named(url))
}

fn masked<S: Serializer>(headers: &[(HeaderName, Secret)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, _)| (name.as_str(), MASK)))
}
