//! What a route answers by itself: where else to go, or something that is always the same.

use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::{Serialize, Serializer};

use super::elsewhere::Elsewhere;
use super::path;

/// An answer in place of a target's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somewhere else.
    Redirect(Redirect),
    /// Always this.
    Fixed {
        /// With this status.
        status: StatusCode,
        /// What the body is, if there is one.
        content_type: Option<HeaderValue>,
        /// The body.
        body: Bytes,
    },
}

/// Where requests are sent by their clients instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// There.
    pub to: Elsewhere,
    /// For so long: 301 and 308 for good.
    pub status: RedirectStatus,
    /// Whether what the path has below the route's is added.
    pub keep_path: bool,
    /// Whether the query is.
    pub keep_query: bool,
}

impl Redirect {
    /// What `Location` says to a request with this path, which is in normal form and below the route's `prefix`.
    ///
    /// What is taken from the request begins with a slash or behind a question mark, so that it cannot become part of the host, and
    /// has no second slash after the first, so that it cannot become one.
    pub fn location(&self, path: &str, prefix: &str, query: Option<&[u8]>) -> HeaderValue {
        let Elsewhere { place, query: own } = &self.to;
        let rest = if self.keep_path { path::below(path, prefix) } else { "" };
        let mut url = match rest {
            "" => place.clone(),
            rest => [place.trim_end_matches('/'), rest].concat(),
        };
        let asked = query.filter(|_| self.keep_query);
        let queries = own.as_deref().map(str::as_bytes).into_iter().chain(asked).filter(|query| !query.is_empty());
        for (turn, query) in queries.enumerate() {
            url.push(if turn == 0 { '?' } else { '&' });
            add_query(&mut url, query);
        }
        // A URL of the config, a path in normal form and a query without what has no place in one.
        HeaderValue::try_from(url).unwrap_or(HeaderValue::from_static("/"))
    }
}

/// Adds a query as it came, but for what could be no part of a URL.
fn add_query(url: &mut String, query: &[u8]) {
    for byte in query {
        match byte {
            b'"' | b'<' | b'>' | b'#' | b'\\' | 0..=b' ' | 0x7f.. => url.push_str(&format!("%{byte:02X}")),
            _ => url.push(char::from(*byte)),
        }
    }
}

/// 301, 302, 303, 307 or 308.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectStatus(pub StatusCode);

impl Default for RedirectStatus {
    fn default() -> Self {
        RedirectStatus(StatusCode::FOUND)
    }
}

impl FromStr for RedirectStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let status = text.parse().ok().filter(|status| [301, 302, 303, 307, 308].contains(status));
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        status.map(RedirectStatus).ok_or_else(|| {
            format!("\"{text}\" sends nobody elsewhere; write 302 or 307, or for good 301 or 308, or 303 for GET")
        })
    }
}

/// A status that ends a request: 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalStatus(pub StatusCode);

impl FinalStatus {
    /// Whether an answer with it never has a body (RFC 9110, section 6.4.1).
    pub fn is_bodiless(self) -> bool {
        [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED].contains(&self.0)
    }
}

impl Default for FinalStatus {
    fn default() -> Self {
        FinalStatus(StatusCode::OK)
    }
}

impl FromStr for FinalStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let status = text.parse().ok().filter(|status| (200..=599).contains(status));
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        status.map(FinalStatus).ok_or_else(|| format!("\"{text}\" is no status of an answer; write 200 to 599"))
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u16(self.0.as_u16())
            }
        }
    )*};
}
number!(RedirectStatus, FinalStatus);

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn redirect(to: &str, keep_path: bool, keep_query: bool) -> Redirect {
        Redirect { to: to.parse().expect(to), status: RedirectStatus::default(), keep_path, keep_query }
    }

    #[test]
    fn what_is_kept_is_added() {
        for (to, keeps, path, query, location) in [
            ("https://b.example", (false, false), "/old/a", "x=1", "https://b.example/"),
            ("https://b.example", (true, true), "/old/a", "x=1", "https://b.example/a?x=1"),
            ("https://b.example/", (true, true), "/old", "", "https://b.example/"),
            ("https://b.example/new", (true, false), "/old/a/", "x=1", "https://b.example/new/a/"),
            ("https://b.example/new/", (true, false), "/old/a", "", "https://b.example/new/a"),
            ("https://b.example/new/", (true, false), "/old", "", "https://b.example/new/"),
            ("https://b.example:8443/?from=a", (true, true), "/old/a", "x=1", "https://b.example:8443/a?from=a&x=1"),
            ("https://b.example/?from=a", (false, false), "/old/a", "x=1", "https://b.example/?from=a"),
            ("/new", (true, true), "/old/a%2Fb;v=1", "x=%20", "/new/a%2Fb;v=1?x=%20"),
            ("/", (true, false), "/old/a", "", "/a"),
            ("/", (true, false), "/old", "", "/"),
            ("/new", (false, true), "/old/a", "a=1&b", "/new?a=1&b"),
        ] {
            let redirect = redirect(to, keeps.0, keeps.1);
            let query = Some(query.as_bytes()).filter(|query| !query.is_empty());
            assert_eq!(redirect.location(path, "/old", query), location, "{to} {path}");
        }
        assert_eq!(redirect("https://b.example", true, false).location("/a", "/", None), "https://b.example/a");
    }

    #[test]
    fn nothing_that_is_asked_for_leads_to_another_host_or_out_of_the_field() {
        let hostile: [&[u8]; 6] =
            [b"//evil.example", b"\r\nX: 1", b"a\tb", b"\xff\xc3\xa9", b"#@evil.example", b"\\evil"];
        for to in ["/", "/new", "https://b.example", "https://b.example/new"] {
            for path in [
                "/old",
                "/old/",
                "/old/.evil.example",
                "/old/@evil.example",
                "/old/:80",
                "/old/%5Cevil",
                "/old/%2F%2Fevil",
            ] {
                for query in hostile {
                    let location = redirect(to, true, true).location(path, "/old", Some(query));
                    let location = location.to_str().expect("visible ASCII");
                    let base = Url::parse("https://a.example/old").expect("a URL");
                    let landed = base.join(location).expect("a URL");
                    let host = if to.starts_with('/') { "a.example" } else { "b.example" };
                    assert_eq!(
                        (landed.host_str(), landed.port(), landed.fragment()),
                        (Some(host), None, None),
                        "{location}"
                    );
                    assert!(!location.contains([' ', '\t', '\r', '\n', '\\', '#']), "{location}");
                }
            }
        }
    }

    #[test]
    fn statuses_are_checked() {
        assert!(["300", "304", "305", "200", "", "moved"].iter().all(|text| text.parse::<RedirectStatus>().is_err()));
        assert_eq!("308".parse(), Ok(RedirectStatus(StatusCode::PERMANENT_REDIRECT)));
        assert!(["100", "199", "600", "", "ok"].iter().all(|text| text.parse::<FinalStatus>().is_err()));
        assert_eq!(
            "599".parse::<FinalStatus>().map(|status| (status.0.as_u16(), status.is_bodiless())),
            Ok((599, false))
        );
        assert!(
            ["204", "205", "304"].iter().all(|text| text.parse::<FinalStatus>().is_ok_and(FinalStatus::is_bodiless))
        );
    }
}
