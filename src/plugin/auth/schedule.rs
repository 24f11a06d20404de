//! When an issuer is asked for its keys. Pure: the caller brings `now`.

use std::time::{Duration, Instant};

use http::{HeaderMap, header};

/// Keys are good for so long at least, whatever the issuer says,
const LEAST_LIFE: Duration = Duration::from_secs(5 * 60);
/// and for so long at most,
const MOST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// and for so long where it says nothing.
const USUAL_LIFE: Duration = Duration::from_secs(60 * 60);
/// Between two times that tokens with unknown keys have it asked: anybody can make such tokens.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// Between two questions while it does not answer, at most; at first it is a second.
const MOST_PAUSE: Duration = Duration::from_secs(60);

/// When to ask next.
#[derive(Debug)]
pub struct Schedule {
    due: Instant,
    /// In a row.
    failures: u32,
    /// When a token had the issuer asked the last time.
    doubted: Option<Instant>,
    is_asking: bool,
}

/// What follows from a token that names an unknown key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The issuer is to be asked.
    Ask,
    /// It is being asked.
    Join,
    /// It was asked only just now: the token is no good.
    Refuse,
}

impl Schedule {
    /// It has never been asked, so it is time.
    pub fn new(now: Instant) -> Self {
        Schedule { due: now, failures: 0, doubted: None, is_asking: false }
    }

    /// When to ask next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// A token names a key that is not known.
    pub fn doubt(&mut self, now: Instant) -> Doubt {
        if self.is_asking {
            return Doubt::Join;
        }
        if self.doubted.is_some_and(|at| now < at + COOL_DOWN) {
            return Doubt::Refuse;
        }
        (self.doubted, self.is_asking) = (Some(now), true);
        Doubt::Ask
    }

    /// The issuer is being asked.
    pub fn begins(&mut self) {
        self.is_asking = true;
    }

    /// It has given its keys, which are good for `life`.
    pub fn succeeded(&mut self, life: Duration, now: Instant) {
        (self.due, self.failures, self.is_asking) = (now + life, 0, false);
    }

    /// It has not.
    pub fn failed(&mut self, now: Instant) {
        let pause = Duration::from_secs(1_u64 << self.failures.min(6)).min(MOST_PAUSE);
        (self.due, self.failures, self.is_asking) = (now + pause, self.failures.saturating_add(1), false);
    }
}

/// How long an answer with these fields is good: its `max-age` (RFC 9111, section 5.2.2.1), within bounds.
pub fn life(headers: &HeaderMap) -> Duration {
    let fields = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|field| field.to_str().ok());
    let mut words = fields.flat_map(|field| field.split(',')).map(str::trim);
    let age = words.find_map(|word| match word.split_once('=') {
        Some((name, age)) if name.eq_ignore_ascii_case("max-age") => age.trim_matches('"').parse().ok(),
        None if word.eq_ignore_ascii_case("no-store") || word.eq_ignore_ascii_case("no-cache") => Some(0),
        _ => None,
    });
    age.map_or(USUAL_LIFE, Duration::from_secs).clamp(LEAST_LIFE, MOST_LIFE)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn unknown_keys_have_the_issuer_asked_once_in_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut schedule = Schedule::new(start);
        schedule.begins();
        assert_eq!(schedule.doubt(at(0)), Doubt::Join);
        schedule.succeeded(USUAL_LIFE, at(1));
        assert_eq!((schedule.doubt(at(2)), schedule.doubt(at(2))), (Doubt::Ask, Doubt::Join));
        schedule.succeeded(USUAL_LIFE, at(3));
        assert_eq!((schedule.doubt(at(31)), schedule.doubt(at(32))), (Doubt::Refuse, Doubt::Ask));
        schedule.failed(at(33));
        assert_eq!(schedule.doubt(at(61)), Doubt::Refuse, "failures are no invitation");
    }

    #[test]
    fn an_issuer_that_is_down_is_asked_again_at_growing_intervals() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start);
        assert_eq!(schedule.due(), start);
        let mut pause = || {
            schedule.failed(start);
            (schedule.due() - start).as_secs()
        };
        let pauses: Vec<u64> = std::iter::repeat_with(&mut pause).take(9).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        schedule.succeeded(LEAST_LIFE, start);
        assert_eq!(schedule.due(), start + LEAST_LIFE);
        schedule.failed(start);
        assert_eq!((schedule.due() - start).as_secs(), 1);
    }

    #[test]
    fn keys_are_good_for_as_long_as_the_issuer_says_within_bounds() {
        for (field, seconds) in [
            ("max-age=600", 600),
            ("public, Max-Age=\"7200\", must-revalidate", 7_200),
            ("max-age=1", 300),
            ("no-store", 300),
            ("no-cache, max-age=600", 300),
            ("max-age=31536000", 86_400),
            ("max-age=forever", 3_600),
            ("public", 3_600),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(field));
            assert_eq!(life(&headers).as_secs(), seconds, "{field}");
        }
        assert_eq!(life(&HeaderMap::new()), USUAL_LIFE);
    }
}
