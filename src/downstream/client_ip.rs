//! Who sent a request, seen through the proxies that may be in front of the gateway.
//!
//! `X-Forwarded-For` is anybody's to write. Only what a trusted proxy has appended to it counts: the list
//! is read from its right end, for as long as the hop that wrote the entry is trusted.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The list of hops.
pub static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A list of trusted hops that is longer than this was not written by proxies.
const MAX_HOPS: usize = 64;

/// Whether what `ip` says of others is believed.
pub fn is_trusted(ip: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&ip))
}

/// The client's address: the connection's `peer` or, seen from the right of the list, the first hop that
/// is not trusted. An entry that is no address ends the walk at the hop that vouched for it.
pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(peer, trusted) {
        return peer;
    }
    let entries =
        headers.get_all(&X_FORWARDED_FOR).iter().rev().flat_map(|field| field.as_bytes().rsplit(|byte| *byte == b','));
    let mut client = peer;
    for entry in entries.take(MAX_HOPS) {
        match address(entry) {
            Some(ip) => client = ip,
            None => break,
        }
        if !is_trusted(client, trusted) {
            break;
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1` or `[2001:db8::1]:443`.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port).map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lists: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(&X_FORWARDED_FOR, list.parse().expect("a value"));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().expect("a network")).collect();
        of(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn the_first_untrusted_hop_from_the_right_is_the_client() {
        const TRUSTED: &[&str] = &["10.0.0.0/8", "2001:db8::/32"];
        for (peer, lists, expected) in [
            // An untrusted peer may say what it likes.
            ("203.0.113.9", &["1.2.3.4"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["6.6.6.6, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["6.6.6.6", "203.0.113.7,10.0.0.2"], "203.0.113.7"),
            // All trusted: the leftmost.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // What is no address ends the walk at the hop that vouched for it.
            ("10.0.0.1", &["1.2.3.4, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4, , 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7:1234"], "203.0.113.7"),
            ("2001:db8::1", &["[2001:db9::7]:443"], "2001:db9::7"),
            ("2001:db8::1", &["[2001:db9::7]"], "2001:db9::7"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.7"], "203.0.113.7"),
        ] {
            assert_eq!(client(peer, lists, TRUSTED), expected, "{peer} {lists:?}");
        }
        assert_eq!(client("10.0.0.1", &["1.2.3.4"], &[]), "10.0.0.1");
    }

    #[test]
    fn a_list_of_a_hundred_thousand_hops_costs_no_more_than_a_few() {
        let list = vec!["10.0.0.2"; 100_000].join(",");
        assert_eq!(client("10.0.0.1", &[&format!("1.2.3.4,{list}")], &["10.0.0.0/8"]), "10.0.0.2");
    }
}
