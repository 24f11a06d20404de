//! The path that a target sees, where it is not the one that was asked for.
//!
//! Whatever comes out is in normal form again: a route cannot be talked into sending what would have been refused had a client
//! asked for it. Slashes that meet are one, as in requests; a dot segment that comes about is nobody's intention.

use std::fmt;
use std::str::FromStr;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::path::{self, Reject};
use super::pattern::Pattern;

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// The prefix that the route has matched is taken away.
    Strip,
    /// Another takes its place: `/`, or without a trailing slash.
    Prefix(String),
    /// What an expression finds first is replaced. Only that, since to look for all could take the square of the time.
    Regex {
        /// The expression.
        regex: Pattern,
        /// What takes the place.
        replacement: Replacement,
    },
}

impl Rewrite {
    /// The path that is sent on in place of `path`, which is in normal form and below the route's `prefix`.
    ///
    /// # Errors
    /// What comes out could not be asked for.
    pub fn apply(&self, path: &str, prefix: &str) -> Result<String, Reject> {
        let rest = path::below(path, prefix);
        match self {
            Rewrite::Strip => normal(rest),
            Rewrite::Prefix(new) => normal(&[new.trim_end_matches('/'), rest].concat()),
            Rewrite::Regex { regex, replacement } => match regex.regex.captures(path.as_bytes()) {
                None => Ok(path.to_owned()),
                Some(found) => {
                    let whole = found.get_match();
                    let group = |group: usize| found.get(group).map_or(&b""[..], |group| group.as_bytes());
                    let mut bytes = path.as_bytes()[..whole.start()].to_vec();
                    replacement.parts.iter().for_each(|part| match part {
                        Part::Text(text) => bytes.extend_from_slice(text.as_bytes()),
                        Part::Group(number) => bytes.extend_from_slice(group(*number)),
                    });
                    bytes.extend_from_slice(&path.as_bytes()[whole.end()..]);
                    normal(std::str::from_utf8(&bytes).map_err(|_| Reject::IllegalCharacter)?)
                }
            },
        }
    }
}

/// The normal form of what has been put together, in which slashes may be missing at the beginning or meet.
fn normal(path: &str) -> Result<String, Reject> {
    let mut merged = String::with_capacity(path.len() + 1);
    merged.push('/');
    for char in path.chars() {
        if char != '/' || !merged.ends_with('/') {
            merged.push(char);
        }
    }
    match path::normalise(merged.as_bytes())? {
        normal if normal == merged => Ok(merged),
        _ => Err(Reject::HiddenDotSegment),
    }
}

/// What stands in the place of what an expression has found: text, and `$1`, `${1}` or `${name}` for what its groups have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    written: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Replacement {
    /// The one that is written so, for what `pattern` finds.
    ///
    /// # Errors
    /// It names a group that is not there, or could be in no path.
    pub fn new(written: &str, pattern: &Pattern) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = written;
        while let Some(dollar) = rest.find('$') {
            parts.push(Part::Text(rest[..dollar].to_owned()));
            rest = &rest[dollar + 1..];
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (part, length) = if rest.starts_with('$') {
                (Part::Text("$".to_owned()), 1)
            } else if digits > 0 {
                (Part::Group(number_of(&rest[..digits], pattern)?), digits)
            } else {
                let braced = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
                let (name, _) =
                    braced.ok_or("a \"$\" without a group; write $$1 or $${name}, or $$$$ for a dollar sign")?;
                (Part::Group(number_of(name, pattern)?), name.len() + 2)
            };
            parts.push(part);
            rest = &rest[length..];
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        can_be_in_a_path(&parts)?;
        Ok(Replacement { written: written.to_owned(), parts })
    }
}

/// Which group of `pattern` has such a name or number.
fn number_of(name: &str, pattern: &Pattern) -> Result<usize, String> {
    let mut names = pattern.regex.capture_names().enumerate();
    let number = usize::from_str(name).ok();
    let found = names.find(|(place, own)| number == Some(*place) || *own == Some(name)).map(|(place, _)| place);
    let most = pattern.regex.captures_len() - 1;
    found.ok_or_else(|| format!("there is no group \"{name}\" in the regular expression, which has {most}"))
}

/// Whether the text of it can: with a letter for each group, it is a path, or part of one.
fn can_be_in_a_path(parts: &[Part]) -> Result<(), String> {
    let texts = parts.iter().map(|part| match part {
        Part::Text(text) => text,
        Part::Group(_) => "x",
    });
    let text: String = texts.collect();
    let path = if text.starts_with('/') { text } else { format!("/{text}") };
    match path::normalise(path.as_bytes()) {
        Ok(normal) if normal == path => Ok(()),
        Ok(normal) => Err(format!("a path like \"{path}\" is not in normal form; write one like \"{normal}\"")),
        Err(_) if path.contains('?') => Err("the query stays as it is; write a path alone".to_owned()),
        Err(why) => Err(format!("{why}; write one such as /v2/$$1")),
    }
}

impl fmt::Display for Replacement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// As it is written in the config, among the keys of a route.
impl Serialize for Rewrite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Block<'r> {
            Prefix { prefix: &'r str },
            Regex { regex: &'r Pattern, replacement: &'r str },
        }
        let mut keys = serializer.serialize_map(Some(1))?;
        match self {
            Rewrite::Strip => keys.serialize_entry("stripPrefix", &true)?,
            Rewrite::Prefix(prefix) => keys.serialize_entry("rewrite", &Block::Prefix { prefix })?,
            Rewrite::Regex { regex, replacement } => {
                keys.serialize_entry("rewrite", &Block::Regex { regex, replacement: &replacement.written })?;
            }
        }
        keys.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn regex(regex: &str, replacement: &str) -> Rewrite {
        let regex: Pattern = regex.parse().expect(regex);
        let replacement = Replacement::new(replacement, &regex).expect(replacement);
        Rewrite::Regex { regex, replacement }
    }

    #[test]
    fn prefixes_are_taken_away_or_replaced_on_whole_segments() {
        let new = |prefix: &str| Rewrite::Prefix(prefix.to_owned());
        for (rewrite, prefix, path, sent) in [
            (Rewrite::Strip, "/users", "/users", "/"),
            (Rewrite::Strip, "/users", "/users/", "/"),
            (Rewrite::Strip, "/users", "/users/7/", "/7/"),
            (Rewrite::Strip, "/a/b", "/a/b/a/b", "/a/b"),
            (Rewrite::Strip, "/", "/a", "/a"),
            (Rewrite::Strip, "/users", "/users/a%2Fb;v=1", "/a%2Fb;v=1"),
            (new("/v2"), "/users", "/users", "/v2"),
            (new("/v2"), "/users", "/users/", "/v2/"),
            (new("/v2/people"), "/users", "/users/7", "/v2/people/7"),
            (new("/v2"), "/", "/", "/v2/"),
            (new("/v2"), "/", "/a/b", "/v2/a/b"),
            (new("/"), "/users", "/users/7", "/7"),
            (new("/"), "/users", "/users", "/"),
        ] {
            assert_eq!(rewrite.apply(path, prefix), Ok(sent.to_owned()), "{rewrite:?} {path}");
        }
    }

    #[test]
    fn what_an_expression_finds_first_is_replaced() {
        for (expression, replacement, path, sent) in [
            ("^/users/([0-9]+)/orders$", "/orders/of/$1", "/users/7/orders", "/orders/of/7"),
            ("^/users/([0-9]+)/orders$", "/orders/of/$1", "/users/x/orders", "/users/x/orders"),
            ("^/api(/|$)", "/", "/api/a", "/a"),
            ("^/api", "", "/api", "/"),
            ("^/api/", "", "/api/a", "/a"),
            ("^/(.*)$", "/v2/$1", "/", "/v2/"),
            ("^(.*)$", "/v2/$1", "/a", "/v2/a"),
            ("a", "b", "/a/a", "/b/a"),
            ("(?<id>[0-9]+)", "${id}${id}", "/7", "/77"),
            ("([0-9])", "${1}0$1", "/7", "/707"),
            ("^(/x)?(/.*)$", "$1$2", "/a", "/a"),
            (r"\.html$", "", "/a.html", "/a"),
            ("x", "$$", "/x", "/$"),
        ] {
            assert_eq!(regex(expression, replacement).apply(path, "/"), Ok(sent.to_owned()), "{expression} {path}");
        }
    }

    #[test]
    fn what_could_not_be_asked_for_is_not_sent() {
        for (expression, replacement, path) in [
            ("^/(.*)-(.*)$", "/$1/$2", "/a/.-./b"),
            ("x", "", "/a/.x./b"),
            ("x", "", "/.x"),
            ("x", "", "/%x2e%2E/a"),
            ("x", "", "/%x41"),
            ("x", "", "/%2x"),
            ("/x", "", "/..;/x"),
        ] {
            let sent = regex(expression, replacement).apply(path, "/");
            assert!(sent.is_err(), "{expression} {path}: {sent:?}");
        }
    }

    /// Every expression over every path, from the pieces that matter.
    #[test]
    fn whatever_comes_out_is_in_normal_form() {
        const PIECES: [&str; 12] = ["/", ".", "..", "a", "%2F", "%2E", "%", "2", "e", ";", "%5C", "x"];
        const EXPRESSIONS: [&str; 8] = ["x", "^/a", "/", "a|%", "(.)x(.)", "(/?)(.*)$", "[^/]+", "(.)(.)(.)"];
        const REPLACEMENTS: [&str; 6] = ["", "/", "$0$0", "$0.", "/a/", "%2F"];
        let rewrites: Vec<Rewrite> =
            EXPRESSIONS.iter().flat_map(|find| REPLACEMENTS.iter().map(|with| regex(find, with))).collect();
        let mut rng = Rng::seeded(7);
        let (mut sent, mut refused) = (0, 0);
        for _ in 0..30_000 {
            let mut pick = |from: &[&'static str]| from[rng.below(from.len() as u64) as usize];
            let text: String = std::iter::once("/").chain((0..6).map(|_| pick(&PIECES))).collect();
            let rewrite = &rewrites[rng.below(rewrites.len() as u64) as usize];
            let Ok(path) = path::normalise(text.as_bytes()) else { continue };
            match rewrite.apply(&path, "/") {
                Ok(out) => {
                    assert_eq!(path::normalise(out.as_bytes()).as_deref(), Ok(&*out), "{path} by {rewrite:?}");
                    assert!(!out.contains("//") && out.split('/').all(|segment| segment != "." && segment != ".."));
                    sent += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(sent > 2_000 && refused > 200, "{sent} {refused}");
    }

    #[test]
    fn replacements_that_cannot_work_are_said() {
        let pattern: Pattern = "(?<id>a)(b)".parse().expect("one");
        for (text, said) in [
            ("/$3", "no group \"3\" in the regular expression, which has 2"),
            ("/${name}", "no group \"name\""),
            ("/$id", "without a group"),
            ("/$", "without a group"),
            ("/${1", "without a group"),
            ("/a?b=$1", "the query stays as it is"),
            ("/a b", "percent-encoded"),
            (r"/\1", "percent-encoded"),
            ("/a/../$1", "normal form"),
            ("/a//$1", "normal form"),
            ("/%zz", "two hexadecimal digits"),
            ("/%2e%2e/", "climbs"),
            ("/bü", "percent-encoded"),
        ] {
            let wrong = Replacement::new(text, &pattern).expect_err(text);
            assert!(wrong.contains(said), "{text}: {wrong}");
        }
    }
}
