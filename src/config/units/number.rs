//! Whole numbers with a range.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// A whole number that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub NonZeroU32);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Count)
            .map_err(|_| format!("\"{text}\" is out of range; write a whole number from 1 to {}", u32::MAX))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much one of several gets: 0, nothing, or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(pub u32);

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Weight)
            .map_err(|_| format!("\"{text}\" is out of range; write a whole number from 0 to {}", u32::MAX))
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A port: 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(port @ 1..) => Ok(Port(port)),
            _ => Err(format!("\"{text}\" is out of range; write a port from 1 to 65535")),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of threads: 1 to 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(pub usize);

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(threads @ 1..=1024) => Ok(Threads(threads)),
            _ => Err(format!("\"{text}\" is out of range; write 1 to 1024, or leave it out for one a core")),
        }
    }
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many bits of an address: 1 to 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix(pub u8);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(bits @ 1..=128) => Ok(Prefix(bits)),
            _ => Err(format!("\"{text}\" is out of range; write 1 to 32 for ipv4, 1 to 128 for ipv6")),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_know_their_ranges() {
        assert_eq!("7".parse::<Count>().map(|count| count.to_string()), Ok("7".into()));
        assert_eq!("4".parse::<Threads>().map(|threads| threads.to_string()), Ok("4".into()));
        assert!(["0", "-1", "1.5", "4294967296", "many", ""].iter().all(|text| text.parse::<Count>().is_err()));
        assert_eq!("0".parse::<Weight>().map(|weight| weight.to_string()), Ok("0".into()));
        assert!(["-1", "0.5", "4294967296"].iter().all(|text| text.parse::<Weight>().is_err()));
        assert_eq!("56".parse::<Prefix>().map(|bits| bits.to_string()), Ok("56".into()));
        assert!(["0", "129", "-1", "/24"].iter().all(|text| text.parse::<Prefix>().is_err()));
        assert!(["0", "1025", "two"].iter().all(|text| text.parse::<Threads>().is_err()));
        assert_eq!("65535".parse::<Port>().map(|port| port.to_string()), Ok("65535".into()));
        assert!(["0", "65536", "-1", "http"].iter().all(|text| text.parse::<Port>().is_err()));
    }
}
