use std::sync::LazyLock;
use std::time::{Instant, SystemTime};

use http::{HeaderMap, HeaderValue, Method};

use super::*;
use crate::plugin::Notes;
use crate::plugin::auth::claims::Claims;

static X_PLAN: LazyLock<HeaderName> = LazyLock::new(|| HeaderName::from_static("x-plan"));

/// A request from `ip` with the given fields, user and claims.
struct Sent<'s> {
    ip: &'s str,
    fields: &'s [(&'static str, &'s [u8])],
    user: Option<&'static str>,
    claims: Option<serde_json::Value>,
}

const SENT: Sent<'static> = Sent { ip: "192.0.2.1", fields: &[], user: None, claims: None };

impl Sent<'_> {
    fn with<R>(&self, look: impl FnOnce(&Request<'_>) -> R) -> R {
        let mut headers = HeaderMap::new();
        for (name, value) in self.fields {
            headers.append(*name, HeaderValue::from_bytes(value).expect("a value"));
        }
        let claims: Option<Claims> = self.claims.clone().map(|claims| serde_json::from_value(claims).expect("claims"));
        let mut notes = Notes {
            user_id: self.user.map(HeaderValue::from_static),
            claims: claims.map(Arc::new),
            ..Notes::default()
        };
        look(&Request {
            id: &HeaderValue::from_static("id"),
            scheme: "http",
            method: &Method::GET,
            path: "/users",
            query: None,
            certificate: None,
            headers: &headers,
            client_ip: self.ip.parse().expect("an address"),
            now: Instant::now(),
            wall: SystemTime::now(),
            notes: &mut notes,
        })
    }

    fn counted_by(&self, parts: &[Part]) -> String {
        self.with(|request| key(parts).client(request, "/users").to_string())
    }
}

fn key(parts: &[Part]) -> Key {
    Key { parts: parts.to_vec(), ipv4_prefix: 32, ipv6_prefix: 64 }
}

#[test]
fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
    for (ip, client) in [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::2", "2001:db8:0:1::/64"),
        ("::1", "::/64"),
    ] {
        assert_eq!(Sent { ip, ..SENT }.counted_by(&[Part::Ip]), client);
    }
}

#[test]
fn prefixes_can_be_others() {
    let client = |ip: &str, ipv4_prefix, ipv6_prefix| {
        let key = Key { parts: vec![Part::Ip], ipv4_prefix, ipv6_prefix };
        Sent { ip, ..SENT }.with(|request| key.client(request, "/users").to_string())
    };
    assert_eq!(client("192.0.2.77", 24, 64), "192.0.2.0/24");
    assert_eq!(client("192.0.2.77", 0, 64), "0.0.0.0/0");
    assert_eq!(client("2001:db8::7", 32, 128), "2001:db8::7");
    assert_eq!(client("2001:db8:0:ff::7", 32, 56), "2001:db8::/56");
}

#[test]
fn users_claims_and_headers_are_told_apart_by_their_values() {
    let claims = Some(serde_json::json!({ "tenant": "gold", "plan": 7, "trial": true }));
    let sent = Sent { user: Some("alice"), claims, fields: &[("x-plan", b"pro")], ..SENT };
    let claim = |name: &str| Part::Claim(name.into());
    assert_eq!(sent.counted_by(&[Part::User]), "user=alice");
    assert_eq!(sent.counted_by(&[claim("tenant")]), "claim.tenant=gold");
    assert_eq!(sent.counted_by(&[claim("plan")]), "claim.plan=7");
    assert_eq!(sent.counted_by(&[claim("trial")]), "claim.trial=true");
    assert_eq!(sent.counted_by(&[Part::Header(X_PLAN.clone())]), "header.x-plan=pro");
    assert_eq!(sent.counted_by(&[Part::Route]), "route=/users");
    assert_eq!(sent.counted_by(&[Part::User, Part::Ip]), "user=alice,ip=192.0.2.1");
}

#[test]
fn what_is_missing_is_the_address_and_never_shared_by_all() {
    let header = Part::Header(X_PLAN.clone());
    for sent in [
        SENT,
        Sent { claims: Some(serde_json::json!({ "tenant": null })), ..SENT },
        Sent { claims: Some(serde_json::json!({ "tenant": ["a"] })), ..SENT },
        Sent { claims: Some(serde_json::json!({ "tenant": "" })), ..SENT },
        Sent { fields: &[("x-plan", b"")], ..SENT },
        Sent { fields: &[("x-plan", b"a"), ("x-plan", b"b")], ..SENT },
    ] {
        let all = [Part::User, Part::Claim("tenant".into()), header.clone()];
        assert_eq!(sent.counted_by(&all), "user:ip=192.0.2.1,claim.tenant:ip=192.0.2.1,header.x-plan:ip=192.0.2.1");
    }
}

#[test]
fn no_value_looks_like_another_key() {
    let plan = |value: &[u8]| {
        let header = Part::Header(X_PLAN.clone());
        Sent { fields: &[("x-plan", value)], user: Some("u"), ..SENT }.counted_by(&[header, Part::User])
    };
    assert_eq!(plan(b"a,user=b"), "header.x-plan=a%2Cuser%3Db,user=u");
    assert_eq!(plan(b"}{:"), "header.x-plan=%7D%7B%3A,user=u");
    assert_eq!(plan(b"~"), "header.x-plan=%7E,user=u");
    assert_eq!(plan(b"%7E"), "header.x-plan=%257E,user=u");
    assert_eq!(plan("\u{e9} \t".as_bytes()), "header.x-plan=%C3%A9%20%09,user=u");
    assert_eq!(plan(b":ip=192.0.2.1"), "header.x-plan=%3Aip%3D192.0.2.1,user=u");
}

#[test]
fn long_values_and_credentials_are_hashed() {
    let by = |name: &'static str, value: &[u8]| {
        Sent { fields: &[(name, value)], ..SENT }.counted_by(&[Part::Header(HeaderName::from_static(name))])
    };
    assert_eq!(by("x-plan", &[b'a'; 64]), format!("header.x-plan={}", "a".repeat(64)));
    let (long, other) = (by("x-plan", &[b'a'; 65]), by("x-plan", &[b'a'; 66]));
    assert!(long.starts_with("header.x-plan=~") && long.len() == 15 + 32, "{long}");
    assert_ne!(long, other);
    // The first half of SHA-256 of "hunter2", as `printf hunter2 | sha256sum` says it.
    assert_eq!(by("x-api-key", b"hunter2"), "header.x-api-key=~F52FBD32B2B3B86FF88EF6C490628285");
    for name in ["authorization", "cookie", "x-session-id", "x-auth", "x-secret", "x-token"] {
        assert!(by(name, b"hunter2").contains("=~"), "{name}");
    }
}

#[test]
fn overrides_go_by_the_first_part_alone() {
    let first = |parts: &[Part], sent: &Sent<'_>| {
        sent.with(|request| key(parts).first_value(request).map(std::borrow::Cow::into_owned))
    };
    let sent = Sent { user: Some("alice"), fields: &[("x-plan", b"pro")], ..SENT };
    let header = Part::Header(X_PLAN.clone());
    assert_eq!(first(&[Part::User, header.clone()], &sent).as_deref(), Some("alice"));
    assert_eq!(first(&[header.clone(), Part::User], &sent).as_deref(), Some("pro"));
    assert_eq!(first(&[Part::Ip], &sent).as_deref(), Some("192.0.2.1"));
    assert_eq!(first(&[Part::Ip], &Sent { ip: "2001:db8::1", ..SENT }).as_deref(), Some("2001:db8::/64"));
    assert_eq!(first(&[Part::Claim("tenant".into())], &sent), None, "the address stands in, and has no override");
    let numbered = Sent { claims: Some(serde_json::json!({ "tenant": 7 })), ..SENT };
    assert_eq!(first(&[Part::Claim("tenant".into())], &numbered).as_deref(), Some("7"));
    assert_eq!(first(&[Part::Route], &sent), None);
    assert_eq!(first(&[header], &Sent { fields: &[("x-plan", b"\xff")], ..SENT }), None);
}
