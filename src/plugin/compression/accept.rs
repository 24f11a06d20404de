//! Which coding a client would have (RFC 9110, section 12.5.3).

use http::{HeaderMap, HeaderValue, Method, Version, header};

use crate::config::Coding;

/// What a client says of codings, in thousandths, and what else of its request matters for an answer's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// In the order of [`Coding::ALL`].
    codings: [Option<u16>; 3],
    /// Of all that it does not name.
    any: Option<u16>,
    /// Of none.
    identity: Option<u16>,
    /// What it has of the answer already.
    has: Vec<HeaderValue>,
    /// Whether it wants the head of an answer alone.
    is_head: bool,
}

impl Wish {
    /// Of a request.
    pub fn of(version: Version, method: &Method, headers: &HeaderMap) -> Self {
        let mut wish = Wish {
            has: headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect(),
            is_head: *method == Method::HEAD,
            ..Wish::default()
        };
        // An answer of unknown length ends with the connection there.
        if version != Version::HTTP_10 && !forbids_transformation(headers) {
            let lists = headers.get_all(header::ACCEPT_ENCODING).iter();
            lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).for_each(|item| wish.read(item));
        }
        wish
    }

    fn read(&mut self, item: &[u8]) {
        let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
        // What is no weight is no wish.
        let Some(weight) = weight.map_or(Some(1000), thousandths) else { return };
        let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
        let coding = Coding::ALL.into_iter().find(|coding| is(coding.as_str()));
        let place = match coding.or(is("x-gzip").then_some(Coding::Gzip)) {
            Some(coding) => &mut self.codings[coding as usize],
            None if is("identity") => &mut self.identity,
            None if is("*") => &mut self.any,
            None => return,
        };
        place.get_or_insert(weight);
    }

    /// The coding that it likes best of those that are `offered`, the earlier one where it likes two as much; `None`: none
    /// of them.
    pub fn choose(&self, offered: &[Coding]) -> Option<Coding> {
        let weight = |coding: Coding| self.codings[coding as usize].or(self.any).unwrap_or(0);
        // Of several that are as good, the last one is taken.
        let best = offered.iter().copied().rev().max_by_key(|coding| weight(*coding))?;
        (weight(best) > 0 && self.identity.is_none_or(|plain| plain <= weight(best))).then_some(best)
    }

    /// Whether it does not take an answer without any coding.
    pub fn refuses_identity(&self) -> bool {
        self.identity.or(self.any.filter(|any| *any == 0)) == Some(0)
    }

    /// Whether it wants the head of an answer alone.
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether it has an answer of this strong validator that was encoded here, by which that became a weak one.
    pub fn has_weakened(&self, validator: &HeaderValue) -> bool {
        let mut known = self.has.iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
        known.any(|known| known.trim_ascii().strip_prefix(b"W/") == Some(validator.as_bytes()))
    }
}

/// Whether `Cache-Control` says that nobody on the way may change the content (RFC 9111, sections 5.2.1.6 and 5.2.2.6).
pub fn forbids_transformation(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::CACHE_CONTROL).iter();
    let mut words = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    words.any(|word| word.eq_ignore_ascii_case(b"no-transform"))
}

/// A weight (RFC 9110, section 12.4.2).
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, rest) = text.split_first()?;
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut value = u16::from(*whole == b'1');
    for place in 0..3 {
        value = value * 10 + digits.get(place).map_or(Some(0), |digit| char::from(*digit).to_digit(10))? as u16;
    }
    (matches!(whole, b'0' | b'1') && value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(accepted: &[&str]) -> Wish {
        let mut headers = HeaderMap::new();
        for list in accepted {
            headers.append(header::ACCEPT_ENCODING, list.parse().expect("a value"));
        }
        Wish::of(Version::HTTP_11, &Method::GET, &headers)
    }

    #[test]
    fn the_best_liked_of_those_that_are_offered_is_chosen() {
        const ALL: &[Coding] = &[Coding::Zstd, Coding::Br, Coding::Gzip];
        for (accepted, offered, chosen) in [
            (&[][..], ALL, None),
            (&[""], ALL, None),
            (&["gzip, deflate, br, zstd"], ALL, Some(Coding::Zstd)),
            (&["gzip, deflate, br"], ALL, Some(Coding::Br)),
            (&["gzip", "br"], ALL, Some(Coding::Br)),
            (&["gzip, br"], &[Coding::Gzip, Coding::Br], Some(Coding::Gzip)),
            (&["gzip;q=1.0, br;q=0.9"], ALL, Some(Coding::Gzip)),
            (&["GZIP ; q=0.001"], ALL, Some(Coding::Gzip)),
            (&["x-gzip"], ALL, Some(Coding::Gzip)),
            (&["deflate, compress"], ALL, None),
            (&["identity"], ALL, None),
            (&["*"], ALL, Some(Coding::Zstd)),
            (&["*"], &[], None),
            (&["*;q=0.5, zstd;q=0, br;q=0.4"], ALL, Some(Coding::Gzip)),
            (&["*;q=0"], ALL, None),
            (&["br;q=0, *"], &[Coding::Br], None),
            (&["gzip;q=0.5, identity"], ALL, None),
            (&["gzip;q=0.5, identity;q=0.5"], ALL, Some(Coding::Gzip)),
            (&["identity;q=0, gzip;q=0.1"], ALL, Some(Coding::Gzip)),
            (&["identity;q=0"], ALL, None),
            (&["gzip;q=2, br;q=0.1234, zstd;q=.5"], ALL, None),
            (&["gzip;q=1.001, br;q=, zstd;q=x"], ALL, None),
            (&["gzip;q=0.8;level=1, br;level=2;q=0.9"], ALL, Some(Coding::Br)),
            (&["gzip;q=0, gzip"], ALL, None),
            (&["gzipp, brr, , ;q=1"], ALL, None),
        ] {
            assert_eq!(wish(accepted).choose(offered), chosen, "{accepted:?} {offered:?}");
        }
    }

    #[test]
    fn an_answer_without_a_coding_is_taken_unless_that_is_said() {
        for (accepted, refused) in [
            ("", false),
            ("gzip", false),
            ("*;q=0.5", false),
            ("*;q=0", true),
            ("identity;q=0", true),
            ("identity;q=0.0, *", true),
            ("*;q=0, identity;q=0.1", false),
        ] {
            assert_eq!(wish(&[accepted]).refuses_identity(), refused, "{accepted}");
        }
        assert!(!wish(&[]).refuses_identity());
    }

    #[test]
    fn nothing_is_wished_for_where_it_could_not_be_told_or_must_not_be_done() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, "gzip".parse().expect("a value"));
        let chosen = |version, headers: &HeaderMap| Wish::of(version, &Method::GET, headers).choose(&[Coding::Gzip]);
        assert_eq!(chosen(Version::HTTP_10, &headers), None);
        assert_eq!(chosen(Version::HTTP_2, &headers), Some(Coding::Gzip));
        headers.insert(header::CACHE_CONTROL, "max-age=0, No-Transform".parse().expect("a value"));
        assert_eq!(chosen(Version::HTTP_11, &headers), None);
    }

    #[test]
    fn what_the_client_has_is_known_by_its_weak_validator() {
        let mut headers = HeaderMap::new();
        headers.append(header::IF_NONE_MATCH, "\"a\", W/\"b\"".parse().expect("a value"));
        headers.append(header::IF_NONE_MATCH, "W/\"c\"".parse().expect("a value"));
        let wish = Wish::of(Version::HTTP_11, &Method::GET, &headers);
        for (validator, known) in [("\"a\"", false), ("\"b\"", true), ("\"c\"", true), ("W/\"b\"", false), ("b", false)]
        {
            assert_eq!(wish.has_weakened(&validator.parse().expect("a value")), known, "{validator}");
        }
    }
}
