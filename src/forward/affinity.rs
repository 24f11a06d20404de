//! What a request shares with those that should go to the same target.

use std::net::IpAddr;

use http::{HeaderMap, header};
use pingora::http::RequestHeader;

use crate::config::HashKey;
use crate::context::RequestCtx;
use crate::upstream::hash;

/// The hash of what `key` looks at. A request that lacks it goes by its address.
pub fn hash(key: &HashKey, request: &RequestHeader, ctx: &RequestCtx) -> u64 {
    let found = match key {
        HashKey::Ip => None,
        HashKey::User => ctx.notes.user_id.as_ref().map(|user| hash::of(user.as_bytes())),
        HashKey::Claim(claim) => {
            let claims = ctx.notes.claims.as_ref();
            claims.and_then(|claims| claims.text(claim).map(|value| hash::of(value.as_bytes())))
        }
        HashKey::Header(name) => request.headers.get(&name.0).map(|value| hash::of(value.as_bytes())),
        HashKey::Cookie(name) => cookie(&request.headers, name.as_str()).map(hash::of),
    };
    found.unwrap_or_else(|| address(ctx.client))
}

/// The value of the first cookie of that name.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let pairs = headers.get_all(header::COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| {
        let (own, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
        (own == name.as_bytes()).then(|| &value[1..])
    })
}

/// IPv6 addresses of one network, which is what one client has, count as one.
fn address(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => hash::of(&ip.octets()),
        IpAddr::V6(ip) => hash::of(&ip.octets()[..8]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        for field in ["a=1; sid=x=y ;b=2", "sid=second; empty=; flag"] {
            headers.append(header::COOKIE, field.parse().expect("a value"));
        }
        for (name, value) in
            [("sid", Some("x=y")), ("SID", None), ("a", Some("1")), ("empty", Some("")), ("flag", None), ("si", None)]
        {
            assert_eq!(cookie(&headers, name), value.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let of = |text: &str| address(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
