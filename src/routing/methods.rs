//! Methods that a gateway forwards, and sets of them.

use std::fmt;
use std::str::FromStr;

use http::Method;
use serde::{Serialize, Serializer};

/// The methods of RFC 9110 and the IANA registry that a gateway forwards: all but `CONNECT`, which wants
/// a tunnel, and `TRACE`, which echoes credentials.
const FORWARDED: [&str; 37] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// A set of methods, in the order of the registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Methods(u64);

impl Methods {
    /// None of them.
    pub const NONE: Methods = Methods(0);
    /// Those that most people know.
    pub const COMMON: Methods = Methods(0b111_1111);
    /// `GET`
    pub const GET: Methods = Methods(1);
    /// `HEAD`
    pub const HEAD: Methods = Methods(1 << 1);

    /// This one alone, or none if it is not forwarded.
    pub fn only(method: &Method) -> Self {
        let place = match *method {
            Method::GET => Some(0),
            Method::HEAD => Some(1),
            Method::POST => Some(2),
            Method::PUT => Some(3),
            Method::PATCH => Some(4),
            Method::DELETE => Some(5),
            Method::OPTIONS => Some(6),
            ref other => FORWARDED.iter().position(|known| *known == other.as_str()),
        };
        place.map_or(Methods::NONE, |place| Methods(1 << place))
    }

    /// Those of both.
    pub fn or(self, other: Methods) -> Self {
        Methods(self.0 | other.0)
    }

    /// Whether all of `other` are in it, and `other` has some.
    pub fn has(self, other: Methods) -> bool {
        other.0 != 0 && self.0 & other.0 == other.0
    }

    /// Whether some are in both.
    pub fn meets(self, other: Methods) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self == Methods::NONE
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        FORWARDED.iter().enumerate().filter(move |(place, _)| self.0 & (1 << place) != 0).map(|(_, name)| *name)
    }
}

/// Whether a request with this method is forwarded.
pub fn is_forwardable(method: &Method) -> bool {
    !Methods::only(method).is_empty()
}

/// One method.
impl FromStr for Methods {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |name: &str| FORWARDED.iter().position(|known| *known == name);
        let upper = text.to_ascii_uppercase();
        match (known(text), known(&upper)) {
            (Some(place), _) => Ok(Methods(1 << place)),
            (None, Some(_)) => Err(format!("\"{text}\": methods have a case; write {upper}")),
            _ if ["CONNECT", "TRACE"].contains(&&*upper) => Err(format!("{upper} is never forwarded; remove it")),
            _ => Err(format!("\"{text}\" is no method; write GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")),
        }
    }
}

/// As `Allow` has it: `GET, HEAD`.
impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.names().enumerate() {
            write!(f, "{}{name}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Serialize for Methods {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_is_a_set_of_its_own() {
        let mut all = Methods::NONE;
        for name in FORWARDED {
            let one: Methods = name.parse().expect(name);
            assert_eq!((Methods::only(&name.parse().expect(name)), one.to_string()), (one, name.to_owned()));
            assert!(!all.has(one));
            all = all.or(one);
        }
        assert!(all.has(Methods::COMMON) && !Methods::COMMON.has(all));
        assert_eq!(Methods::GET.or(Methods::HEAD).to_string(), "GET, HEAD");
        assert_eq!(Methods::COMMON.to_string(), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }

    #[test]
    fn what_is_not_forwarded_is_in_no_set() {
        for method in ["CONNECT", "TRACE", "get", "FOO"] {
            assert!(!is_forwardable(&method.parse().expect("a token")), "{method}");
        }
        assert!(!Methods::COMMON.has(Methods::NONE));
        for (text, said) in [
            ("get", "write GET"),
            ("TRACE", "never forwarded"),
            ("connect", "never forwarded"),
            ("GTE", "no method"),
            ("", "no method"),
        ] {
            let wrong = text.parse::<Methods>().expect_err(text);
            assert!(wrong.contains(said), "{text}: {wrong}");
        }
    }
}
