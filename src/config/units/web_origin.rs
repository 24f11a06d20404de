//! Origins of web pages (RFC 6454), as `cors` names them.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Whose pages may read answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WebOrigin {
    /// `*`: everybody's.
    Any,
    /// `null`: those that have no origin of their own, such as files and sandboxes.
    Null,
    /// `https://app.example.com`, as browsers write it.
    Exact(String),
    /// `https://*.example.com`: of every name below, however deep, but not of that name itself.
    Below {
        /// `https://`
        scheme: String,
        /// `.example.com`, with a port where it is not the scheme's own.
        suffix: String,
    },
}

impl WebOrigin {
    /// Whether it is, or is among others, the one that a browser calls so.
    pub fn has(&self, origin: &[u8]) -> bool {
        match self {
            WebOrigin::Any => true,
            WebOrigin::Null => origin == b"null",
            WebOrigin::Exact(own) => own.as_bytes() == origin,
            WebOrigin::Below { scheme, suffix } => {
                let name = origin.strip_prefix(scheme.as_bytes()).and_then(|it| it.strip_suffix(suffix.as_bytes()));
                name.is_some_and(is_name)
            }
        }
    }

    /// Whether it is every site of a top-level domain, as far as that can be told.
    pub fn is_too_wide(&self) -> bool {
        matches!(self, WebOrigin::Below { suffix, .. } if suffix.matches('.').count() == 1)
    }
}

/// Labels of a host with dots between them.
fn is_name(text: &[u8]) -> bool {
    let good = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    text.split(|byte| *byte == b'.').all(|label| !label.is_empty() && label.iter().all(good))
}

impl FromStr for WebOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is no origin; write https://app.example.com, https://*.example.com or \"*\"");
        let (scheme, rest) = match text {
            "*" => return Ok(WebOrigin::Any),
            "null" => return Ok(WebOrigin::Null),
            _ => text.split_once("://").ok_or_else(wrong)?,
        };
        let scheme = scheme.to_ascii_lowercase();
        if let Some(host) = rest.strip_suffix('/').filter(|host| !host.is_empty()) {
            return Err(format!("\"{text}\": an origin ends with its host or port; write {scheme}://{host}"));
        }
        if rest.is_empty() || rest.contains(['/', '?', '#', '@', '\\']) || rest.contains(char::is_whitespace) {
            return Err(wrong());
        }
        match scheme.as_str() {
            "http" | "https" => of_the_web(&scheme, rest).ok_or_else(wrong),
            // Of extensions and apps, which are compared as they are.
            other if is_scheme(other) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b)) => {
                Ok(WebOrigin::Exact(format!("{scheme}://{rest}")))
            }
            _ => Err(wrong()),
        }
    }
}

fn of_the_web(scheme: &str, authority: &str) -> Option<WebOrigin> {
    let below = authority.strip_prefix("*.");
    let url = Url::parse(&format!("{scheme}://{}", below.unwrap_or(authority))).ok()?;
    let host = url.host()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    match (below, host) {
        (_, Host::Domain(name)) if !is_name(name.as_bytes()) => None,
        (Some(_), Host::Domain(name)) => {
            Some(WebOrigin::Below { scheme: format!("{scheme}://"), suffix: format!(".{name}{port}") })
        }
        (Some(_), _) => None,
        (None, host) => Some(WebOrigin::Exact(format!("{scheme}://{host}{port}"))),
    }
}

/// RFC 3986, section 3.1, in lower case.
fn is_scheme(text: &str) -> bool {
    let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(good)
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebOrigin::Any => f.write_str("*"),
            WebOrigin::Null => f.write_str("null"),
            WebOrigin::Exact(origin) => f.write_str(origin),
            WebOrigin::Below { scheme, suffix } => write!(f, "{scheme}*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_the_spelling_of_browsers() {
        for (text, shown) in [
            ("*", "*"),
            ("null", "null"),
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.COM:443", "https://app.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://a:443", "http://a:443"),
            ("https://192.0.2.7:8443", "https://192.0.2.7:8443"),
            ("https://[2001:0DB8::1]", "https://[2001:db8::1]"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://*.Example.com:443", "https://*.example.com"),
            ("http://*.localhost:3000", "http://*.localhost:3000"),
            ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(text.parse::<WebOrigin>().map(|origin| origin.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for text in [
            "",
            "app.example.com",
            "https://",
            "https:///",
            "https://a/",
            "https://a/b",
            "https://a?b",
            "https://u@a",
            "https://a b",
            "https://a:b",
            "https://a,https://b",
            "https://*",
            "https://*.",
            "https://a.*.b",
            "https://*a.example.com",
            "https://*.*.example.com",
            "https://*.192.0.2.7",
            "*://a.example.com",
            "*.example.com",
            "chrome-extension://*",
            "1x://a",
        ] {
            assert!(text.parse::<WebOrigin>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wildcard_is_for_names_below_and_for_nothing_that_looks_like_them() {
        let below: WebOrigin = "https://*.example.com".parse().expect("an origin");
        for (origin, has) in [
            ("https://a.example.com", true),
            ("https://a-1.b.example.com", true),
            ("https://example.com", false),
            ("https://.example.com", false),
            ("https://a..example.com", false),
            ("https://evil-example.com", false),
            ("https://a.example.com.evil.com", false),
            ("https://a.example.com:8443", false),
            ("https://evil.com/.example.com", false),
            ("https://evil.com:1.example.com", false),
            ("https://u@a.example.com", false),
            ("https://*.example.com", false),
            ("http://a.example.com", false),
            ("HTTPS://A.EXAMPLE.COM", false),
            ("null", false),
            ("https://", false),
        ] {
            assert_eq!(below.has(origin.as_bytes()), has, "{origin}");
        }
        let with_port: WebOrigin = "http://*.localhost:3000".parse().expect("an origin");
        assert!(with_port.has(b"http://app.localhost:3000") && !with_port.has(b"http://app.localhost"));
        assert!(!WebOrigin::Null.has(b"https://a") && WebOrigin::Null.has(b"null") && WebOrigin::Any.has(b"null"));
        let wide = |text: &str| text.parse::<WebOrigin>().is_ok_and(|origin| origin.is_too_wide());
        assert!(wide("https://*.com") && !wide("https://*.example.com") && !wide("https://com"));
    }
}
