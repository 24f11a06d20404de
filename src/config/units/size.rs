//! Amounts of bytes.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// So many bytes: `65536`, `64KiB`, `10MiB`, `1GiB`; or `kB`, `MB`, `GB`, of a thousand each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// The longest first: an amount is written by the largest that divides it.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = UNITS.iter().find(|(name, _)| text.ends_with(name)).copied().unwrap_or(("", 1));
        let number = text.strip_suffix(unit.0).unwrap_or(text).trim_end();
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let bytes = plain.then(|| number.parse::<u64>().ok()?.checked_mul(unit.1)).flatten();
        bytes.map(Size).ok_or_else(|| format!("\"{text}\" is no amount of bytes; write one such as 64KiB or 10MiB"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.0 >= *unit && self.0.is_multiple_of(*unit);
        match UNITS[..3].iter().find(fits) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

/// So many bytes a second, written as [`Size`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub NonZeroU64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.parse::<Size>()?.0;
        NonZeroU64::new(bytes).map(Rate).ok_or_else(|| "must be more than 0; write one such as 500B".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes, printed) in [
            ("0", 0, "0"),
            ("1000", 1_000, "1000"),
            ("64KiB", 65_536, "64KiB"),
            ("10 MiB", 10 << 20, "10MiB"),
            ("2048KiB", 2 << 20, "2MiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("1MB", 1_000_000, "1000000"),
            ("5kB", 5_000, "5000"),
            ("7B", 7, "7"),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), printed);
        }
        for text in ["", "KiB", "-1", "1.5MiB", "10mib", "1e3", "99999999999GiB", "18446744073709551616"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_more_than_nothing() {
        assert_eq!("2kB".parse::<Rate>().map(|rate| rate.0.get()), Ok(2_000));
        assert!("0".parse::<Rate>().is_err() && "fast".parse::<Rate>().is_err());
    }
}
