//! What a request shares with those that should go to the same target, or to the same group of targets.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, header};
use pingora::http::RequestHeader;

use crate::config::{HashKey, Sticky};
use crate::context::RequestCtx;
use crate::rng;
use crate::snapshot::Route;
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

/// The group that a request belongs to. A cookie that is to say so is set where there is none.
pub fn group(route: &Route, request: &RequestHeader, ctx: &mut RequestCtx) -> usize {
    if route.split.groups.len() == 1 {
        return 0;
    }
    let chance = || rng::with_local(|rng| rng.below(1 << 30));
    match &route.sticky {
        None => route.split.choose(None, chance()),
        Some(Sticky::Header(name)) => {
            let key = request.headers.get(&name.0).map(|value| hash::of(value.as_bytes()));
            route.split.choose(key, chance())
        }
        Some(Sticky::Cookie(name)) => {
            let known = cookie(&request.headers, name.as_str()).and_then(|group| route.split.named(group));
            known.unwrap_or_else(|| {
                let group = route.split.choose(None, chance());
                let value = format!(
                    "{}={}; Path={}; HttpOnly; SameSite=Lax",
                    name.as_str(),
                    route.split.groups[group].name,
                    route.path
                );
                // Names of cookies and groups, and paths, are made of what may stand in a field.
                ctx.notes.answer.extend(HeaderValue::try_from(value).ok().map(|value| (header::SET_COOKIE, value)));
                group
            })
        }
    }
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
