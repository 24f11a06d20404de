//! Where to listen, where to send, and what for.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use super::Scheme;

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

/// A server of DNS: `10.0.0.2` or `10.0.0.2:53`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameServer(pub SocketAddr);

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.parse().ok().map(|ip: std::net::IpAddr| SocketAddr::new(ip, 53));
        let server = bare.or_else(|| text.parse().ok().filter(|address: &SocketAddr| address.port() != 0));
        server.map(NameServer).ok_or_else(|| {
            format!("\"{text}\" is no address of a name server; write 10.0.0.2, 10.0.0.2:53 or [2001:db8::53]:53")
        })
    }
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where requests go: `http://HOST:PORT`, or `https`, `h2` or `h2c`. The port may be left out (80, with TLS 443).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetUrl {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// A name or an IP address, without the brackets of IPv6.
    pub host: String,
    /// The port.
    pub port: u16,
    text: Arc<str>,
}

impl TargetUrl {
    /// The URL in its normal form, as stats and log lines show it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, for keeping.
    pub fn text(&self) -> &Arc<str> {
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
        let (scheme, known) = match text.split_once("://") {
            Some((name, rest)) => match Scheme::named(name) {
                // The standard for URLs knows the hosts of these two only.
                Some(scheme) if scheme.is_tls() => (scheme, format!("https://{rest}")),
                Some(scheme) => (scheme, format!("http://{rest}")),
                None => return Err(wrong(&format!("unknown scheme \"{name}\""))),
            },
            None => return Err(wrong("the scheme is missing")),
        };
        let url = url::Url::parse(&known).map_err(|e| wrong(&e.to_string()))?;
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
        let port = url.port().unwrap_or(scheme.port());
        if port == 0 {
            return Err(wrong("port 0 cannot be connected to"));
        }
        // In one form, however it is written: a target is known by it. A port that is the scheme's own is left out.
        let text = format!("{scheme}://{}", &url[url::Position::BeforeHost..url::Position::BeforePath]);
        Ok(TargetUrl { scheme, host, port, text: text.into() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_urls_have_one_spelling_and_refuse_what_cannot_be_meant() {
        let url: TargetUrl = "http://user-service-1:3001/".parse().expect("a target");
        assert_eq!((url.host.as_str(), url.port, url.as_str()), ("user-service-1", 3001, "http://user-service-1:3001"));
        let url: TargetUrl = "http://[::1]:9".parse().expect("a target");
        assert_eq!((url.host.as_str(), url.port), ("::1", 9));
        for (text, port) in
            [("http://a", 80), ("https://a", 443), ("h2://a", 443), ("h2c://a", 80), ("https://[::1]:9", 9)]
        {
            assert_eq!(text.parse::<TargetUrl>().map(|url| url.port), Ok(port), "{text}");
        }
        for (text, shown, authority) in [
            ("http://a", "http://a", "a"),
            ("http://a:80/", "http://a", "a"),
            ("HTTP://User-Service:080", "http://user-service", "user-service"),
            ("http://a:08080", "http://a:8080", "a:8080"),
            ("http://[0:0::1]:80", "http://[::1]", "[::1]"),
            ("HTTPS://A:443", "https://a", "a"),
            ("h2c://A:80", "h2c://a", "a"),
            ("h2://a:8443/", "h2://a:8443", "a:8443"),
        ] {
            let url: TargetUrl = text.parse().expect(text);
            assert_eq!((url.as_str(), url.authority()), (shown, authority));
        }
        assert_eq!("http://a".parse::<TargetUrl>(), "http://a:80".parse());
        for text in [
            "a:1",
            "ftp://a:1",
            "http://",
            "http://a:0",
            "http://a:1/x",
            "http://a:1?x",
            "http://u:p@a:1",
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
    fn name_servers_are_addresses() {
        for (text, shown) in [("10.0.0.2", "10.0.0.2:53"), ("10.0.0.2:5353", "10.0.0.2:5353"), ("::1", "[::1]:53")] {
            assert_eq!(text.parse::<NameServer>().map(|server| server.to_string()), Ok(shown.to_owned()));
        }
        assert!(
            ["dns.internal", "10.0.0.2:0", "", "10.0.0.2:53:1"].iter().all(|text| text.parse::<NameServer>().is_err())
        );
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
}
