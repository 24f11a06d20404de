//! From the YAML tree to serde types, past the first mistake.
//!
//! serde gives up at the first error. So each round reads the whole tree; its error is noted with its
//! place, what it is about is taken out of the tree, and the next round finds the next one. What was
//! taken out is remembered: that a key is *then* missing is no second finding.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::{Position, Problem, nearest};
use super::yaml::{Node, Value, is_null};

/// Names under which [`super::located`]'s types ask the reader for more than serde offers.
pub(super) const LOCATED: &str = "aegis::Located";
pub(super) const ONE_OR_MANY: &str = "aegis::OneOrMany";

/// Findings in one file, at most; a file that holds more is some other file.
const MAX_PROBLEMS: usize = 100;

/// Reads a `T` from the tree, adding every mistake to `problems`.
///
/// Returns what remains when the mistaken parts are left out, or `None` where nothing remains.
pub fn decode<T: DeserializeOwned>(root: &mut Node, problems: &mut Vec<Problem>) -> Option<T> {
    let mut pruned: HashSet<String> = HashSet::new();
    for _ in 0..MAX_PROBLEMS {
        let error = match T::deserialize(&*root) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let path: Vec<Step> = error.steps.into_iter().rev().collect();
        let artefact = matches!(error.kind, Kind::MissingKey(key) if pruned.contains(&join(&path, Some(key))));
        if !artefact {
            let shown = join(&path, None);
            problems.push(Problem::error(error.at.unwrap_or(root.at), shown, error.kind.to_string()));
        }
        pruned.insert(join(&path, None));
        if path.is_empty() || !prune(root, &path) {
            return None;
        }
    }
    None
}

/// One key or index on the way to a value.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

fn join(path: &[Step], last: Option<&str>) -> String {
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

fn prune(root: &mut Node, path: &[Step]) -> bool {
    let mut node = root;
    for step in path {
        let next = match (step, &mut node.value) {
            (Step::Key(key), Value::Mapping(entries)) => {
                entries.iter_mut().find(|e| e.key == *key).map(|e| &mut e.value)
            }
            (Step::Index(index), Value::Sequence(items)) => items.get_mut(*index),
            _ => None,
        };
        match next {
            Some(next) => node = next,
            None => return false,
        }
    }
    node.value = Value::Pruned;
    true
}

/// What is wrong and, while the error travels outwards, where.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    at: Option<Position>,
    /// Innermost first.
    steps: Vec<Step>,
}

#[derive(Debug)]
pub enum Kind {
    UnknownKey { key: String, known: &'static [&'static str] },
    MissingKey(&'static str),
    Other(String),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::UnknownKey { key, known } => match nearest(key, known.iter().copied()) {
                Some(near) => write!(f, "unknown key; did you mean \"{near}\"?"),
                None => write!(f, "unknown key; known here: {}", known.join(", ")),
            },
            Kind::MissingKey(key) => write!(f, "the key \"{key}\" is missing"),
            Kind::Other(message) => f.write_str(message),
        }
    }
}

impl Error {
    fn new(kind: Kind) -> Self {
        Error { kind, at: None, steps: Vec::new() }
    }

    fn at(mut self, at: Position) -> Self {
        self.at.get_or_insert(at);
        self
    }

    fn inside(mut self, step: Step) -> Self {
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

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match &self.value {
                // Quoted too: inside { } a ${VAR} has to be quoted.
                Value::Scalar { text, .. } => match text.parse::<$type>() {
                    Ok(number) => visitor.$visit(number),
                    Err(_) => Err(de::Error::invalid_type(de::Unexpected::Str(text), &visitor)),
                },
                _ => self.any(visitor),
            }
            .map_err(|e| e.at(self.at))
        }
    )*};
}

impl Node {
    fn any<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, plain: true } => scalar(text, visitor),
            Value::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Value::Sequence(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Mapping(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
            Value::Pruned => visitor.visit_unit(),
        }
    }
}

/// A plain scalar by the core schema of YAML 1.2 (section 10.3.2).
fn scalar<'de, V: Visitor<'de>>(text: &'de str, visitor: V) -> Result<V::Value, Error> {
    match text {
        _ if is_null(text) => visitor.visit_unit(),
        "true" | "True" | "TRUE" => visitor.visit_bool(true),
        "false" | "False" | "FALSE" => visitor.visit_bool(false),
        _ => match (text.parse::<u64>(), text.parse::<i64>()) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => visitor.visit_f64(number),
                _ => visitor.visit_borrowed_str(text),
            },
        },
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor).map_err(|e| e.at(self.at))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, .. } if text == "true" => visitor.visit_bool(true),
            Value::Scalar { text, .. } if text == "false" => visitor.visit_bool(false),
            _ => self.any(visitor).map_err(|e| e.at(self.at)),
        }
    }

    numbers! {
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_f64 visit_f64 f64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            // A word is a word even where it could be a number: `secret: 12345`.
            Value::Scalar { text, .. } if !self.value.is_null() => visitor.visit_borrowed_str(text),
            _ => self.any(visitor),
        }
        .map_err(|e| e.at(self.at))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match (name, &self.value) {
            (LOCATED, _) => visitor.visit_seq(Placed { node: self, next: 0 }),
            (ONE_OR_MANY, Value::Sequence(_)) => self.any(visitor).map_err(|e| e.at(self.at)),
            (ONE_OR_MANY, _) => visitor.visit_seq(Alone(Some(self))),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // A list is no block of keys, whatever serde would make of it.
        match &self.value {
            Value::Sequence(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &"a block of keys")),
            Value::Scalar { .. } if self.value.is_null() => Err(Error::custom("the block is empty")),
            Value::Scalar { text, .. } => Err(de::Error::invalid_type(de::Unexpected::Str(text), &"a block of keys")),
            Value::Mapping(_) | Value::Pruned => self.any(visitor),
        }
        .map_err(|e: Error| e.at(self.at))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, .. } => visitor.visit_enum(StrDeserializer::new(text)),
            _ => Err(Error::custom("found a block or list, expected one word")),
        }
        .map_err(|e| e.at(self.at))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 char bytes byte_buf unit unit_struct seq tuple tuple_struct map
        identifier ignored_any
    }
}

use serde::de::Error as _;

struct Entries<'de> {
    entries: std::slice::Iter<'de, super::yaml::Entry>,
    value: Option<&'de super::yaml::Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(entry) = self.entries.by_ref().find(|entry| entry.value.value != Value::Pruned) else {
            return Ok(None);
        };
        self.value = Some(entry);
        seed.deserialize(StrDeserializer::new(&entry.key))
            .map(Some)
            .map_err(|e: Error| e.at(entry.key_at).inside(Step::Key(entry.key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self.value.take().ok_or_else(|| Error::custom("a value was asked for before its key"))?;
        seed.deserialize(&entry.value).map_err(|e| e.at(entry.value.at).inside(Step::Key(entry.key.clone())))
    }
}

struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        while let Some(item) = self.items.get(self.next) {
            let index = self.next;
            self.next += 1;
            if item.value != Value::Pruned {
                return seed.deserialize(item).map(Some).map_err(|e| e.at(item.at).inside(Step::Index(index)));
            }
        }
        Ok(None)
    }
}

/// A value given alone where a list may stand.
struct Alone<'de>(Option<&'de Node>);

impl<'de> SeqAccess<'de> for Alone<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|node| seed.deserialize(node)).transpose()
    }
}

/// Line, column, index and value, in that order.
struct Placed<'de> {
    node: &'de Node,
    next: usize,
}

impl<'de> SeqAccess<'de> for Placed<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        use serde::de::IntoDeserializer as _;
        self.next += 1;
        match self.next {
            1 => seed.deserialize((self.node.at.line as u64).into_deserializer()).map(Some),
            2 => seed.deserialize((self.node.at.column as u64).into_deserializer()).map(Some),
            3 => seed.deserialize((self.node.index as u64).into_deserializer()).map(Some),
            4 => seed.deserialize(self.node).map(Some),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::yaml;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Outer {
        first: u32,
        #[serde(default)]
        items: Vec<Inner>,
        name: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Inner {
        path: String,
        #[serde(default)]
        strip_prefix: bool,
    }

    fn read(text: &str) -> (Option<Outer>, Vec<String>) {
        let mut problems = Vec::new();
        let mut root = yaml::read(text, &mut problems).expect("valid YAML");
        let value = decode(&mut root, &mut problems);
        (value, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_mistake_is_found_in_one_pass_at_its_place() {
        let (value, problems) = read(concat!(
            "first: many\n",
            "items:\n",
            "  - path: /a\n",
            "    strip_prefix: true\n",
            "  - stripPrefix: 7\n",
            "  - path: /c\n",
            "nmae: x\n",
        ));
        assert_eq!(value, None, "first is required and was not readable");
        assert_eq!(
            problems,
            [
                "1:8: first: found \"many\", expected u32",
                "4:5: items[0].strip_prefix: unknown key; did you mean \"stripPrefix\"?",
                "5:18: items[1].stripPrefix: found 7, expected a boolean",
                "5:5: items[1]: the key \"path\" is missing",
                "7:1: nmae: unknown key; did you mean \"name\"?",
            ]
        );
    }

    #[test]
    fn what_is_right_survives_beside_what_is_not() {
        let (value, problems) = read("first: 1\nitems: [ { path: /a }, { path: [x] } ]\nname: 123\n");
        let items = vec![Inner { path: "/a".into(), strip_prefix: false }];
        assert_eq!(value, Some(Outer { first: 1, items, name: Some("123".into()) }));
        assert_eq!(problems, ["2:32: items[1].path: found a list, expected a string"]);
    }

    #[test]
    fn an_endless_supply_of_mistakes_ends() {
        let text: String = (0..500).map(|i| format!("k{i}: 1\n")).collect();
        let (value, problems) = read(&text);
        assert_eq!((value, problems.len()), (None, MAX_PROBLEMS));
    }
}
