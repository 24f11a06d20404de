//! What targets are told to be asked for.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

use crate::routing::host;

/// The `Host` that targets get, or `:authority` over HTTP/2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// That of the client.
    #[default]
    Client,
    /// That of the target's URL.
    Target,
    /// This one, which is a host and maybe a port.
    Name(HeaderValue),
}

impl HostHeader {
    /// Whether it is as the client has sent it.
    pub fn is_clients(&self) -> bool {
        *self == HostHeader::Client
    }

    /// What a target, whose `own` is that of its URL, gets in place of the client's; `None`: that.
    pub fn of<'h>(&'h self, own: &'h HeaderValue) -> Option<&'h HeaderValue> {
        match self {
            HostHeader::Client => None,
            HostHeader::Target => Some(own),
            HostHeader::Name(name) => Some(name),
        }
    }
}

impl FromStr for HostHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no host; write client, target, or a host such as api.example.com");
        match text {
            "client" => Ok(HostHeader::Client),
            "target" => Ok(HostHeader::Target),
            _ if host::of(text.as_bytes()).is_none_or(|host| host.is_empty()) => Err(wrong()),
            _ => HeaderValue::from_str(text).map(HostHeader::Name).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for HostHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostHeader::Client => f.write_str("client"),
            HostHeader::Target => f.write_str("target"),
            // Made of text.
            HostHeader::Name(name) => f.write_str(name.to_str().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_word_or_a_name_that_a_request_could_have() {
        for good in ["client", "target", "api.example.com", "api.example.com:8443", "[2001:db8::1]:80", "10.0.0.1"] {
            assert_eq!(good.parse::<HostHeader>().map(|host| host.to_string()), Ok(good.to_owned()));
        }
        for wrong in ["", "a b", "http://a", "a/b", "a..b", "a:http", "user@a", "*.a"] {
            assert!(wrong.parse::<HostHeader>().is_err(), "{wrong}");
        }
    }
}
