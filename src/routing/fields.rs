//! What routes say of header fields.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName};
use serde::{Serialize, Serializer};

use super::pattern::Pattern;

/// What a header field has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMatch {
    /// Its name.
    pub name: HeaderName,
    /// And what is asked of its value.
    pub test: Test,
    /// Whether that may be a secret, which nobody is shown.
    pub is_hidden: bool,
}

/// What is asked of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// That there is one.
    Present,
    /// To be this.
    Exact(String),
    /// To begin with this.
    Prefix(String),
    /// To be taken by this as a whole.
    Regex(Pattern),
}

impl FieldMatch {
    /// Whether a request with these fields has it. A field that comes more than once is there, and has no value: which of
    /// them the server behind goes by is anybody's guess.
    pub fn takes(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(&self.name).iter();
        match (fields.next(), fields.next()) {
            (Some(field), None) => self.test.takes(field.as_bytes().trim_ascii()),
            (Some(_), Some(_)) => self.test == Test::Present,
            (None, _) => false,
        }
    }
}

impl Test {
    fn takes(&self, value: &[u8]) -> bool {
        match self {
            Test::Present => true,
            Test::Exact(text) => value == text.as_bytes(),
            Test::Prefix(text) => value.starts_with(text.as_bytes()),
            Test::Regex(pattern) => pattern.takes(value),
        }
    }

    /// Whether all values that `other` takes are taken, as far as that can be told.
    fn covers(&self, other: &Test) -> bool {
        match (self, other) {
            (Test::Present, _) => true,
            (_, Test::Exact(text)) => self.takes(text.as_bytes()),
            (Test::Prefix(short), Test::Prefix(long)) => long.starts_with(short),
            _ => self == other,
        }
    }
}

/// Whether every request that has all of `narrow` has all of `wide`.
pub fn covers(wide: &[FieldMatch], narrow: &[FieldMatch]) -> bool {
    let is_covered = |one: &FieldMatch| narrow.iter().any(|own| own.name == one.name && one.test.covers(&own.test));
    wide.iter().all(is_covered)
}

/// As part of a name: `x-tenant&x-version=2`. Different fields have different texts, in the same characters as queries, unless they are
/// hidden.
pub fn text(fields: &[FieldMatch]) -> String {
    let mut text = String::new();
    for FieldMatch { name, test, is_hidden } in fields {
        let (sign, value, end) = match test {
            _ if *is_hidden => ("=", "", "***"),
            Test::Present => ("", "", ""),
            Test::Exact(value) => ("=", value.as_str(), ""),
            Test::Prefix(value) => ("=", value.as_str(), "*"),
            Test::Regex(pattern) => ("=~", pattern.as_str(), ""),
        };
        text.push_str(if text.is_empty() { "" } else { "&" });
        // A name may have these in it, and nothing that is one of the signs.
        text.push_str(&name.as_str().replace('%', "%25").replace('&', "%26"));
        text.push_str(sign);
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' => text.push(char::from(byte)),
                // Writing to a string cannot fail.
                _ => drop(write!(text, "%{byte:02X}")),
            }
        }
        text.push_str(end);
    }
    text
}

/// As it is written in the config: a value, `"*"`, or a block.
impl Serialize for Test {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Test::Present => serializer.serialize_str("*"),
            Test::Exact(text) if text == "*" => serializer.collect_map([("exact", text)]),
            Test::Exact(text) => serializer.serialize_str(text),
            Test::Prefix(text) => serializer.collect_map([("prefix", text)]),
            Test::Regex(pattern) => serializer.collect_map([("regex", pattern)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, test: Test) -> FieldMatch {
        FieldMatch { name: name.parse().expect("a name"), test, is_hidden: false }
    }

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let pairs = fields.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        pairs.fold(HeaderMap::new(), |mut map, (name, value): (HeaderName, _)| {
            map.append(name, value);
            map
        })
    }

    #[test]
    fn values_are_taken_as_the_route_says() {
        let regex = |text: &str| Test::Regex(text.parse().expect(text));
        for (test, taken, not_taken) in [
            (Test::Present, vec!["", "2", "*"], vec![]),
            (Test::Exact("2".into()), vec!["2", " 2 "], vec!["", "22", "02", "2,2", "*"]),
            (Test::Exact("Gold".into()), vec!["Gold"], vec!["gold", "GOLD"]),
            (Test::Prefix("v2.".into()), vec!["v2.", "v2.1"], vec!["v2", "xv2."]),
            (regex("v[23](\\.[0-9]+)?"), vec!["v2", "v3.14"], vec!["v4", "v2.", "xv2"]),
        ] {
            let field = field("x-version", test);
            for value in taken {
                assert!(field.takes(&headers(&[("X-Version", value)])), "{field:?} {value}");
            }
            for value in not_taken {
                assert!(!field.takes(&headers(&[("x-version", value)])), "{field:?} {value}");
            }
            assert!(!field.takes(&headers(&[("x-versions", "2")])));
        }
    }

    #[test]
    fn a_field_that_comes_twice_has_no_value() {
        let twice = headers(&[("x", "2"), ("x", "2")]);
        assert!(field("x", Test::Present).takes(&twice));
        assert!(!field("x", Test::Exact("2".into())).takes(&twice));
        assert!(!field("x", Test::Prefix("2".into())).takes(&twice));
    }

    #[test]
    fn fields_that_are_among_others_are_covered_by_them() {
        let one = |test: Test| vec![field("x", test)];
        let exact = |text: &str| Test::Exact(text.into());
        let prefix = |text: &str| Test::Prefix(text.into());
        let regex = |text: &str| Test::Regex(text.parse().expect(text));
        for (wide, narrow, covered) in [
            (one(Test::Present), one(exact("2")), true),
            (one(exact("2")), one(Test::Present), false),
            (one(exact("2")), one(exact("2")), true),
            (one(exact("2")), one(exact("3")), false),
            (one(prefix("v")), one(exact("v2")), true),
            (one(prefix("v")), one(prefix("v2")), true),
            (one(prefix("v2")), one(prefix("v")), false),
            (one(regex("v.")), one(exact("v2")), true),
            (one(regex("v.")), one(exact("v22")), false),
            (one(regex("v.")), one(regex("v.")), true),
            (one(regex(".*")), one(prefix("v")), false),
            (vec![], one(exact("2")), true),
            (one(exact("2")), vec![], false),
            (one(exact("2")), [one(exact("2")), vec![field("y", Test::Present)]].concat(), true),
        ] {
            assert_eq!(covers(&wide, &narrow), covered, "{wide:?} {narrow:?}");
        }
    }

    #[test]
    fn texts_tell_fields_apart() {
        let exact = |text: &str| Test::Exact(text.into());
        let all = [
            vec![],
            vec![field("x", Test::Present)],
            vec![field("x", exact(""))],
            vec![field("x", exact("*"))],
            vec![field("x", exact("~a"))],
            vec![field("x", exact("a&y=b"))],
            vec![field("x&y", exact("a"))],
            vec![field("x", Test::Present), field("y", exact("a"))],
            vec![field("x", exact("a"))],
            vec![field("x", Test::Prefix("a".into()))],
            vec![field("x", Test::Regex("a".parse().expect("one")))],
            vec![field("x", exact("a")), field("y", exact("b"))],
        ];
        let texts: std::collections::HashSet<String> = all.iter().map(|fields| text(fields)).collect();
        assert_eq!(texts.len(), all.len(), "{texts:?}");
        assert_eq!(text(&all[11]), "x=a&y=b");
        assert!(texts.iter().all(|text| text.bytes().all(|byte| byte.is_ascii_graphic())));
    }
}
