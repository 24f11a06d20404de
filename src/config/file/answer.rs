//! `redirect:`, `respond:`

use crate::config::located::Located;
use crate::config::units::FieldText;
use crate::routing::answer::{FinalStatus, RedirectStatus};
use crate::routing::elsewhere::Elsewhere;

/// `redirect:`
#[derive(Debug, serde::Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a block such as { to: https://www.example.com, status: 308, keepPath: true }"
)]
pub struct Redirect {
    /// A URL, or a path of the same host.
    pub to: Elsewhere,
    /// 301, 302, 303, 307 or 308. Default: 302.
    pub status: Option<RedirectStatus>,
    /// Whether what the path has below the route's is added. Default: no.
    #[serde(default)]
    pub keep_path: bool,
    /// Whether the query is. Default: no.
    #[serde(default)]
    pub keep_query: bool,
}

/// What a body is that is not said to be anything else.
pub fn plain_text() -> FieldText {
    FieldText::from_static("text/plain; charset=utf-8")
}

/// `respond:`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { status: 503, body: Back soon. }")]
pub struct Respond {
    /// 200 to 599. Default: 200.
    pub status: Option<FinalStatus>,
    /// Default: none.
    pub body: Option<Located<String>>,
    /// What the body is. Default: `text/plain; charset=utf-8`.
    pub content_type: Option<Located<FieldText>>,
}
