//! Factors: `1.5`.

use std::fmt;
use std::str::FromStr;

/// By how much something grows: 1 to 10, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor(pub u32);

impl Default for Factor {
    fn default() -> Self {
        Factor(200)
    }
}

impl FromStr for Factor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(factor) if (1.0..=10.0).contains(&factor) => Ok(Factor((factor * 100.0).round() as u32)),
            _ => Err(format!("\"{text}\" is out of range; write 1 to 10, such as 2 or 1.5")),
        }
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f64::from(self.0) / 100.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_read_and_print() {
        for (text, printed) in [("2", "2"), ("1.5", "1.5"), ("1", "1"), ("10", "10"), ("1.234", "1.23")] {
            assert_eq!(text.parse::<Factor>().map(|factor| factor.to_string()), Ok(printed.into()));
        }
        for text in ["0.9", "0", "-2", "10.1", "NaN", "inf", "twice", ""] {
            assert!(text.parse::<Factor>().is_err(), "{text}");
        }
        assert_eq!(Factor::default().to_string(), "2");
    }
}
