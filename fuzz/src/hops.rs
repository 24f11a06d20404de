//! `X-Forwarded-For`: the client is the connection's other end or what a trusted hop has written, as a slow and simple
//! reading finds it.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use aegis::downstream::client_ip::{X_FORWARDED_FOR, of};
use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

static TRUSTED: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1/32"].map(|network| network.parse().expect("a network")).to_vec()
});

const PEERS: [&str; 5] = ["10.0.0.1", "203.0.113.9", "2001:db8::1", "::ffff:10.0.0.7", "2001:db9::1"];

/// The first byte chooses the other end, lines are fields.
pub fn run(data: &[u8]) {
    let Some((first, fields)) = data.split_first() else { return };
    let peer: IpAddr = PEERS[usize::from(*first) % PEERS.len()].parse().expect("an address");
    let mut headers = HeaderMap::new();
    for field in fields.split(|byte| *byte == b'\n').take(16) {
        if let Ok(value) = HeaderValue::from_bytes(field) {
            headers.append(&X_FORWARDED_FOR, value);
        }
    }
    let found = of(peer, &headers, &TRUSTED);
    assert_eq!(found, simply(peer, &headers), "{headers:?}");
    assert_eq!(found, found.to_canonical());
    assert_eq!(of(peer, &headers, &[]), peer.to_canonical(), "nobody is trusted");
}

fn simply(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let is_trusted = |ip: IpAddr| TRUSTED.iter().any(|network| network.contains(&ip));
    let lines: Vec<&[u8]> = headers.get_all(&X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect();
    let all = lines.join(&b","[..]);
    let mut hops: Vec<&[u8]> = all.split(|byte| *byte == b',').collect();
    if lines.is_empty() {
        hops.clear();
    }
    let mut client = peer.to_canonical();
    for _ in 0..64 {
        let Some(hop) = hops.pop().filter(|_| is_trusted(client)) else { break };
        let Some(ip) = read(hop) else { break };
        client = ip;
    }
    client
}

fn read(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']'));
    let ip = hop.parse::<IpAddr>().or_else(|_| bare.unwrap_or("").parse());
    Some(ip.or_else(|_| hop.parse::<SocketAddr>().map(|hop| hop.ip())).ok()?.to_canonical())
}
