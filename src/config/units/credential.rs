//! Digests of keys, and the users that they are of.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

/// The SHA-256 of something, as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl FromStr for Sha256 {
    type Err = String;

    /// The text is not shown: it may be the key itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 64);
        let digits = digits.ok_or("no SHA-256; write its 64 digits, which `printf %s KEY | sha256sum` shows")?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            // Two digits of four bits.
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | *digit as u8);
        }
        Ok(Sha256(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A user as `x-user-id` names it: text without control characters or space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserId(String);

impl UserId {
    /// The value of `x-user-id`.
    pub fn value(&self) -> HeaderValue {
        // Checked when it was read.
        HeaderValue::from_bytes(self.0.as_bytes()).unwrap_or(HeaderValue::from_static(""))
    }
}

impl FromStr for UserId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_good = !text.is_empty() && text.trim() == text && !text.contains(char::is_control);
        match is_good {
            true => Ok(UserId(text.to_owned())),
            // Not shown: what is in the wrong column may be a key.
            false => Err("no user; write text without control characters or space around it".to_owned()),
        }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_64_digits() {
        let text = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
        let digest: Sha256 = text.parse().expect("a digest");
        assert_eq!((digest.0[0], digest.0[31], digest.to_string()), (0xE3, 0x55, text.to_lowercase()));
        for wrong in ["", "e3", &text[1..], &format!("{text}00"), &text.replace('E', "g"), &"é".repeat(32)] {
            assert!(wrong.parse::<Sha256>().is_err(), "{wrong}");
        }
        assert!(!"the key itself".parse::<Sha256>().expect_err("no digest").contains("itself"));
    }

    #[test]
    fn users_are_what_a_field_can_say() {
        assert_eq!("Zoë B".parse::<UserId>().map(|user| user.value().as_bytes().to_vec()), Ok("Zoë B".into()));
        for wrong in ["", " a", "a\t", "a\nb", "\u{7f}"] {
            assert!(wrong.parse::<UserId>().is_err(), "{wrong}");
        }
    }
}
