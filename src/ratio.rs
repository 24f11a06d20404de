//! Shares of a whole: `20%`.

use std::fmt;
use std::str::FromStr;

/// A share, in hundredths of a per cent; whole numbers, so that it compares exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(u32);

const WHOLE: u32 = 10_000;

impl Ratio {
    /// So many per cent.
    pub const fn percent(percent: u32) -> Self {
        Ratio(percent * (WHOLE / 100))
    }

    /// Whether `part` is this share of `whole` or more.
    pub fn is_reached(self, part: u32, whole: u32) -> bool {
        u64::from(part) * u64::from(WHOLE) >= u64::from(self.0) * u64::from(whole)
    }

    /// So much of `whole`, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        (u128::from(whole) * u128::from(self.0) / u128::from(WHOLE)) as u64
    }

    /// As a number: 0.2 for `20%`.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// A factor that is at most this share below or above 1; `chance` is from 0 to 1.
    pub fn jitter(self, chance: f64) -> f64 {
        1.0 + self.as_f64() * (2.0 * chance - 1.0)
    }
}

/// `20%`, `0.5%` or `12.34%`, from 0 to 100; `0.2` is a share, too.
impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = match text.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), f64::from(WHOLE / 100)),
            None => (text, f64::from(WHOLE)),
        };
        let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let parts = plain.then(|| number.parse::<f64>().ok()).flatten().map(|number| (number * unit).round());
        match parts {
            Some(parts) if parts <= f64::from(WHOLE) => Ok(Ratio(parts as u32)),
            _ => Err(format!("\"{text}\" is no share; write one from 0% to 100% such as 20%")),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_read_and_print() {
        for (text, printed) in
            [("20%", "20%"), ("0.2", "20%"), ("0", "0%"), ("1", "100%"), ("0.5%", "0.5%"), ("12.34 %", "12.34%")]
        {
            assert_eq!(text.parse::<Ratio>().map(|ratio| ratio.to_string()), Ok(printed.into()), "{text}");
        }
        for text in ["", "%", "101%", "1.01", "-1%", "20", "1e-1", "half", "NaN", "+1%"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
    }

    #[test]
    fn jitter_is_around_one() {
        assert_eq!([0.0, 0.5, 1.0].map(|chance| Ratio::percent(20).jitter(chance)), [0.8, 1.0, 1.2]);
        assert_eq!(Ratio::percent(0).jitter(0.9), 1.0);
    }

    #[test]
    fn a_share_is_reached_exactly() {
        let half = Ratio::percent(50);
        assert!(half.is_reached(1, 2) && half.is_reached(2, 3) && !half.is_reached(1, 3));
        assert!(Ratio::percent(100).is_reached(u32::MAX, u32::MAX));
        assert!(!Ratio::percent(100).is_reached(u32::MAX - 1, u32::MAX));
        assert!((half.as_f64() - 0.5).abs() < 1e-9);
        assert_eq!((half.of(7), Ratio::percent(100).of(u64::MAX)), (3, u64::MAX));
    }
}
