//! The limits of a route, as they run.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::{or_off, period};
use crate::config::conceal::MASK;
use crate::config::file::{Cost, KeyPart, Scope};

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// How they are counted.
    pub algorithm: LimitAlgorithm,
    /// In one window.
    pub max: NonZeroU32,
    /// How long a window is.
    #[serde(serialize_with = "period")]
    pub window: Duration,
    /// At once, where that is not `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
    /// What counts as one client; at least one part, none twice.
    pub key: Vec<KeyPart>,
    /// How many bits of an address make one client.
    pub prefixes: Prefixes,
    /// Quotas of single clients; `None`: any number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "overrides")]
    pub overrides: BTreeMap<Whose, Option<Override>>,
    /// What is counted together.
    pub scope: Scope,
    /// It counts and tells, and refuses nobody.
    pub dry_run: bool,
    /// What a request takes.
    pub cost: Cost,
    /// What clients are told.
    pub headers: LimitHeaders,
    /// How replicas keep in step.
    pub sync: LimitSync,
    /// What decides while Redis is away.
    pub on_redis_down: OnRedisDown,
}

/// How many bits of an address make one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Prefixes {
    /// 1 to 32.
    pub ipv4: u8,
    /// 1 to 128.
    pub ipv6: u8,
}

/// Who has a quota of its own: the value of the key's first part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whose {
    /// As requests have it.
    pub value: String,
    /// It is in a field that holds credentials.
    pub is_secret: bool,
}

/// A quota of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Override {
    /// In one window.
    pub max: NonZeroU32,
    /// At once, where that is not `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
}

/// What clients are told of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitHeaders {
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    #[default]
    Legacy,
    /// `RateLimit-Policy` and `RateLimit`.
    Ietf,
    /// All of these.
    Both,
    /// Nothing.
    Off,
}

/// How replicas keep in step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitSync {
    /// Every request is decided by Redis.
    #[default]
    Exact,
    /// A replica takes several at once, and spends them by itself.
    Leased,
}

impl LimitHeaders {
    /// Whether the `X-RateLimit-*` fields are sent.
    pub fn legacy(self) -> bool {
        matches!(self, LimitHeaders::Legacy | LimitHeaders::Both)
    }

    /// Whether `RateLimit` and `RateLimit-Policy` are sent.
    pub fn ietf(self) -> bool {
        matches!(self, LimitHeaders::Ietf | LimitHeaders::Both)
    }
}

/// What decides on a request while Redis, though configured, is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OnRedisDown {
    /// This process, from memory.
    #[default]
    Local,
    /// Nobody: it passes.
    Allow,
    /// Nobody: it is refused.
    Deny,
}

/// How requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitAlgorithm {
    /// By windows that begin with their first request.
    #[default]
    FixedWindow,
    /// By this window and the part of the one before that is still in view.
    SlidingWindow,
    /// By a bucket that drains steadily.
    TokenBucket,
}

impl LimitAlgorithm {
    /// All there are.
    pub const ALL: [LimitAlgorithm; 3] =
        [LimitAlgorithm::FixedWindow, LimitAlgorithm::SlidingWindow, LimitAlgorithm::TokenBucket];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            LimitAlgorithm::FixedWindow => "fixedWindow",
            LimitAlgorithm::SlidingWindow => "slidingWindow",
            LimitAlgorithm::TokenBucket => "tokenBucket",
        }
    }
}

fn overrides<S: Serializer>(overrides: &BTreeMap<Whose, Option<Override>>, serializer: S) -> Result<S::Ok, S::Error> {
    struct OrOff<'o>(&'o Option<Override>);

    impl Serialize for OrOff<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            or_off(self.0, serializer)
        }
    }

    let shown = |(nth, Whose { value, is_secret }): (usize, &Whose)| match is_secret {
        true => format!("{MASK} {}", nth + 1),
        false => value.clone(),
    };
    serializer.collect_map(overrides.keys().enumerate().map(shown).zip(overrides.values().map(OrOff)))
}
