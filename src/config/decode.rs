//! From the YAML tree to serde types, past the first mistake.
//!
//! serde gives up at the first error. So each round reads the whole tree; its error is noted with its
//! place, what it is about is taken out of the tree, and the next round finds the next one. What was
//! taken out is remembered: that a key is *then* missing is no second finding.

mod access;
mod error;

use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, Deserializer, Error as _, Visitor};

use self::access::{Alone, Entries, Items, Placed};
use self::error::{Error, Kind, Step, join};
use super::conceal;
use super::error::{Problem, nearest};
use super::yaml::{Node, Value, is_null};

/// Names under which [`super::located`]'s types ask the reader for more than serde offers.
pub(super) const LOCATED: &str = "aegis::Located";
pub(super) const ONE_OR_MANY: &str = "aegis::OneOrMany";

/// The key that stands in a block before those whose features do not exist yet, so that they are not offered.
pub(super) const LATER: &str = "(later)";

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
        let (shown, message) = told::<T>(root, &path, &error.kind);
        let artefact = matches!(error.kind, Kind::MissingKey(key) if pruned.contains(&join(&path, Some(key))));
        if !artefact {
            problems.push(Problem::error(error.at.unwrap_or(root.at), shown, message));
        }
        pruned.insert(join(&path, None));
        if path.is_empty() || !prune(root, &path) {
            return None;
        }
    }
    None
}

fn find<'n>(root: &'n mut Node, path: &[Step]) -> Option<&'n mut Node> {
    path.iter().try_fold(root, |node, step| match (step, &mut node.value) {
        (Step::Key(key), Value::Mapping(entries)) => entries.iter_mut().find(|e| e.key == *key).map(|e| &mut e.value),
        (Step::Index(index), Value::Sequence(items)) => items.get_mut(*index),
        _ => None,
    })
}

fn prune(root: &mut Node, path: &[Step]) -> bool {
    let node = find(root, path);
    node.map(|node| node.value = Value::Pruned).is_some()
}

/// The same way, as messages have it.
fn shown_steps(root: &Node, path: &[Step]) -> Vec<Step> {
    let mut node = Some(root);
    let steps = path.iter().map(|step| {
        let (shown, next) = match (step, node.map(|node| &node.value)) {
            (Step::Key(key), Some(Value::Mapping(entries))) => {
                let entry = entries.iter().find(|entry| entry.key == *key);
                (entry.and_then(|entry| entry.shown.as_deref()), entry.map(|entry| &entry.value))
            }
            (Step::Index(index), Some(Value::Sequence(items))) => (None, items.get(*index)),
            _ => (None, None),
        };
        node = next;
        match step {
            Step::Key(key) => Step::Key(shown.map_or_else(|| conceal::word(key).into_owned(), str::to_owned)),
            Step::Index(index) => Step::Index(*index),
        }
    });
    steps.collect()
}

/// Where something is wrong, and what, without the secrets in it. These are gone from the tree afterwards.
fn told<T: DeserializeOwned>(root: &mut Node, path: &[Step], kind: &Kind) -> (String, String) {
    let mut shown = shown_steps(root, path);
    let is_foreign = root.shown.is_some();
    let message = match (kind, find(root, path)) {
        (Kind::UnknownKey { key, known }, Some(node)) => {
            let stranger = nearest(key, known.iter().copied()).is_none();
            if stranger && (is_foreign || conceal::is_alone(node)) {
                shown.pop();
                shown.push(Step::Key(conceal::MASK.to_owned()));
            }
            kind.to_string()
        }
        (Kind::Other(said), Some(node)) => {
            let mut changed = Vec::new();
            conceal::replace(node, &mut changed);
            if changed.is_empty() { said.clone() } else { retold::<T>(root, path, said, &changed) }
        }
        _ => kind.to_string(),
    };
    (join(&shown, None), message)
}

/// What is said of the tree as it may be shown, where that is true of the one that was read: it may be wrong for
/// another reason, or be right.
fn retold<T: DeserializeOwned>(root: &Node, path: &[Step], said: &str, changed: &[(String, String)]) -> String {
    const WRONG: &str = "what stands here cannot be used";
    let again = T::deserialize(root).err().filter(|error| error.steps.iter().rev().eq(path));
    let Some(again) = again.map(|error| error.kind.to_string()) else { return WRONG.to_owned() };
    let expected = changed.iter().fold(said.to_owned(), |said, (text, shown)| said.replace(text, shown));
    match (again.split_once("; "), said.split_once("; ")) {
        _ if again == expected || again.starts_with("found ") => again,
        // One of our own words.
        (_, Some((_, meant))) if meant.starts_with("did you mean ") => format!("{WRONG}; {meant}"),
        (Some((_, hint)), _) => format!("{WRONG}; {hint}"),
        (None, _) => WRONG.to_owned(),
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
            Value::Sequence(items) => visitor.visit_seq(Items::new(items)),
            Value::Mapping(entries) => visitor.visit_map(Entries::new(entries)),
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
            (LOCATED, _) => visitor.visit_seq(Placed::new(self)),
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
        match &self.value {
            // A list is no block of keys, whatever serde would make of it.
            Value::Sequence(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &visitor)),
            _ => self.any(visitor),
        }
        .map_err(|e| e.at(self.at))
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
