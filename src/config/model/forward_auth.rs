//! `plugins.forwardAuth:`

use std::time::Duration;

use http::header::HeaderName;
use serde::{Serialize, Serializer};
use url::Url;

use super::period;

/// A service that is asked about each request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardAuth {
    /// Where it is.
    #[serde(serialize_with = "super::auth::text")]
    pub url: Url,
    /// All that its answer may take.
    #[serde(serialize_with = "period")]
    pub timeout: Duration,
    /// Fields of its answer that go upstream.
    #[serde(serialize_with = "names")]
    pub response_headers: Vec<HeaderName>,
}

fn names<S: Serializer>(names: &[HeaderName], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(HeaderName::as_str))
}
