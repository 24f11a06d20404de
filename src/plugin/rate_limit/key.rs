//! Who is counted together: what a request is, as far as a limit is concerned.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderName;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::plugin::Request;

/// A value that is longer, encoded, is hashed: keys have to stay small, whatever clients send.
const MAX_VALUE_BYTES: usize = 64;
/// Names of headers with these in them hold credentials, whose values nobody should read in Redis.
const CREDENTIALS: [&str; 8] = ["auth", "cookie", "credential", "key", "password", "secret", "session", "token"];

/// Whether a header of this name, in lower case, most likely holds credentials.
pub fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|word| name.contains(word))
}

/// By what requests are told apart. One that lacks a part is counted by its address in that part's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// At least one.
    pub parts: Vec<Part>,
    /// How many bits of an IPv4 address make one client.
    pub ipv4_prefix: u8,
    /// How many bits of an IPv6 address make one client.
    pub ipv6_prefix: u8,
}

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The client's address.
    Ip,
    /// The user that a plugin found.
    User,
    /// A claim of the token.
    Claim(String),
    /// A header field that the client sent exactly once.
    Header(HeaderName),
    /// Nothing: all requests that the limit applies to are one.
    Route,
}

/// Who a request is counted as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// An address, or the network that is given to one client.
    Network(IpNet),
    /// Anything else, encoded so that no two keys look the same.
    Named(Arc<str>),
}

/// In few pieces, since each costs a keyed hasher as much as eight bytes. The first byte says what follows.
impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Client::Network(IpNet::V4(net)) => {
                state.write_u64(u64::from(net.prefix_len()) << 8 | u64::from(net.addr().to_bits()) << 16);
            }
            Client::Network(IpNet::V6(net)) => {
                state.write_u64(1 | u64::from(net.prefix_len()) << 8);
                state.write_u128(net.addr().to_bits());
            }
            Client::Named(name) => {
                state.write_u8(2);
                name.hash(state);
            }
        }
    }
}

/// As in Redis' keys: `192.0.2.7`, `2001:db8:0:1::/64`, `user=alice,header.x-plan=gold`.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Network(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Client::Network(net) => net.fmt(f),
            Client::Named(name) => f.write_str(name),
        }
    }
}

impl Key {
    /// The client of `request`. `scope` names what the limit applies to.
    pub fn client(&self, request: &Request<'_>, scope: &str) -> Client {
        if let [Part::Ip] = self.parts[..] {
            return Client::Network(self.network(request.client_ip));
        }
        let mut name = String::with_capacity(64);
        for part in &self.parts {
            if !name.is_empty() {
                name.push(',');
            }
            self.add(&mut name, part, request, scope);
        }
        Client::Named(name.into())
    }

    /// The value that overrides go by: that of the first part, where the request has it.
    pub fn first_value<'r>(&self, request: &'r Request<'_>) -> Option<Cow<'r, str>> {
        match self.parts.first()? {
            Part::Ip => Some(Client::Network(self.network(request.client_ip)).to_string().into()),
            part => match value(part, request)? {
                Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::from),
                Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::from),
            },
        }
    }

    fn network(&self, ip: IpAddr) -> IpNet {
        let net = match ip.to_canonical() {
            IpAddr::V4(ip) => Ipv4Net::new(ip, self.ipv4_prefix).map(IpNet::from),
            IpAddr::V6(ip) => Ipv6Net::new(ip, self.ipv6_prefix).map(IpNet::from),
        };
        // The config has seen to it that no prefix is longer than an address.
        net.map_or_else(|_| ip.into(), |net| net.trunc())
    }

    fn add(&self, name: &mut String, part: &Part, request: &Request<'_>, scope: &str) {
        let mut hide = false;
        match part {
            Part::Ip => return self.add_address(name, request),
            Part::Route => {
                name.push_str("route=");
                return add_value(name, scope.as_bytes(), false);
            }
            Part::User => name.push_str("user"),
            Part::Claim(claim) => {
                name.push_str("claim.");
                add_value(name, claim.as_bytes(), false);
            }
            Part::Header(header) => {
                hide = is_credential(header.as_str());
                name.push_str("header.");
                name.push_str(header.as_str());
            }
        }
        match value(part, request) {
            Some(value) => {
                name.push('=');
                add_value(name, &value, hide);
            }
            None => {
                name.push(':');
                self.add_address(name, request);
            }
        }
    }

    fn add_address(&self, name: &mut String, request: &Request<'_>) {
        // Writing to a string cannot fail.
        let _ = write!(name, "ip={}", Client::Network(self.network(request.client_ip)));
    }
}

/// What a request has for a part.
fn value<'r>(part: &Part, request: &'r Request<'_>) -> Option<Cow<'r, [u8]>> {
    let value = match part {
        Part::User => Cow::from(request.notes.user_id.as_ref()?.as_bytes()),
        Part::Claim(claim) => match request.notes.claims.as_ref()?.text(claim)? {
            Cow::Borrowed(text) => Cow::from(text.as_bytes()),
            Cow::Owned(text) => Cow::from(text.into_bytes()),
        },
        Part::Header(name) => {
            let mut fields = request.headers.get_all(name).iter();
            match (fields.next(), fields.next()) {
                (Some(field), None) => Cow::from(field.as_bytes()),
                _ => return None,
            }
        }
        Part::Ip | Part::Route => return None,
    };
    (!value.is_empty()).then_some(value)
}

/// Adds `value`, percent-encoded but for `A-Z a-z 0-9 . _ - /`; hashed where it is long or to be hidden.
fn add_value(name: &mut String, value: &[u8], hide: bool) {
    let start = name.len();
    for byte in value.iter().take(MAX_VALUE_BYTES + 1) {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'/' => name.push(char::from(*byte)),
            _ => add_hex(name, "%", *byte),
        }
    }
    if hide || name.len() - start > MAX_VALUE_BYTES {
        name.truncate(start);
        // Nothing that is encoded begins with a tilde.
        name.push('~');
        digest(&SHA256, value).as_ref()[..16].iter().for_each(|byte| add_hex(name, "", *byte));
    }
}

fn add_hex(name: &mut String, before: &str, byte: u8) {
    // Writing to a string cannot fail.
    let _ = write!(name, "{before}{byte:02X}");
}

#[cfg(test)]
mod tests;
