//! How a client came in: by which door, and what it has shown there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::crowd::Place;
use crate::tls::client::ClientCertificate;

/// What is to happen with the connections of one listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// Requests are served.
    #[default]
    Plain,
    /// Requests are served after a handshake.
    Tls,
    /// Requests are told to come by https, to this port.
    ToHttps(u16),
}

/// The doors of a gateway, by their addresses.
#[derive(Clone, Debug, Default)]
pub struct Doors(HashMap<SocketAddr, Door>);

impl Doors {
    /// Those of these addresses; all others are plain.
    pub fn new(doors: impl IntoIterator<Item = (SocketAddr, Door)>) -> Self {
        let doors: HashMap<SocketAddr, Door> = doors.into_iter().collect();
        // Where all are, nobody need be told from another.
        Doors(if doors.values().all(|door| *door == Door::Plain) { HashMap::new() } else { doors })
    }

    /// Whether all are plain: then it need not be found out at which end a connection came in.
    pub fn are_plain(&self) -> bool {
        self.0.is_empty()
    }

    /// By which one a connection came whose own end has this address: that of the address, or of all addresses
    /// with its port.
    pub fn of(&self, local: SocketAddr) -> Door {
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let everywhere = [IpAddr::from([0; 4]), IpAddr::from([0; 16])].map(|ip| SocketAddr::new(ip, local.port()));
        let mut looked_up = std::iter::once(local).chain(everywhere);
        looked_up.find_map(|address| self.0.get(&address).copied()).unwrap_or_default()
    }
}

/// How one client came in.
#[derive(Debug, Default)]
pub struct Entrance {
    /// By which door.
    pub door: Door,
    /// Whether it sends requests without the handshake that the door asks for.
    pub is_plain: bool,
    /// The certificate that it has shown.
    pub certificate: Option<ClientCertificate>,
    /// Its place among all connections, for as long as anything of it is left: a request, or its end.
    pub place: Option<Place>,
}

impl Entrance {
    /// How the client wrote its URL: `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.door == Door::Tls && !self.is_plain { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_known_by_its_address_or_its_port() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert!(Doors::new([(at("0.0.0.0:80"), Door::Plain), (at("[::]:8080"), Door::Plain)]).are_plain());
        let doors = Doors::new([
            (at("127.0.0.1:443"), Door::Plain),
            (at("0.0.0.0:443"), Door::Tls),
            (at("[::]:80"), Door::ToHttps(443)),
            (at("10.0.0.1:8443"), Door::Tls),
        ]);
        assert!(!doors.are_plain());
        for (local, door) in [
            ("127.0.0.1:443", Door::Plain),
            ("10.0.0.1:443", Door::Tls),
            ("[::ffff:10.0.0.1]:443", Door::Tls),
            ("[2001:db8::1]:80", Door::ToHttps(443)),
            ("10.0.0.1:80", Door::ToHttps(443)),
            ("10.0.0.1:8443", Door::Tls),
            ("10.0.0.2:8443", Door::Plain),
        ] {
            assert_eq!(doors.of(at(local)), door, "{local}");
        }
    }
}
