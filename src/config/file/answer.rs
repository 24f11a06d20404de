//! `redirect:`, `respond:`

use crate::config::located::Located;
use crate::config::units::FieldText;
use crate::routing::answer::{FinalStatus, RedirectStatus};
use crate::routing::elsewhere::Elsewhere;

/// `redirect:`
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { to: https://www.example.com, status: 308, keepPath: true }"
)]
pub struct Redirect {
    /// A URL, or a path of the same host; maybe with a query.
    pub to: Elsewhere,
    /// 302 or 307 (the method is kept); for good 301 or 308 (kept); 303 (`GET`). Default: `302`.
    pub status: Option<RedirectStatus>,
    /// Whether what a request's path has below the route's is added. Default: `false`.
    #[serde(default)]
    pub keep_path: bool,
    /// Whether a request's query is added. Default: `false`.
    #[serde(default)]
    pub keep_query: bool,
}

/// What a body is that is not said to be anything else.
pub fn plain_text() -> FieldText {
    FieldText::from_static("text/plain; charset=utf-8")
}

/// `respond:`
#[derive(Debug, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { status: 503, body: Back soon. }")]
pub struct Respond {
    /// 200 to 599. Default: `200`.
    pub status: Option<FinalStatus>,
    /// The text of the answer; not with a status that has none. Default: none.
    pub body: Option<Located<String>>,
    /// What the body is. Default: `text/plain; charset=utf-8`.
    pub content_type: Option<Located<FieldText>>,
}
