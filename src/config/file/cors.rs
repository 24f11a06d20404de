//! `plugins.cors:`

use super::words::Block;
use crate::config::located::{Located, OneOrMany};
use crate::config::units::{Period, WebOrigin};

/// `plugins.cors:`
#[derive(Clone, Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { origins: [https://app.example.com] }"
)]
pub struct Cors {
    /// Whose pages may read answers; one or a list.
    pub origins: Located<OneOrMany<Located<WebOrigin>>>,
    /// By which methods they may ask, or `*`; one or a list. Default: `[GET, HEAD, POST, PUT, PATCH, DELETE]`.
    pub methods: Option<Located<OneOrMany<Located<String>>>>,
    /// Which header fields they may send, or `*`; one or a list. Default: `[authorization, content-type]`.
    pub headers: Option<Located<OneOrMany<Located<String>>>>,
    /// Which fields of answers they may read beside the harmless ones, or `*`; one or a list. Default: none.
    pub expose_headers: Option<Located<OneOrMany<Located<String>>>>,
    /// Whether their requests may come with cookies and certificates; not for every origin. Default: `false`.
    #[serde(default)]
    pub credentials: bool,
    /// How long a browser need not ask again. Default: `10m`.
    pub max_age: Option<Period>,
}

impl Block for Cors {
    const ON: Option<fn() -> Self> = None;
    const EXPECTED: &'static str = "off, or a block such as { origins: [https://app.example.com] }";
}
