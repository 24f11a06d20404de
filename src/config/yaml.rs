//! YAML as a tree in which every key and value knows its line and column.
//!
//! serde_yaml stops at the first mistake and has forgotten where nested values stood by the time they
//! are checked, so the config is read through the event stream of `saphyr-parser` instead (YAML 1.2).
//! Repeated keys, tags and several documents in one file are refused; aliases are copied in place, within
//! a bound, so that a few lines cannot unfold into gigabytes.

mod veil;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use self::veil::{unveil, veil};
use super::conceal::word;
use super::error::{Position, Problem};

/// The most keys and values one file may hold, aliases unfolded.
const MAX_NODES: usize = 1_000_000;
/// How deep values may nest; the config itself goes to seven.
const MAX_DEPTH: usize = 64;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// Its place in the list that it stands in, counted from 0.
    pub index: usize,
    /// What it is.
    pub value: Value,
    /// What messages say in its place, where it may be a secret.
    pub shown: Option<Box<str>>,
    /// Whether something of it is from the environment.
    pub is_filled: bool,
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: String,
    /// Where the key begins.
    pub key_at: Position,
    /// What messages say in its place, where it may be a secret.
    pub shown: Option<Box<str>>,
    /// Its value.
    pub value: Node,
}

/// What a [`Node`] is. Scalars keep their text: what it means depends on who asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A scalar; `plain` if it stood without quotes, and so may be a number, a boolean or null.
    Scalar {
        /// The text, unquoted and unescaped.
        text: String,
        /// Without quotes.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file.
    Mapping(Vec<Entry>),
    /// Taken out after a finding about it was noted, so that the rest can be read.
    Pruned,
}

impl Value {
    /// Whether this is nothing: `null`, `~` or an empty value.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Scalar { text, plain: true } if is_null(text))
    }
}

/// Whether a plain scalar is null in the YAML 1.2 core schema.
pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Reads one document.
///
/// A `${…}` is one piece wherever it stands: `{ url: ${URL:-} }` is no nested mapping. Repeated keys and tags are added to `problems`; the tree is still good for finding more.
///
/// # Errors
/// The text is no YAML, holds several documents, or passes the bounds: where and why.
pub fn read(text: &str, problems: &mut Vec<Problem>) -> Result<Node, Problem> {
    let veiled = veil(text);
    let is_veiled = matches!(veiled, Cow::Owned(_));
    let mut builder = Builder { problems, is_veiled, anchors: HashMap::new(), stack: Vec::new(), root: None, nodes: 0 };
    for item in Parser::new_from_str(&veiled) {
        let (event, span) = item.map_err(|e| {
            let mark = e.marker();
            Problem::error(
                Position { line: mark.line(), column: mark.col() + 1 },
                "",
                format!("not valid YAML: {}; {}", e.info(), hint(e.info())),
            )
        })?;
        builder.event(event, position(span))?;
    }
    // A text that holds nothing is a null.
    let nothing = Value::Scalar { text: String::new(), plain: true };
    Ok(builder.root.unwrap_or(Node {
        at: Position { line: 1, column: 1 },
        index: 0,
        value: nothing,
        shown: None,
        is_filled: false,
    }))
}

/// What would be right, by what the parser says.
fn hint(info: &str) -> &'static str {
    const HINTS: [(&str, &str); 12] = [
        ("tab", "indent with spaces"),
        ("bracket", "see that every [ and { is closed, and only once"),
        ("flow", "see that every [ and { is closed, and that commas stand between what is in them"),
        ("illegal placement", "see that every [ and { before it is closed"),
        (
            "mapping values",
            "write one key a line, where the others begin, and quotes around a value that has \": \" in it",
        ),
        ("simple key", "write each key with a colon and a space after it"),
        ("escape", "write single quotes, in which a backslash is nothing special"),
        ("quoted", "see that every quote is closed"),
        ("unexpected character", "write quotes around the value"),
        ("anchor", "write quotes around a value that begins with * or &"),
        ("block", "let what belongs together begin in the same column"),
        ("indent", "let what belongs together begin in the same column"),
    ];
    let known = HINTS.iter().find(|(part, _)| info.contains(part));
    known.map_or("see that line and the one before it", |(_, hint)| hint)
}

fn position(span: Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

/// A collection whose end has not been read yet.
struct Open {
    node: Node,
    anchor: usize,
    /// In a mapping: the key that waits for its value.
    key: Option<(String, Position)>,
    /// The keys of a mapping that has many.
    keys: HashSet<String>,
}

/// Up to so many keys are looked at one by one.
const FEW: usize = 16;

impl Open {
    /// Whether a mapping has this key already.
    fn has(&mut self, key: &str) -> bool {
        let Value::Mapping(entries) = &self.node.value else { return false };
        if entries.len() <= FEW {
            return entries.iter().any(|entry| entry.key == key);
        }
        if self.keys.is_empty() {
            self.keys.extend(entries.iter().map(|entry| entry.key.clone()));
        }
        self.keys.contains(key)
    }
}

struct Builder<'p> {
    problems: &'p mut Vec<Problem>,
    is_veiled: bool,
    anchors: HashMap<usize, Node>,
    stack: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, at: Position) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Problem::error(at, "", "a second document begins here; a config is one document"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                // The one tag with a use: `!!str 123` is the text and not the number.
                let core_string = tag.as_ref().is_some_and(|t| t.is_yaml_core_schema() && t.suffix == "str");
                if tag.is_some() && !core_string {
                    // It is not repeated: a password may begin like a tag.
                    let message =
                        "tags have no meaning here; remove it, or write quotes around a value that begins with !";
                    self.problems.push(Problem::error(at, "", message));
                }
                let plain = style == ScalarStyle::Plain && !core_string;
                let text = if self.is_veiled { unveil(&text) } else { text.into_owned() };
                self.scalar(text, plain, anchor, at)
            }
            Event::SequenceStart(anchor, _) => self.open(Value::Sequence(Vec::new()), anchor, at),
            Event::MappingStart(anchor, _) => self.open(Value::Mapping(Vec::new()), anchor, at),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { node, anchor, .. }) = self.stack.pop() else { return Ok(()) };
                self.add(node, anchor)
            }
            Event::Alias(anchor) => {
                let Some(mut node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Problem::error(at, "", "an alias to an anchor that is not complete yet"));
                };
                node.at = at;
                if self.stack.len() + depth(&node) > MAX_DEPTH {
                    return Err(too_deep(at));
                }
                self.nodes += size(&node);
                self.add(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, value: Value, anchor: usize, at: Position) -> Result<(), Problem> {
        if self.stack.len() == MAX_DEPTH {
            return Err(too_deep(at));
        }
        if let Some(Open { node: Node { value: Value::Mapping(_), .. }, key: None, .. }) = self.stack.last() {
            return Err(Problem::error(at, "", "a key must be a word, not a list or a mapping"));
        }
        let node = Node { at, index: 0, value, shown: None, is_filled: false };
        self.stack.push(Open { node, anchor, key: None, keys: HashSet::new() });
        Ok(())
    }

    fn scalar(&mut self, text: String, plain: bool, anchor: usize, at: Position) -> Result<(), Problem> {
        if let Some(open @ Open { key: None, node: Node { value: Value::Mapping(_), .. }, .. }) = self.stack.last_mut()
        {
            if open.has(&text) {
                self.problems.push(Problem::error(
                    at,
                    word(&text),
                    "this key was given already in the same block; keep one",
                ));
            }
            open.key = Some((text, at));
            return Ok(());
        }
        self.add(Node { at, index: 0, value: Value::Scalar { text, plain }, shown: None, is_filled: false }, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::error(node.at, "", format!("more than {MAX_NODES} values, aliases unfolded")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let (key, key_at) = open.key.take().unwrap_or_default();
        let is_double = open.has(&key);
        match &mut open.node.value {
            Value::Sequence(items) => items.push(Node { index: items.len(), ..node }),
            Value::Mapping(entries) => {
                // The second of two equal keys has been told of; what it holds is left out.
                if !is_double {
                    if !open.keys.is_empty() {
                        open.keys.insert(key.clone());
                    }
                    entries.push(Entry { key, key_at, shown: None, value: node });
                }
            }
            Value::Scalar { .. } | Value::Pruned => {}
        }
        Ok(())
    }
}

fn too_deep(at: Position) -> Problem {
    Problem::error(at, "", format!("nested deeper than {MAX_DEPTH} levels, aliases unfolded"))
}

/// How many lists and mappings are in one another.
fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Mapping(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
        Value::Scalar { .. } | Value::Pruned => 0,
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Mapping(entries) => 1 + entries.iter().map(|entry| size(&entry.value)).sum::<usize>(),
        Value::Scalar { .. } | Value::Pruned => 1,
    }
}

#[cfg(test)]
mod tests;
