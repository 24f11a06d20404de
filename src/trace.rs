//! Which trace a request belongs to, as its headers say and as targets are told (W3C Trace Context, level 1). Pure, but for
//! chance.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::ratio::Ratio;
use crate::rng::Rng;

/// `traceparent`
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`, which only goes with it.
pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The span that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
    /// Whether whoever sent it records.
    pub is_sampled: bool,
}

impl Parent {
    /// The one that `headers` name, if they name one, and rightly.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&TRACEPARENT).iter();
        let value = values.next().filter(|_| values.next().is_none())?.as_bytes();
        let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
        let [version, trace, span, flags, rest @ ..] = parts.as_slice() else { return None };
        let version = u8::try_from(hex(version, 2)?).ok()?;
        // What later versions add comes behind; this one adds nothing.
        if version == 0xff || version == 0 && !rest.is_empty() {
            return None;
        }
        let (trace, span, flags) = (hex(trace, 32)?, u64::try_from(hex(span, 16)?).ok()?, hex(flags, 2)?);
        (trace != 0 && span != 0).then_some(Parent { trace, span, is_sampled: flags & 1 == 1 })
    }
}

/// So many digits, in lower case.
fn hex(digits: &[u8], count: usize) -> Option<u128> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let good = digits.len() == count && digits.iter().all(is_digit);
    good.then(|| u128::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()).flatten()
}

/// A request in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub id: u128,
    /// The span of the request.
    pub span: u64,
    /// The span that it comes from, if it comes from any.
    pub parent: Option<u64>,
    /// Whether it is recorded.
    pub is_sampled: bool,
}

impl Trace {
    /// Of a request that comes from `parent`, whose word on recording is taken if it is `trusted`. Else `share` decides: of a trace that
    /// begins here by its id, so that all who have the same share decide alike; of any other by lot, since its id is what a stranger likes.
    pub fn new(parent: Option<Parent>, trusted: bool, share: Ratio, rng: &mut Rng) -> Self {
        let id = parent.map_or_else(|| u128::from(rng.word()) << 64 | u128::from(rng.word()), |parent| parent.trace);
        let lot = if parent.is_some() { rng.word() } else { id as u64 };
        // As many bits as there are numbers for between 0 and 1, which is not one of them.
        let drawn = (lot >> 11) as f64 / (1_u64 << 53) as f64;
        let is_sampled = match parent {
            Some(parent) if trusted => parent.is_sampled,
            _ => drawn < share.as_f64(),
        };
        Trace { id: id.max(1), span: rng.word().max(1), parent: parent.map(|parent| parent.span), is_sampled }
    }

    /// The span of something that belongs to the request: its number is counted by the caller.
    pub fn part(&self, number: u64) -> u64 {
        // The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): every number has another image.
        let mut mixed = self.span.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31).max(1)
    }

    /// What a target is told that is sent the request by a span.
    pub fn header(&self, span: u64) -> HeaderValue {
        let text = format!("00-{:032x}-{span:016x}-{:02x}", self.id, u8::from(self.is_sampled));
        // Digits and hyphens.
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(values: &[&str]) -> Option<Parent> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&TRACEPARENT, value.parse().expect("a value"));
        }
        Parent::of(&headers)
    }

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_named_rightly_or_not_at_all() {
        let good = Parent { trace: 0x4bf92f3577b34da6a3ce929d0e0e4736, span: 0x00f067aa0ba902b7, is_sampled: true };
        assert_eq!(parent(&[GOOD]), Some(good));
        assert_eq!(parent(&[&GOOD.replace("-01", "-00")]), Some(Parent { is_sampled: false, ..good }));
        assert_eq!(parent(&[&format!("{}-more", GOOD.replacen("00", "cc", 1))]), Some(good), "a later version");
        for wrong in [
            "",
            "00",
            &GOOD.replacen("00", "ff", 1),
            &GOOD.to_uppercase(),
            &format!("{GOOD}-more"),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            &GOOD.replace("00f067aa0ba902b7", "0000000000000000"),
            &GOOD.replace("00f067aa0ba902b7", "0f067aa0ba902b7"),
            &GOOD.replace("4b", "+b"),
        ] {
            assert_eq!(parent(&[wrong]), None, "{wrong}");
        }
        assert_eq!((parent(&[]), parent(&[GOOD, GOOD])), (None, None));
    }

    #[test]
    fn who_is_trusted_decides_and_else_the_share_does() {
        let mut rng = Rng::seeded(1);
        let from = parent(&[GOOD]);
        let mut sampled = |parent, trusted, percent| Trace::new(parent, trusted, Ratio::percent(percent), &mut rng);
        assert!(sampled(from, true, 0).is_sampled && !sampled(from, false, 0).is_sampled);
        let off = from.map(|parent| Parent { is_sampled: false, ..parent });
        assert!(!sampled(off, true, 100).is_sampled && sampled(off, false, 100).is_sampled);
        let count = (0..10_000).filter(|_| sampled(None, true, 20).is_sampled).count();
        assert!((1_800..2_200).contains(&count), "{count}");
        let trace = sampled(from, false, 100);
        assert_eq!((trace.id, trace.parent), (0x4bf92f3577b34da6a3ce929d0e0e4736, Some(0x00f067aa0ba902b7)));
        let header = trace.header(trace.part(0));
        assert!(
            header
                .to_str()
                .is_ok_and(|text| text.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && text.ends_with("-01"))
        );
    }

    /// A stranger could have all of its requests recorded, or none.
    #[test]
    fn ids_of_strangers_decide_nothing() {
        let mut rng = Rng::seeded(3);
        for id in ["00000000000000010000000000000000", "0000000000000001ffffffffffffffff"] {
            let from = parent(&[&GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", id)]);
            let mut count = |percent| {
                (0..1_000).filter(|_| Trace::new(from, false, Ratio::percent(percent), &mut rng).is_sampled).count()
            };
            assert_eq!((count(0), count(100)), (0, 1_000), "{id}");
            assert!((130..270).contains(&count(20)), "{id}");
        }
    }

    #[test]
    fn parts_are_told_from_one_another() {
        let trace = Trace::new(None, false, Ratio::percent(100), &mut Rng::seeded(2));
        let parts: std::collections::HashSet<u64> = (0..10_000).map(|number| trace.part(number)).collect();
        assert!(parts.len() == 10_000 && !parts.contains(&trace.span));
    }
}
