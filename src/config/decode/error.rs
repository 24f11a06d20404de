//! What serde finds wrong, and where.

use std::fmt;

use serde::de;

use super::LATER;
use crate::config::error::{Position, nearest};

/// One key or index on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// `routes[1].path`
pub fn join(path: &[Step], last: Option<&str>) -> String {
    let mut text = String::new();
    let keys = path.iter().cloned().chain(last.map(|key| Step::Key(key.to_owned())));
    for step in keys {
        match step {
            Step::Key(key) if text.is_empty() => text = key,
            Step::Key(key) => text = format!("{text}.{key}"),
            Step::Index(index) => text = format!("{text}[{index}]"),
        }
    }
    text
}

/// What is wrong and, while the error travels outwards, where.
#[derive(Debug)]
pub struct Error {
    /// What.
    pub kind: Kind,
    /// Where, as soon as that is known.
    pub at: Option<Position>,
    /// The way to it, innermost first.
    pub steps: Vec<Step>,
}

/// What is wrong.
#[derive(Debug)]
pub enum Kind {
    /// A key that the block does not have.
    UnknownKey { key: String, known: &'static [&'static str] },
    /// A key that the block must have.
    MissingKey(&'static str),
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::UnknownKey { key, known } => f.write_str(&instead_of(key, known)),
            Kind::MissingKey(key) => write!(f, "the key \"{key}\" is missing"),
            Kind::Other(message) => f.write_str(message),
        }
    }
}

/// What to write in place of an unknown key.
fn instead_of(key: &str, known: &[&str]) -> String {
    let is = |word: &str| key.replace(['_', '-'], "").eq_ignore_ascii_case(word);
    let plugin = PLUGINS.iter().find(|(name, _)| known.contains(&"plugins") && is(name));
    if let Some((name, value)) = plugin {
        return format!("it belongs under plugins; write plugins: {{ {name}: {value} }}");
    }
    let split = known.iter().position(|key| *key == LATER).unwrap_or(known.len());
    let (known, later) = known.split_at(split);
    match nearest(key, known.iter().chain(later).copied()) {
        Some(near) if later.contains(&near) => format!("\"{near}\" is not available yet; remove this key"),
        Some(near) => format!("unknown key; did you mean \"{near}\"?"),
        None if known.is_empty() => "unknown key; none is known here yet, remove it".to_owned(),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// What is often written beside `plugins`.
const PLUGINS: [(&str, &str); 7] = [
    ("auth", "true"),
    ("rateLimit", "{ max: 10, window: 60 }"),
    ("cors", "{ origins: [https://app.example.com] }"),
    ("ipAllow", "[10.0.0.0/8]"),
    ("ipDeny", "[10.0.0.0/8]"),
    ("securityHeaders", "true"),
    ("compression", "true"),
];

impl Error {
    fn new(kind: Kind) -> Self {
        Error { kind, at: None, steps: Vec::new() }
    }

    /// The same, at `at` unless it has a place already.
    pub fn at(mut self, at: Position) -> Self {
        self.at.get_or_insert(at);
        self
    }

    /// The same, one step further out.
    pub fn inside(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Error::new(Kind::Other(message.to_string()))
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Error::custom(format!("found {}, expected {expected}", describe(found)))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Error::invalid_type(found, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Error::custom(match nearest(word, known.iter().copied()) {
            Some(near) => format!("unknown value \"{word}\"; did you mean \"{near}\"?"),
            None => format!("unknown value \"{word}\"; known here: {}", known.join(", ")),
        })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Error::new(Kind::UnknownKey { key: key.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Error::new(Kind::MissingKey(key))
    }
}

fn describe(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Str(text) => format!("\"{text}\""),
        de::Unexpected::Bool(value) => value.to_string(),
        de::Unexpected::Unsigned(value) => value.to_string(),
        de::Unexpected::Signed(value) => value.to_string(),
        de::Unexpected::Float(value) => value.to_string(),
        de::Unexpected::Unit | de::Unexpected::Option => "nothing".to_owned(),
        de::Unexpected::Map => "a block of keys".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        other => other.to_string(),
    }
}
