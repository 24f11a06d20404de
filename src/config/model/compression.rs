//! `plugins.compression:`

use serde::{Serialize, Serializer};

use crate::config::file::{Coding, Level};
use crate::config::units::{MediaRange, Size};

/// Which answers are compressed, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// Of which media types.
    pub types: Vec<MediaRange>,
    /// Bytes that they have at least.
    #[serde(serialize_with = "size")]
    pub min_size: u64,
    /// In which codings, the one that is preferred first; at least one.
    pub algorithms: Vec<Coding>,
    /// How hard they try.
    pub level: Level,
}

fn size<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    Size(*bytes).serialize(serializer)
}
