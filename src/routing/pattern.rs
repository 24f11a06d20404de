//! Regular expressions of the config: what they take is found in time that is linear in the text, whatever anybody writes or
//! sends, since they are automata. There are no backreferences and no look-around for that.

use std::fmt;
use std::str::FromStr;

use regex::bytes::{Regex, RegexBuilder};
use serde::{Serialize, Serializer};

/// Bytes that one may take when it is compiled: more is some list written as an expression.
const MOST_BYTES: usize = 1 << 20;

/// One regular expression. Two are the same if they are written so.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Finds it anywhere.
    pub regex: Regex,
    /// Takes it as a whole.
    whole: Regex,
}

impl Pattern {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether it takes all of `text`.
    pub fn takes(&self, text: &[u8]) -> bool {
        self.whole.is_match(text)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |error: regex::Error| {
            let said = error.to_string();
            let why = match error {
                regex::Error::CompiledTooBig(_) => "too large when it is compiled; write it shorter",
                _ => said.lines().last().unwrap_or_default().trim_start_matches("error: "),
            };
            format!("\"{text}\" is no regular expression that can be used: {why}")
        };
        let build = |text: &str| RegexBuilder::new(text).unicode(false).size_limit(MOST_BYTES).build();
        let regex = build(text).map_err(wrong)?;
        // Known to be one of its own, so that no parenthesis of it can close ours.
        let whole = build(&format!(r"\A(?:{text})\z")).map_err(wrong)?;
        Ok(Pattern { regex, whole })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_pattern_takes_the_whole_or_nothing() {
        let pattern: Pattern = "v[12]|beta".parse().expect("one");
        for (text, taken) in [("v1", true), ("beta", true), ("v12", false), ("xbeta", false), ("v1\n", false)] {
            assert_eq!(pattern.takes(text.as_bytes()), taken, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        for (text, said) in [
            ("(", "unclosed group"),
            ("a)|(b", "unopened group"),
            ("(?:x", "unclosed group"),
            (r"(a)\1", "backreferences are not supported"),
            ("(?=a)", "look-around"),
            ("((a{100}){100}){100}", "too large"),
        ] {
            let wrong = text.parse::<Pattern>().expect_err(text);
            assert!(wrong.contains(said) && wrong.lines().count() == 1, "{text}: {wrong}");
        }
    }

    /// What keeps a backtracking engine busy for the age of the universe.
    #[test]
    fn no_text_takes_long() {
        let begun = Instant::now();
        for text in ["(a+)+", "(a|a)*", "(a*)*b", "(.*.*.*.*)x"] {
            let pattern: Pattern = text.parse().expect(text);
            pattern.takes(&[b"a".repeat(60_000), vec![b'!']].concat());
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}
