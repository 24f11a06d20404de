//! The small notations of the config: durations, numbers with a range, addresses, secrets.

mod address;
mod credential;
mod factor;
mod grpc;
mod host_header;
mod media;
mod name;
mod number;
mod policy;
mod retry;
mod scheme;
mod secret;
mod sentinel;
mod size;
mod source;
mod web_origin;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub use self::address::{ListenAddress, NameServer, RoutePath, TargetUrl};
pub use self::credential::{Sha256, UserId};
pub use self::factor::Factor;
pub use self::grpc::GrpcStatus;
pub use self::host_header::HostHeader;
pub use self::media::MediaRange;
pub use self::name::{CookieName, FieldName, RouteName, ScopeName};
pub use self::number::{Count, Port, Prefix, Threads, Weight};
pub use self::policy::{
    ContentTypeOptions, CrossDomainPolicies, EmbedderPolicy, FieldText, Frames, OpenerPolicy, ReferrerPolicy,
    ResourcePolicy,
};
pub use self::retry::{Repeatable, RetryOn};
pub use self::scheme::Scheme;
pub use self::secret::Secret;
pub use self::sentinel::SentinelUrl;
pub use self::size::{Rate, Size};
pub use self::source::{Origin, SourceKind, SourceUrl};
pub use self::web_origin::WebOrigin;
use crate::ratio::Ratio;
use crate::routing::answer::{FinalStatus, RedirectStatus};
use crate::routing::elsewhere::Elsewhere;
use crate::routing::host::HostPattern;
use crate::routing::methods::Methods;
use crate::routing::pattern::Pattern;

/// Reads a `T` from a word of the file by its `FromStr`, whose error is the message.
fn from_word<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = String>,
    D: Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

macro_rules! read {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_word(deserializer)
            }
        }
    )*};
}
macro_rules! word {
    ($($type:ty),*) => {$(
        read!($type);

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
word!(RetryOn, Repeatable);
word!(Count, Port, Threads, Prefix, Size, Weight);
word!(Period, Window, StatusRange, GrpcStatus, Factor, Ratio);
word!(HostHeader, Sha256, UserId);
word!(ContentTypeOptions, CrossDomainPolicies, EmbedderPolicy, FieldText, Frames);
word!(OpenerPolicy, ReferrerPolicy, ResourcePolicy);
word!(MediaRange, WebOrigin, FieldName, CookieName, ScopeName, ListenAddress, TargetUrl, RoutePath, Origin, NameServer);
word!(HostPattern);
word!(Elsewhere);
read!(Methods, Pattern, RedirectStatus, FinalStatus);

/// A duration: `60` (seconds), `250ms`, `60s`, `5m`, `1h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no duration; write 60 (seconds), 250ms, 60s, 5m, 1h or 7d");
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..unit_at].parse().map_err(|_| wrong())?;
        let millis = match &text[unit_at..] {
            "ms" => Some(number),
            "" | "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            _ => return Err(wrong()),
        };
        // A century: beyond any use, and far from overflowing an `Instant`.
        match millis {
            Some(millis) if millis <= 36_525 * 86_400_000 => Ok(Period(Duration::from_millis(millis))),
            _ => Err(format!("\"{text}\" is longer than a century; write a shorter duration")),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            millis if millis % 1_000 == 0 => write!(f, "{}s", millis / 1_000),
            millis => write!(f, "{millis}ms"),
        }
    }
}

/// How long the window of a limit is: 100ms to 366d. Shorter cannot be told from the delays of a network,
/// longer is a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub Duration);

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Period>()?.0 {
            window if (Duration::from_millis(100)..=Duration::from_secs(366 * 86_400)).contains(&window) => {
                Ok(Window(window))
            }
            _ => Err(format!("\"{text}\" is out of range; write 100ms to 366d")),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Period(self.0).fmt(f)
    }
}

/// One status (`503`) or a range with both ends (`500-599`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl StatusRange {
    /// Whether `status` is one of them.
    pub fn contains(&self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if (100..=599).contains(&first) && (first..=599).contains(&last) => {
                Ok(StatusRange { first, last })
            }
            _ => Err(format!("\"{text}\" is no status; write one such as 503 or a range such as 500-599")),
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, millis, printed) in [
            ("60", 60_000, "60s"),
            ("250ms", 250, "250ms"),
            ("60s", 60_000, "60s"),
            ("5m", 300_000, "300s"),
            ("1h", 3_600_000, "3600s"),
            ("7d", 604_800_000, "604800s"),
            ("0", 0, "0s"),
            ("1500ms", 1_500, "1500ms"),
        ] {
            let period: Period = text.parse().expect(text);
            assert_eq!(period.0.as_millis(), millis, "{text}");
            assert_eq!(period.to_string(), printed);
        }
        for text in ["", "s", "5 m", "-1s", "1.5s", "10y", "99999999999999999999", "99999999999d", "∞"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }

    #[test]
    fn windows_know_their_range() {
        assert_eq!("1m".parse::<Window>().map(|window| window.to_string()), Ok("60s".into()));
        assert!(["0", "99ms", "367d", "soon"].iter().all(|text| text.parse::<Window>().is_err()));
    }

    #[test]
    fn status_ranges_read_and_print() {
        assert_eq!("503".parse(), Ok(StatusRange { first: 503, last: 503 }));
        assert_eq!("500-599".parse(), Ok(StatusRange { first: 500, last: 599 }));
        assert_eq!("500-504".parse::<StatusRange>().map(|r| r.to_string()), Ok("500-504".into()));
        for text in ["99", "600", "599-500", "5xx", "500-", "-"] {
            assert!(text.parse::<StatusRange>().is_err(), "{text}");
        }
    }
}
