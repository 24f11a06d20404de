//! How many connections there are, in all and of each client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::Limits;

/// Those of a gateway.
#[derive(Debug, Default)]
pub struct Crowd {
    all: AtomicU32,
    clients: Mutex<HashMap<IpAddr, u32>>,
}

/// The place of one connection, for as long as it lives.
#[derive(Debug)]
pub struct Place {
    crowd: Arc<Crowd>,
    client: Option<IpAddr>,
}

impl Crowd {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.all.load(Ordering::Relaxed)
    }

    /// A place for a connection of `client`, if there is one.
    pub fn enter(self: &Arc<Self>, client: IpAddr, limits: &Limits) -> Option<Place> {
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        // From here on it is given back, whatever happens.
        let mut place = Place { crowd: self.clone(), client: None };
        if before >= limits.max_connections {
            return None;
        }
        if let Some(most) = limits.max_connections_per_client {
            let client = one(client);
            let mut clients = self.clients.lock();
            let count = clients.entry(client).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
            place.client = Some(client);
        }
        Some(place)
    }
}

/// Says that a connection is not taken, at most once a second: there will be others.
pub fn is_full(client: IpAddr, now: Instant) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock();
    if last.is_none_or(|last| now.saturating_duration_since(last) >= Duration::from_secs(1)) {
        *last = Some(now);
        log::warn!("a connection of {client} is not taken: there are as many as limits allow");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.all.fetch_sub(1, Ordering::Relaxed);
        let Some(client) = self.client else { return };
        let mut clients = self.crowd.clients.lock();
        if let Some(count) = clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&client);
            }
        }
    }
}

/// Clients of IPv6 have 2^64 addresses each.
pub fn one(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_and_for_so_many_of_each() {
        let crowd = Arc::new(Crowd::default());
        let limits = Limits { max_connections: 4, max_connections_per_client: Some(2), ..Limits::default() };
        let enter = |ip: &str| crowd.enter(ip.parse().expect("an address"), &limits);
        let mine: Vec<_> = ["2001:db8::1", "2001:db8::2"].into_iter().filter_map(enter).collect();
        assert!(mine.len() == 2 && enter("2001:db8::3").is_none(), "one /64 is one client");
        let others: Vec<_> = ["10.0.0.1", "::ffff:10.0.0.1"].into_iter().filter_map(enter).collect();
        assert!(others.len() == 2 && enter("10.0.0.2").is_none(), "four are all");
        drop(mine);
        assert!(enter("10.0.0.1").is_none() && enter("10.0.0.2").is_some());
        drop(others);
        assert_eq!((crowd.all.load(Ordering::Relaxed), crowd.clients.lock().len()), (0, 0));
    }
}
