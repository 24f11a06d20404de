//! How a target is spoken to.

use std::fmt;

/// The scheme of a target's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`: HTTP/1.1.
    Http,
    /// `https`: TLS, in whose handshake HTTP/2 or HTTP/1.1 is chosen.
    Https,
    /// `h2`: HTTP/2 over TLS.
    H2,
    /// `h2c`: HTTP/2 without TLS.
    H2c,
}

impl Scheme {
    /// The one that is written so, in letters of any size.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            "h2" => Some(Scheme::H2),
            "h2c" => Some(Scheme::H2c),
            _ => None,
        }
    }

    /// Whether connections are encrypted.
    pub fn is_tls(self) -> bool {
        matches!(self, Scheme::Https | Scheme::H2)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::H2 => "h2",
            Scheme::H2c => "h2c",
        }
    }

    /// The port that need not be written.
    pub fn port(self) -> u16 {
        if self.is_tls() { 443 } else { 80 }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
