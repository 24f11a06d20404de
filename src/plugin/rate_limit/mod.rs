//! `rateLimit: { max, window }`: so many requests per client and window, and 429 for more.
//!
//! Exact in either place the counters are kept: in Redis, shared between replicas ([`redis`]), or in this
//! process ([`memory`]), which also stands in while Redis is away. Both run the same [`algorithm`]s. A
//! request that is refused uses up nothing.

pub mod algorithm;
pub mod memory;
pub mod redis;
mod store;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};

use self::algorithm::{Decision, Quota};
pub use self::store::Store;
use super::{Notes, Plugin, Request};
use crate::config::OnRedisDown;
use crate::refusal::{Refusal, whole_seconds};

/// Where a limit applies.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What the limit is called in keys: the path of its route.
    pub name: Arc<str>,
    /// A number that no other rule of this process has.
    pub id: u32,
    /// How many requests in which time.
    pub quota: Quota,
    /// What decides while Redis is away.
    pub on_redis_down: OnRedisDown,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was counted, or there was no room for it.
    Counted(Decision),
    /// Nobody could count it, and it may pass for that.
    Uncounted,
    /// Nobody could count it, and it must not pass for that.
    Unavailable,
}

impl Rule {
    /// The key in Redis that counts `client`.
    fn key(&self, client: &Client) -> String {
        format!("aegis:rl:{}:{client}", self.name)
    }
}

/// One client of a rule: an IPv4 address, or the /64 that an IPv6 address is in, since a whole /64 is
/// what one client is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(u64);

impl Client {
    /// The client that `ip` belongs to.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Client(u64::from(u32::from(ip))),
            // The first 64 bits; in what would collide with IPv4 (::/32) there is only the loopback.
            IpAddr::V6(ip) => Client(((u128::from(ip) >> 64) as u64).max(1 << 32)),
        }
    }
}

/// As in keys: `192.0.2.7` or `2001:db8:0:1::/64`.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u32::try_from(self.0) {
            Ok(v4) => Ipv4Addr::from(v4).fmt(f),
            Err(_) => write!(f, "{}/64", Ipv6Addr::from(u128::from(self.0) << 64)),
        }
    }
}

/// The plugin of one route.
#[derive(Debug)]
pub struct RateLimit {
    rule: Rule,
    store: Arc<Store>,
}

impl RateLimit {
    /// Applies `rule`, counting in `store`.
    pub fn new(rule: Rule, store: Arc<Store>) -> Self {
        RateLimit { rule, store }
    }
}

#[async_trait]
impl Plugin for RateLimit {
    fn name(&self) -> &'static str {
        "rateLimit"
    }

    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        match self.store.take(&self.rule, request.client_ip, request.now).await {
            Verdict::Counted(decision) => {
                note(request.notes, &decision);
                if decision.allowed { Ok(()) } else { Err(Refusal::RateLimited { retry_after: decision.retry_after }) }
            }
            Verdict::Uncounted => Ok(()),
            Verdict::Unavailable => Err(Refusal::LimiterUnavailable),
        }
    }
}

static X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The three fields of every limited answer. `-Reset` is in seconds from now: unlike a time of day, that
/// cannot be wrong by the difference of two clocks.
fn note(notes: &mut Notes, decision: &Decision) {
    notes.answer.extend([
        ((&X_RATELIMIT_LIMIT).into(), HeaderValue::from(decision.limit)),
        ((&X_RATELIMIT_REMAINING).into(), HeaderValue::from(decision.remaining)),
        ((&X_RATELIMIT_RESET).into(), HeaderValue::from(whole_seconds(decision.reset))),
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(ip: &str) -> Client {
        Client::of(ip.parse().expect("an address"))
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_eq!(client("2001:db8:0:1::1"), client("2001:db8:0:1:ffff::2"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
        assert_ne!(client("0.0.0.1"), client("::1"));
        let shown = ["192.0.2.1", "2001:db8:0:1::7"].map(|ip| client(ip).to_string());
        assert_eq!(shown, ["192.0.2.1", "2001:db8:0:1::/64"]);
    }
}
