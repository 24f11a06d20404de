//! `plugins.compression:`

use super::words::Block;
use crate::config::located::{Located, OneOrMany};
use crate::config::units::{MediaRange, Size};

/// `plugins.compression:` as a block.
#[derive(Clone, Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "true, or a block such as { minSize: 1KiB }")]
pub struct Compression {
    /// Of which media types answers are compressed; one or a list. Default: those that are text.
    pub types: Option<Located<OneOrMany<MediaRange>>>,
    /// Bytes that an answer has at least. Default: `1KiB`.
    pub min_size: Option<Size>,
    /// In which codings, the one that is preferred first; one or a list. Default: `[zstd, br, gzip]`.
    pub algorithms: Option<Located<OneOrMany<Located<Coding>>>>,
    /// How hard they try. Default: `balanced`.
    #[serde(default)]
    pub level: Level,
}

impl Block for Compression {
    const ON: Option<fn() -> Self> = Some(Compression::default);
    const EXPECTED: &'static str = "true, off, or a block such as { minSize: 1KiB }";
}

/// A coding of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Coding {
    /// Zstandard (RFC 8878, RFC 9659).
    Zstd,
    /// Brotli (RFC 7932).
    Br,
    /// Gzip (RFC 1952).
    Gzip,
}

impl Coding {
    /// All of them.
    pub const ALL: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

    /// Its name in `Content-Encoding`.
    pub fn as_str(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Br => "br",
            Coding::Gzip => "gzip",
        }
    }
}

/// How hard a coding tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Little time.
    Fast,
    /// Some.
    #[default]
    Balanced,
    /// As much as makes sense while somebody waits.
    Small,
}
