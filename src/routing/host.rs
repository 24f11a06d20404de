//! One spelling for every host, and what routes say of hosts.
//!
//! Routes, and with them authentication, are chosen by host: who reads a host otherwise than the server behind does is a way
//! around both. So a request has one host, which is a name or an address and nothing else; case, port and the dot of the root
//! make no other host of it.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// As long as a name can be (RFC 1035, section 2.3.4), in text.
const MOST_BYTES: usize = 253;

/// The host of `HOST[:PORT]`: in lower case, without the port and the dot of the root. `None` if that is none: a name that no
/// server could have, an address that is none, a port that is no number.
pub fn of(authority: &[u8]) -> Option<Cow<'_, str>> {
    let authority = std::str::from_utf8(authority).ok()?;
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then(|| format!("[{address}]").into());
    }
    let (name, port) = authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port)));
    let name = name.strip_suffix('.').unwrap_or(name);
    if !port.is_none_or(is_port) || !is_name(name) {
        return None;
    }
    Some(match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => name.to_ascii_lowercase().into(),
        false => name.into(),
    })
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Labels of letters, digits, hyphens and, since there are such, underscores; none of them empty.
fn is_name(text: &str) -> bool {
    let mut previous = b'.';
    let is_good = |byte: u8| {
        let is_first = std::mem::replace(&mut previous, byte) == b'.';
        byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte == b'.' && !is_first
    };
    text.len() <= MOST_BYTES && text.bytes().all(is_good) && previous != b'.'
}

/// A host that a route takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// Those that have one label or more before this.
    Below(String),
}

impl HostPattern {
    /// Whether it takes a host in normal form.
    pub fn takes(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(own) => own == host,
            HostPattern::Below(above) => host
                .strip_suffix(above.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty()),
        }
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("\"{text}\": {why}; write api.example.com or *.example.com");
        let (name, pattern): (_, fn(String) -> Self) = match text.strip_prefix("*.") {
            Some(name) => (name, HostPattern::Below),
            None => (text, HostPattern::Exact),
        };
        if text == "*" {
            return Err("\"*\" is every host, as if there were none; remove it".to_owned());
        }
        if name.contains('*') {
            return Err(wrong("a \"*\" stands for whole labels, and at the beginning"));
        }
        if !text.is_ascii() {
            let known = url::Host::parse(name).ok().map(|host| text.replace(name, &host.to_string()));
            return Err(match known {
                Some(known) => format!("\"{text}\": clients send such a name in ASCII; write {known}"),
                None => wrong("no name of a host"),
            });
        }
        match of(name.as_bytes()) {
            Some(host) if name.trim_end_matches('.').eq_ignore_ascii_case(&host) => Ok(pattern(host.into_owned())),
            Some(host) if host.starts_with('[') && name.ends_with(']') => Ok(pattern(host.into_owned())),
            Some(_) => Err(wrong("a host has no port here, since requests for any are taken")),
            None => Err(wrong("no name of a host")),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host),
            HostPattern::Below(host) => write!(f, "*.{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_one_host_becomes_one() {
        for (authority, host) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.COM", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("api.example.com:8443", "api.example.com"),
            ("Api.example.com.:80", "api.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("user_service", "user_service"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[0:0::1]", "[::1]"),
            ("[2001:DB8::A]", "[2001:db8::a]"),
        ] {
            assert_eq!(of(authority.as_bytes()).as_deref(), Some(host), "{authority}");
        }
        assert!(matches!(of(b"a.example:1"), Some(Cow::Borrowed("a.example"))));
    }

    #[test]
    fn what_is_no_host_is_none() {
        let long = [b"a.".repeat(127).as_slice(), b"a"].concat();
        assert!(of(&long[2..]).is_some() && of(&long).is_none());
        for authority in [
            "",
            ".",
            "..",
            ".a",
            "a..",
            "a..b",
            ":80",
            "a:",
            "a:b",
            "a:+80",
            "a:-1",
            "a:65536",
            "a:80:80",
            "a b",
            "a/b",
            "a\\b",
            "a,b",
            "a@b",
            "a?",
            "a#",
            "a%2eb",
            "a*",
            "*",
            "bücher.example",
            "a\0",
            "[",
            "[]",
            "[::1",
            "[::1]x",
            "[::1]80",
            "[::1]:",
            "[::1%25eth0]",
            "[1.2.3.4]",
            "::1",
            "[v1.x]",
        ] {
            assert_eq!(of(authority.as_bytes()), None, "{authority}");
        }
        assert_eq!(of(b"a\xff"), None);
    }

    #[test]
    fn patterns_are_hosts_or_what_is_below_one() {
        for (text, shown) in [
            ("api.example.com", "api.example.com"),
            ("API.example.com.", "api.example.com"),
            ("*.Example.com", "*.example.com"),
            ("localhost", "localhost"),
            ("[0::1]", "[::1]"),
        ] {
            assert_eq!(text.parse::<HostPattern>().map(|pattern| pattern.to_string()), Ok(shown.into()), "{text}");
        }
        for (text, said) in [
            ("*", "every host"),
            ("api.*.com", "whole labels"),
            ("*api.com", "whole labels"),
            ("*.*.com", "whole labels"),
            ("api.example.com:80", "no port"),
            ("[::1]:80", "no port"),
            ("http://a", "no name"),
            ("a..b", "no name"),
            ("", "no name"),
            ("*.", "no name"),
            ("bücher.example", "write xn--bcher-kva.example"),
            ("*.bücher.example", "write *.xn--bcher-kva.example"),
            ("bü cher", "no name"),
        ] {
            let wrong = text.parse::<HostPattern>().expect_err(text);
            assert!(wrong.contains(said), "{text}: {wrong}");
        }
    }
}
