//! The small notations of the config: durations, status ranges, addresses, target URLs, secrets.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Reads a `T` from a word of the file by its `FromStr`, whose error is the message.
fn from_word<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = String>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

macro_rules! word {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_word(deserializer)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
word!(Period, Count, Window, Threads, StatusRange, ListenAddress, TargetUrl, RoutePath);

/// A duration: `60` (seconds), `250ms`, `60s`, `5m`, `1h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no duration; write 60 (seconds), 250ms, 60s, 5m, 1h or 7d");
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..unit_at].parse().map_err(|_| wrong())?;
        let millis = match &text[unit_at..] {
            "ms" => Some(number),
            "" | "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            _ => return Err(wrong()),
        };
        // A century: beyond any use, and far from overflowing an `Instant`.
        match millis {
            Some(millis) if millis <= 36_525 * 86_400_000 => Ok(Period(Duration::from_millis(millis))),
            _ => Err(format!("\"{text}\" is longer than a century; write a shorter duration")),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            millis if millis % 1_000 == 0 => write!(f, "{}s", millis / 1_000),
            millis => write!(f, "{millis}ms"),
        }
    }
}

/// A whole number that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub NonZeroU32);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Count)
            .map_err(|_| format!("\"{text}\" is out of range; write a whole number from 1 to {}", u32::MAX))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long the window of a limit is: 100ms to 366d. Shorter cannot be told from the delays of a network,
/// longer is a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub Duration);

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Period>()?.0 {
            window if (Duration::from_millis(100)..=Duration::from_secs(366 * 86_400)).contains(&window) => {
                Ok(Window(window))
            }
            _ => Err(format!("\"{text}\" is out of range; write 100ms to 366d")),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Period(self.0).fmt(f)
    }
}

/// A number of threads: 1 to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(pub usize);

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(threads @ 1..=1024) => Ok(Threads(threads)),
            _ => Err(format!("\"{text}\" is out of range; write 1 to 1024, or leave it out for one a core")),
        }
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One status (`503`) or a range with both ends (`500-599`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if (100..=599).contains(&first) && (first..=599).contains(&last) => {
                Ok(StatusRange { first, last })
            }
            _ => Err(format!("\"{text}\" is no status; write one such as 503 or a range such as 500-599")),
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// Where to listen: `0.0.0.0:8000`, `[::]:8000` or `localhost:8000`. Port 0 takes any free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenAddress(pub SocketAddr);

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let on_loopback = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        match (on_loopback, text.parse()) {
            (Some(port), _) => Ok(ListenAddress(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))),
            (None, Ok(address)) => Ok(ListenAddress(address)),
            _ => Err(format!(
                "\"{text}\" is no address to listen on; write 0.0.0.0:8000, [::]:8000 or localhost:8000 (ports 0-65535)"
            )),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where requests go: `http://HOST:PORT`. The port may be left out (80).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetUrl {
    /// A name or an IP address, without the brackets of IPv6.
    pub host: String,
    /// The port.
    pub port: u16,
    text: String,
}

impl TargetUrl {
    /// The URL without a trailing slash, as stats and log lines show it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl TargetUrl {
    /// `HOST:PORT`, as `Host` wants it.
    pub fn authority(&self) -> &str {
        self.text.split_once("://").map_or("", |(_, authority)| authority)
    }
}

impl FromStr for TargetUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("\"{text}\": {why}; write http://HOST:PORT");
        let url = url::Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
        match url.scheme() {
            "http" => {}
            "https" | "h2" | "h2c" => {
                return Err(format!("\"{text}\": {}:// targets are not available yet; use http://", url.scheme()));
            }
            "dns+srv" | "file" => {
                return Err(format!(
                    "\"{text}\": discovery by {}:// is not available yet; use http://HOST:PORT",
                    url.scheme()
                ));
            }
            other => return Err(wrong(&format!("unknown scheme \"{other}\""))),
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("a target has no path of its own"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a target has no user or password"));
        }
        let host = match url.host() {
            Some(url::Host::Domain(name)) => name.to_owned(),
            Some(url::Host::Ipv4(ip)) => ip.to_string(),
            Some(url::Host::Ipv6(ip)) => ip.to_string(),
            None => return Err(wrong("the host is missing")),
        };
        let port = url.port().unwrap_or(80);
        if port == 0 {
            return Err(wrong("port 0 cannot be connected to"));
        }
        // As it was written, so that an operator finds it again; the port stays even if it is 80.
        let text = text.trim_end_matches('/').to_owned();
        Ok(TargetUrl { host, port, text })
    }
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The path prefix of a route: `/`, `/users`, `/v1/users`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoutePath(String);

impl RoutePath {
    /// The path, which begins with a slash and ends with none (but for `/` itself).
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoutePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("\"{text}\" does not begin with a slash; write \"/{text}\""));
        }
        if text.contains(['?', '#', '*']) {
            return Err(format!(
                "\"{text}\": a path is a plain prefix, without \"?\", \"#\" or \"*\"; \"/users\" takes /users and all below it"
            ));
        }
        // Requests are matched by their normalised path: one that is not normal could never match.
        match crate::routing::path::normalise(text.as_bytes()) {
            Ok(normal) if normal == text => {}
            Ok(normal) => return Err(format!("\"{text}\" is not in normal form; write \"{normal}\"")),
            Err(reason) => return Err(format!("\"{text}\": {reason}; write a plain path such as /users")),
        }
        let trimmed = text.trim_end_matches('/');
        Ok(RoutePath(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }))
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value that is never shown: not in an error, a log line or `check --print`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The secret itself. Every caller is a place to review.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("********")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, millis, printed) in [
            ("60", 60_000, "60s"),
            ("250ms", 250, "250ms"),
            ("60s", 60_000, "60s"),
            ("5m", 300_000, "300s"),
            ("1h", 3_600_000, "3600s"),
            ("7d", 604_800_000, "604800s"),
            ("0", 0, "0s"),
            ("1500ms", 1_500, "1500ms"),
        ] {
            let period: Period = text.parse().expect(text);
            assert_eq!(period.0.as_millis(), millis, "{text}");
            assert_eq!(period.to_string(), printed);
        }
        for text in ["", "s", "5 m", "-1s", "1.5s", "10y", "99999999999999999999", "99999999999d", "∞"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_know_their_ranges() {
        assert_eq!("7".parse::<Count>().map(|count| count.to_string()), Ok("7".into()));
        assert_eq!("1m".parse::<Window>().map(|window| window.to_string()), Ok("60s".into()));
        assert_eq!("4".parse::<Threads>().map(|threads| threads.to_string()), Ok("4".into()));
        assert!(["0", "-1", "1.5", "4294967296", "many", ""].iter().all(|text| text.parse::<Count>().is_err()));
        assert!(["0", "99ms", "367d", "soon"].iter().all(|text| text.parse::<Window>().is_err()));
        assert!(["0", "1025", "two"].iter().all(|text| text.parse::<Threads>().is_err()));
    }

    #[test]
    fn status_ranges_read_and_print() {
        assert_eq!("503".parse(), Ok(StatusRange { first: 503, last: 503 }));
        assert_eq!("500-599".parse(), Ok(StatusRange { first: 500, last: 599 }));
        assert_eq!("500-504".parse::<StatusRange>().map(|r| r.to_string()), Ok("500-504".into()));
        for text in ["99", "600", "599-500", "5xx", "500-", "-"] {
            assert!(text.parse::<StatusRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn target_urls_keep_their_spelling_and_refuse_what_cannot_be_meant() {
        let url: TargetUrl = "http://user-service-1:3001/".parse().expect("a target");
        assert_eq!((url.host.as_str(), url.port, url.as_str()), ("user-service-1", 3001, "http://user-service-1:3001"));
        let url: TargetUrl = "http://[::1]:9".parse().expect("a target");
        assert_eq!((url.host.as_str(), url.port), ("::1", 9));
        assert_eq!("http://a".parse::<TargetUrl>().map(|u| u.port), Ok(80));
        for text in [
            "a:1",
            "ftp://a:1",
            "http://",
            "http://a:0",
            "http://a:1/x",
            "http://a:1?x",
            "http://u:p@a:1",
            "https://a:1",
            "http://a:99999",
            "users",
        ] {
            assert!(text.parse::<TargetUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn route_paths_are_plain_normal_prefixes() {
        for (text, path) in [("/", "/"), ("/users", "/users"), ("/users/", "/users"), ("/v1/a.b", "/v1/a.b")] {
            assert_eq!(text.parse::<RoutePath>().map(|p| p.to_string()), Ok(path.to_owned()));
        }
        for text in ["users", "", "/a/../b", "/a//b", "/a?b", "/a/*", "/%61", "/a\\b", "/%00"] {
            assert!(text.parse::<RoutePath>().is_err(), "{text}");
        }
    }

    #[test]
    fn listen_addresses() {
        for (text, shown) in [("0.0.0.0:8000", "0.0.0.0:8000"), ("[::]:80", "[::]:80"), ("localhost:1", "127.0.0.1:1")]
        {
            assert_eq!(text.parse::<ListenAddress>().map(|a| a.to_string()), Ok(shown.to_owned()));
        }
        for text in ["8000", ":8000", "0.0.0.0", "example.com:80", "localhost:99999"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "********");
        assert_eq!(serde_yaml::to_string(&secret).ok().as_deref(), Some("'********'\n"));
        assert_eq!(secret.reveal(), "hunter2");
    }
}
