//! Names: of header fields, and of what is shared.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;
use serde::{Serialize, Serializer};

/// The name of a header field, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(pub HeaderName);

impl FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = HeaderName::try_from(text).map(FieldName);
        // Not shown: the value of the field may be in there, too.
        name.map_err(|_| "no name of a header; write one such as x-tenant".to_owned())
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// The name of a cookie: a token (RFC 6265, section 4.1.1), with its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieName(String);

impl CookieName {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CookieName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A token is what a header name is.
        match HeaderName::try_from(text) {
            Ok(_) => Ok(CookieName(text.to_owned())),
            Err(_) => Err(format!("\"{text}\" is no name of a cookie; write one such as session")),
        }
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a route, a group or a quota that routes share: up to 64 letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeName(String);

impl FromStr for ScopeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        match (1..=64).contains(&text.len()) && text.bytes().all(good) {
            true => Ok(ScopeName(text.to_owned())),
            false => Err(format!("\"{text}\" is no name; write up to 64 letters, digits, \".\", \"_\" and \"-\"")),
        }
    }
}

impl fmt::Display for ScopeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a route is known by, here and in stats, logs and keys: its own name, or one that is made of what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteName {
    text: String,
    is_own: bool,
}

impl RouteName {
    /// One that the config gives.
    pub fn own(name: &ScopeName) -> Self {
        RouteName { text: name.to_string(), is_own: true }
    }

    /// One that says what the route takes. It has a slash in it, which own names have not.
    pub fn derived(text: String) -> Self {
        RouteName { text, is_own: false }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the config does not give it.
    pub fn is_derived(&self) -> bool {
        !self.is_own
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for RouteName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!("X-Tenant".parse::<FieldName>().map(|name| name.to_string()), Ok("x-tenant".into()));
        assert_eq!("back.end_1-a".parse::<ScopeName>().map(|name| name.to_string()), Ok("back.end_1-a".into()));
        assert!(["", "a b", "x:", "é"].iter().all(|text| text.parse::<FieldName>().is_err()));
        assert_eq!("Session.Id".parse::<CookieName>().map(|name| name.to_string()), Ok("Session.Id".into()));
        assert!(["", "a b", "a=b", "a;"].iter().all(|text| text.parse::<CookieName>().is_err()));
        let long = "a".repeat(65);
        assert!(["", "a b", "{", &long].iter().all(|text| text.parse::<ScopeName>().is_err()));
    }
}
