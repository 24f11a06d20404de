//! What messages do not repeat. Configs hold secrets, also in places where none belongs, and what is said of a config is
//! read by more people than the config: it is in logs, and on the admin listener.
//!
//! Each value that may be a secret is marked with what is said in its place. That is so for what comes from the
//! environment (`${NAME}` is said), for users and queries of URLs, and for all that stands in blocks about secrets, but for
//! keys whose values are known to be none.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use url::Url;

use super::error::{Position, Problem};
use super::yaml::{Node, Value, is_null};
use crate::plugin::rate_limit::key::is_credential;

/// What is said in place of a secret.
pub const MASK: &str = "********";
/// Blocks about secrets, wherever they stand.
const DELICATE: [&str; 9] = ["admin", "apiKeys", "auth", "basic", "custom", "forwardAuth", "jwt", "redis", "tracing"];
/// Keys in there whose values are no secrets.
const HARMLESS: [&str; 31] = [
    "audience",
    "by",
    "caFile",
    "certFile",
    "claimsToHeaders",
    "discovery",
    "endpoint",
    "explain",
    "file",
    "forwardToken",
    "header",
    "issuer",
    "jwksFile",
    "keyFile",
    "leeway",
    "listen",
    "optional",
    "publicKeyFile",
    "requireRoles",
    "requireScopes",
    "requiredClaims",
    "responseHeaders",
    "roles",
    "sample",
    "serviceName",
    "rolesClaim",
    "scopes",
    "secretFile",
    "timeout",
    "tokenFile",
    "tokenFrom",
];
/// Values shorter than that are found in too many words.
const LEAST_BYTES: usize = 4;

/// Marks what may be a secret in a config.
pub fn conceal(root: &mut Node) {
    walk(root, "", false);
}

/// Marks all of a file, which may be another than was meant: of keys that are not known there nothing is said, either.
pub fn conceal_all(root: &mut Node) {
    mark(root, |_| Some(MASK.into()));
    root.shown = Some(MASK.into());
}

/// The same where URLs are meant to stand: of those the rest may be said.
pub fn conceal_all_but_urls(root: &mut Node) {
    mark(root, |text| if text.contains("://") { bare(text) } else { Some(MASK.to_owned()) }.map(Into::into));
    root.shown = Some(MASK.into());
}

fn mark(node: &mut Node, shown: fn(&str) -> Option<Box<str>>) {
    match &mut node.value {
        Value::Scalar { text, .. } => node.shown = shown(text),
        Value::Sequence(items) => items.iter_mut().for_each(|item| mark(item, shown)),
        Value::Mapping(entries) => entries.iter_mut().for_each(|entry| mark(&mut entry.value, shown)),
        Value::Pruned => {}
    }
}

fn walk(node: &mut Node, key: &str, is_delicate: bool) {
    match &mut node.value {
        Value::Scalar { .. } if is_delicate => node.shown = Some(MASK.into()),
        Value::Scalar { text, .. } => {
            let said = node.shown.as_deref().unwrap_or(text);
            node.shown = bare(said).map(Into::into).or(node.shown.take());
        }
        Value::Sequence(items) => items.iter_mut().for_each(|item| walk(item, key, is_delicate)),
        Value::Mapping(entries) => {
            let by_credential = entries.iter().any(|entry| entry.key == "key" && names_credential(&entry.value));
            for entry in entries {
                if let ("overrides", true, Value::Mapping(clients)) =
                    (&*entry.key, by_credential, &mut entry.value.value)
                {
                    clients.iter_mut().for_each(|client| client.shown = Some(MASK.into()));
                }
                let about = DELICATE.contains(&&*entry.key) || key == "plugins" && entry.key == "headers";
                let is_delicate = about || is_delicate && !HARMLESS.contains(&&*entry.key);
                walk(&mut entry.value, &entry.key, is_delicate);
            }
        }
        Value::Pruned => {}
    }
}

fn names_credential(node: &Node) -> bool {
    match &node.value {
        Value::Scalar { text, .. } => is_credential(&text.to_ascii_lowercase()),
        Value::Sequence(items) => items.iter().any(names_credential),
        Value::Mapping(entries) => entries.iter().any(|entry| names_credential(&entry.value)),
        Value::Pruned => false,
    }
}

/// A URL without who asks, and what for; `None` where it says neither.
pub fn bare(text: &str) -> Option<String> {
    let (scheme, rest) = text.find("://").map_or(("", text), |end| text.split_at(end + 3));
    let (who, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("********@", rest));
    let is_place = |end: &usize| !scheme.is_empty() || !rest[..*end].contains(is_of_no_path);
    let (rest, what) = match rest.find(['?', '#']).filter(is_place) {
        Some(end) => (&rest[..end], "?********"),
        None => (rest, ""),
    };
    (!who.is_empty() || !what.is_empty()).then(|| format!("{scheme}{who}{rest}{what}"))
}

/// What is in sentences and regular expressions, and has no business in paths.
fn is_of_no_path(c: char) -> bool {
    c.is_whitespace() || "()[]{}^$|\\*+".contains(c)
}

/// The same of a URL that is one.
pub fn named(url: &Url) -> String {
    bare(url.as_str()).unwrap_or_else(|| url.to_string())
}

/// A key as far as it is a word: behind that may be what somebody has put beside it.
pub fn word(key: &str) -> Cow<'_, str> {
    let is_odd = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    match key.find(is_odd) {
        Some(end) => format!("{}…", &key[..end]).into(),
        None => key.into(),
    }
}

/// These are no secrets, wherever they stand.
fn is_plain_word(text: &str) -> bool {
    is_null(text) || matches!(text, "true" | "false" | "on" | "off")
}

/// Whether a key has nothing beside it, in a block about secrets: it may be the value itself.
pub fn is_alone(value: &Node) -> bool {
    value.shown.is_some() && value.value.is_null()
}

/// Puts what may be said in the place of what is in there; each pair that was changed is added to `changed`.
pub fn replace(node: &mut Node, changed: &mut Vec<(String, String)>) {
    match &mut node.value {
        Value::Scalar { text, .. } => {
            if let Some(shown) = node.shown.as_ref().filter(|_| !is_plain_word(text)) {
                changed.push((std::mem::replace(text, shown.to_string()), shown.to_string()));
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(|item| replace(item, changed)),
        Value::Mapping(entries) => entries.iter_mut().for_each(|entry| replace(&mut entry.value, changed)),
        Value::Pruned => {}
    }
}

/// Takes what is marked out of what is said about the places where it stands.
pub fn scrub(problems: &mut [Problem], root: &Node) {
    if problems.is_empty() {
        return;
    }
    let mut marked = HashMap::new();
    collect(root, &mut marked);
    for problem in problems {
        for (text, shown) in marked.get(&problem.at).into_iter().flatten() {
            let quoted = problem.message.replace(&format!("\"{text}\""), &format!("\"{shown}\""));
            // What is checked of secrets is not repeated anyway.
            let is_long = text.len() >= LEAST_BYTES && *shown != MASK;
            problem.message = if is_long { quoted.replace(text, shown) } else { quoted };
        }
    }
}

/// Names in lower case that are in what is marked, and not in what is said in its place.
pub fn hidden_names(root: &Node) -> HashSet<String> {
    let is_no_part = |c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c));
    let names = |text: &str| text.split(is_no_part).map(str::to_ascii_lowercase).collect::<HashSet<_>>();
    let mut marked = HashMap::new();
    collect(root, &mut marked);
    let hidden = |(text, shown): (&str, &str)| names(text).difference(&names(shown)).cloned().collect::<Vec<_>>();
    marked.into_values().flatten().flat_map(hidden).collect()
}

fn collect<'n>(node: &'n Node, marked: &mut HashMap<Position, Vec<(&'n str, &'n str)>>) {
    match &node.value {
        Value::Scalar { text, .. } => {
            if let Some(shown) = node.shown.as_deref().filter(|_| !is_plain_word(text)) {
                marked.entry(node.at).or_default().push((text, shown));
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| collect(item, marked)),
        Value::Mapping(entries) => entries.iter().for_each(|entry| collect(&entry.value, marked)),
        Value::Pruned => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{env, yaml};

    #[test]
    fn urls_keep_neither_who_asks_nor_what_for() {
        for (text, shown) in [
            ("redis://u:pw@h:1/3", Some("redis://********@h:1/3")),
            ("http://u:p@w/x@h", Some("http://********@h")),
            ("http://u:p w@h", Some("http://********@h")),
            ("u:pw@h", Some("********@h")),
            ("https://h/k?token=x", Some("https://h/k?********")),
            ("https://h/k#x", Some("https://h/k?********")),
            ("https://u@h?x", Some("https://********@h?********")),
            ("/health?x", Some("/health?********")),
            ("https://h/k", None),
            ("is that so?", None),
            ("a word", None),
            ("^/v(\\d+)/?$", None),
            ("(?=v)", None),
        ] {
            assert_eq!(bare(text).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn keys_are_repeated_as_far_as_they_are_words() {
        for (key, shown) in
            [("stripPrefix", "stripPrefix"), ("secret:x", "secret…"), ("a b", "a…"), ("é_1-2.3", "é_1-2.3")]
        {
            assert_eq!(word(key), shown);
        }
    }

    #[test]
    fn values_are_marked_by_where_they_stand_and_where_they_are_from() {
        let text = "
a: [x, '${V}', 'x${V:-fallback}', 'http://u:p@h']
auth: { jwt: [{ secret: s, issuer: i, leeway: '${V}', foo: { bar: s } }], apiKeys: s }
routes:
  - plugins:
      auth: true
      headers: { request: { set: { x: s } } }
      rateLimit: { headers: both, key: { header: X-Api-Key }, overrides: { k: { max: 1 } } }
";
        let mut root = yaml::read(text, &mut Vec::new()).expect("YAML");
        env::expand(&mut root, "", &|_| Some("value".to_owned()), &mut Vec::new());
        conceal(&mut root);
        let mut marked = HashMap::new();
        collect(&root, &mut marked);
        let mut found: Vec<_> = marked.into_values().flatten().collect();
        found.sort_unstable();
        let expected = [
            ("http://u:p@h", "http://********@h"),
            ("s", MASK),
            ("s", MASK),
            ("s", MASK),
            ("s", MASK),
            ("value", "${V}"),
            ("value", "${V}"),
            ("xvalue", "x${V}"),
        ];
        assert_eq!(found, expected);
    }
}
