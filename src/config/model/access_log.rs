//! `accessLog:`

use serde::Serialize;

use crate::config::file::LogFormat;
use crate::observe::access_log::privacy::{Masks, QueryShown};
use crate::ratio::Ratio;

/// The access log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccessLog {
    /// How a line is written.
    pub format: LogFormat,
    /// The file's name; `-` is standard output.
    pub file: String,
    /// How many of the lines of requests that went well; `None`: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Ratio>,
    /// What is shown of queries.
    pub query: QueryShown,
    /// Whose names are masked.
    #[serde(skip_serializing_if = "no_mask", serialize_with = "masks")]
    pub mask: Masks,
}

fn no_mask(mask: &Masks) -> bool {
    *mask == Masks::default()
}

fn masks<S: serde::Serializer>(mask: &Masks, serializer: S) -> Result<S::Ok, S::Error> {
    let names = [("client", mask.client), ("user", mask.user)];
    serializer.collect_seq(names.into_iter().filter(|(_, is_masked)| *is_masked).map(|(name, _)| name))
}
