//! What of a request people may read in a log. Pure.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// In place of a value.
const HIDDEN: &str = "***";

/// What of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum QueryShown {
    /// Nothing.
    #[default]
    Omit,
    /// The names of its parameters: `?page=***&token=***`.
    Names,
    /// All of it, but for what the gateway knows to be a token.
    Full,
}

impl QueryShown {
    /// `query` as far as it is shown.
    pub fn of(self, query: &str) -> Option<Cow<'_, str>> {
        match self {
            QueryShown::Omit => None,
            QueryShown::Full => Some(query.into()),
            QueryShown::Names => {
                // What has no name may well be a value.
                let shown = |pair: &str| match pair.split_once('=') {
                    Some((name, _)) => format!("{name}={HIDDEN}"),
                    None if pair.is_empty() => String::new(),
                    None => HIDDEN.to_owned(),
                };
                Some(query.split('&').map(shown).collect::<Vec<_>>().join("&").into())
            }
        }
    }
}

/// Whose names are masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    /// Addresses of clients: the network remains, the /24 of IPv4 and the /48 of IPv6.
    pub client: bool,
    /// Users: eight signs remain that stand for the same user until the process ends.
    pub user: bool,
}

impl Masks {
    /// A client's address.
    pub fn client(self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(ip) if self.client => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
            IpAddr::V6(ip) if self.client => Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80).into(),
            ip => ip,
        }
    }

    /// A user.
    pub fn user<'u>(self, user: &'u [u8]) -> Cow<'u, [u8]> {
        // Keyed by chance, so that nobody finds a user by trying.
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        match self.user {
            true => format!("user-{:08x}", KEY.hash_one(user) as u32).into_bytes().into(),
            false => user.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_query_the_names_may_be_shown_without_the_values() {
        for (query, shown) in
            [("page=2&token=secret", "page=***&token=***"), ("secret", "***"), ("a=b=c&&d", "a=***&&***"), ("", "")]
        {
            assert_eq!(QueryShown::Names.of(query).as_deref(), Some(shown), "{query}");
            assert_eq!(QueryShown::Full.of(query).as_deref(), Some(query));
            assert_eq!(QueryShown::Omit.of(query), None);
        }
    }

    #[test]
    fn a_mask_leaves_the_network_and_tells_users_apart() {
        let (on, off) = (Masks { client: true, user: true }, Masks::default());
        for (ip, masked) in [("203.0.113.7", "203.0.113.0"), ("2001:db8:1:2::7", "2001:db8:1::")] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!((on.client(ip).to_string().as_str(), off.client(ip)), (masked, ip));
        }
        assert_eq!(on.user(b"alice"), on.user(b"alice"));
        assert_ne!(on.user(b"alice"), on.user(b"bob"));
        assert!(!on.user(b"alice").windows(5).any(|part| part == b"alice"));
        assert_eq!(&*off.user(b"alice"), b"alice");
    }
}
