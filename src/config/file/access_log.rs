//! `accessLog:`

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

use crate::config::located::{Located, OneOrMany};
use crate::observe::access_log::privacy::QueryShown;
use crate::observe::access_log::template::Template;
use crate::ratio::Ratio;

/// `accessLog:`
#[derive(Debug, Default, schemars::JsonSchema, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "a block such as { format: json }")]
pub struct AccessLog {
    /// How a line is written: `text`, `json`, or a form such as `"{time} {client} {method} {path} {status}"`. Default: `text`.
    #[serde(default)]
    pub format: LogFormat,
    /// A file's name, or `-` for standard output. Default: `"-"`.
    pub file: Option<String>,
    /// How many of the lines are written that tell of a request that went well: `10%`. All others always are. Default: all of them.
    pub sample: Option<Ratio>,
    /// What is shown of queries. Default: `omit`.
    #[serde(default)]
    pub query: QueryShown,
    /// Whose names are masked; one or a list. Default: nobody's.
    pub mask: Option<OneOrMany<Located<Masked>>>,
}

/// How an access-log line is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `[GET] http://a:1/users → 200 (3ms) [id]`
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// In a form of one's own.
    Template(Template),
}

impl<'de> Deserialize<'de> for LogFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            line if line.contains(['{', '}']) => line.parse().map(LogFormat::Template).map_err(D::Error::custom),
            other => Err(D::Error::custom(format!(
                "\"{other}\" is no form of a line; write text, json, or one such as \"{{time}} {{method}} {{path}} {{status}}\""
            ))),
        }
    }
}

impl Serialize for LogFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            LogFormat::Text => serializer.serialize_str("text"),
            LogFormat::Json => serializer.serialize_str("json"),
            LogFormat::Template(template) => serializer.collect_str(template),
        }
    }
}

/// One of `mask:`
#[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Masked {
    /// The addresses of clients.
    Client,
    /// Users.
    User,
}
