//! `ipAllow` and `ipDeny`: whose requests are served at all.
//!
//! Neither knows connections: the address is the client's, seen through the proxies that are trusted.

use std::net::IpAddr;

use async_trait::async_trait;
use ipnet::{IpNet, Ipv4Net};
use serde_json::json;

use super::{Plugin, Request};
use crate::refusal::Refusal;

/// Networks as ranges of addresses that are in order and apart from one another, so that a lookup among thousands
/// takes a dozen steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(IpAddr, IpAddr)>);

impl Ranges {
    /// Those of `networks`, which may overlap.
    pub fn new(networks: &[IpNet]) -> Self {
        let networks: Vec<IpNet> = networks.iter().copied().map(as_ipv4).collect();
        let mut ranges: Vec<_> =
            IpNet::aggregate(&networks).iter().map(|network| (network.network(), network.broadcast())).collect();
        ranges.sort_unstable();
        Ranges(ranges)
    }

    /// Whether `ip` is in one of them.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let after = self.0.partition_point(|(first, _)| *first <= ip);
        // Addresses of IPv4 are less than all of IPv6.
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| ip <= *last)
    }
}

/// The same network, as one of IPv4 where it is one in the clothes of IPv6: `::ffff:10.0.0.0/104`.
pub fn as_ipv4(network: IpNet) -> IpNet {
    let IpNet::V6(wide) = network else { return network };
    let plain = || Ipv4Net::new(wide.addr().to_ipv4_mapped()?, wide.prefix_len().checked_sub(96)?).ok();
    plain().map_or(network, IpNet::V4)
}

/// The plugin of one route.
#[derive(Debug)]
pub struct IpRules {
    allow: Option<Ranges>,
    deny: Ranges,
}

impl IpRules {
    /// Lets through what is in `allow` and not in `deny`. An empty `allow` is everybody.
    pub fn new(allow: &[IpNet], deny: &[IpNet]) -> Self {
        IpRules { allow: (!allow.is_empty()).then(|| Ranges::new(allow)), deny: Ranges::new(deny) }
    }

    fn find(&self, ip: IpAddr) -> Found {
        Found { denied: self.deny.contains(ip), allowed: self.allow.as_ref().map(|allow| allow.contains(ip)) }
    }
}

/// Where an address has been found.
#[derive(Clone, Copy, Debug)]
struct Found {
    denied: bool,
    /// `None` where everybody is allowed.
    allowed: Option<bool>,
}

impl Found {
    fn is_admitted(self) -> bool {
        !self.denied && self.allowed != Some(false)
    }
}

#[async_trait]
impl Plugin for IpRules {
    fn name(&self) -> &'static str {
        "ipRules"
    }

    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        let (ip, found) = (request.client_ip, self.find(request.client_ip));
        request.notes.explain(|| move || json!({ "client": ip, "isInDeny": found.denied, "isInAllow": found.allowed }));
        if found.is_admitted() { Ok(()) } else { Err(Refusal::IpDenied) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn networks(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|text| text.parse().expect("a network")).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn deny_wins_and_an_allow_list_lets_only_its_own_pass() {
        let rules = |allow: &[&str], deny: &[&str]| IpRules::new(&networks(allow), &networks(deny));
        let both = rules(&["10.0.0.0/8", "2001:db8::/32"], &["10.1.0.0/16", "2001:db8:bad::/48"]);
        let only_deny = rules(&[], &["192.0.2.7/32", "::/0"]);
        for (address, by_both, by_deny) in [
            ("10.0.0.1", true, true),
            ("10.0.255.255", true, true),
            ("10.1.0.0", false, true),
            ("10.1.255.255", false, true),
            ("10.2.0.0", true, true),
            ("9.255.255.255", false, true),
            ("11.0.0.0", false, true),
            ("::ffff:10.0.0.1", true, true),
            ("::ffff:10.1.0.1", false, true),
            ("192.0.2.7", false, false),
            ("::ffff:192.0.2.7", false, false),
            ("192.0.2.6", false, true),
            ("2001:db8::1", true, false),
            ("2001:db8:bad::1", false, false),
            ("2001:db9::1", false, false),
            ("255.255.255.255", false, true),
        ] {
            let admits = |rules: &IpRules| rules.find(ip(address)).is_admitted();
            assert_eq!((admits(&both), admits(&only_deny)), (by_both, by_deny), "{address}");
        }
    }

    #[test]
    fn networks_of_ipv4_written_as_ipv6_are_those_of_ipv4() {
        for (written, plain) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:10.0.0.1/128", "10.0.0.1/32"),
            ("::/0", "::/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
        ] {
            assert_eq!(as_ipv4(written.parse().expect("a network")).to_string(), plain);
        }
        assert!(Ranges::new(&networks(&["::ffff:10.0.0.0/104"])).contains(ip("10.9.9.9")));
    }

    #[test]
    fn ten_thousand_networks_say_what_a_look_at_each_of_them_says() {
        let mut rng = Rng::seeded(7);
        let mut address = |most: u64| IpAddr::from((rng.below(most) as u32).to_be_bytes());
        let list: Vec<IpNet> = (0..10_000_u32)
            .map(|at| IpNet::new(address(1 << 28), 12 + (at % 21) as u8).expect("a length").trunc())
            .collect();
        let ranges = Ranges::new(&list);
        assert!(ranges.0.windows(2).all(|pair| pair[0].1 < pair[1].0), "they are in order and apart");
        let edges = list.iter().take(200).flat_map(|network| [network.network(), network.broadcast()]);
        let others: Vec<IpAddr> = (0..200).map(|_| address(1 << 30)).collect();
        let mut seen = [0; 2];
        for address in edges.chain(others) {
            let expected = list.iter().any(|network| network.contains(&address));
            assert_eq!(ranges.contains(address), expected, "{address}");
            seen[usize::from(expected)] += 1;
        }
        assert!(seen[0] > 50 && seen[1] > 50, "{seen:?}");
    }
}
