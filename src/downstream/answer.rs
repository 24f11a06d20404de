//! The head of an answer as it goes to the client.

use bytes::Bytes;
use http::header::{MaxSizeReached, VARY};
use http::{HeaderMap, HeaderValue, Response, response::Parts};
use pingora::http::ResponseHeader;

/// Changes the fields of `response`.
///
/// Pingora keeps a second map beside that of the fields, with each name as the upstream spelled it, and reads
/// and copies a name anew for each field that is set. Names mean the same however they are spelled (RFC 9110,
/// section 5.1), so the second map is given up: names that Pingora knows are written as in `Content-Type`, all
/// others in lower case.
pub fn edit<T>(response: &mut ResponseHeader, change: impl FnOnce(&mut HeaderMap) -> T) -> T {
    let (blank, ()) = Response::new(()).into_parts();
    let whole = std::mem::replace(response, blank.into());
    // A phrase that is the status's own costs nothing to keep.
    let phrase = whole.get_reason_phrase().filter(|phrase| Some(*phrase) != whole.status.canonical_reason());
    let phrase = phrase.map(str::to_owned);
    let mut parts = Parts::from(whole);
    let result = change(&mut parts.headers);
    *response = parts.into();
    if phrase.is_some() {
        // It was there before, so it can be there again.
        let _ = response.set_reason_phrase(phrase.as_deref());
    }
    result
}

/// Says that an answer depends on the field `name` of its request (RFC 9110, section 12.5.5).
///
/// # Errors
/// There are tens of thousands of fields.
pub fn vary(fields: &mut HeaderMap, name: &'static str) -> Result<(), MaxSizeReached> {
    let known: Vec<&[u8]> = fields.get_all(VARY).iter().map(HeaderValue::as_bytes).collect();
    let mut words = known.iter().flat_map(|list| list.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    if words.any(|word| word == b"*" || word.eq_ignore_ascii_case(name.as_bytes())) {
        return Ok(());
    }
    let longer = [known, vec![name.as_bytes()]].concat().join(&b", "[..]);
    // Made of what were values of fields before.
    let longer = HeaderValue::from_maybe_shared(Bytes::from(longer)).unwrap_or(HeaderValue::from_static("*"));
    fields.try_insert(VARY, longer).map(drop)
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn nothing_is_lost_but_the_spelling_of_names() {
        let mut response = ResponseHeader::build(404, None).expect("a response");
        response.set_reason_phrase(Some("Gone Fishing")).expect("a phrase");
        for (name, value) in [("content-TYPE", "a/b"), ("X-One", "1"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2")] {
            response.append_header(name, value).expect("a field");
        }
        let before = edit(&mut response, |fields| fields.insert(header::AGE, HeaderValue::from_static("7")));
        assert_eq!(before, None);
        assert_eq!((response.status.as_u16(), response.get_reason_phrase()), (404, Some("Gone Fishing")));
        let mut wire = Vec::new();
        response.header_to_h1_wire(&mut wire);
        let wire = String::from_utf8(wire).expect("text");
        let mut lines: Vec<&str> = wire.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["Age: 7", "Content-Type: a/b", "Set-Cookie: a=1", "Set-Cookie: b=2", "x-one: 1"]);
        assert!(wire.find("a=1") < wire.find("b=2"), "the order of values is kept");
    }

    #[test]
    fn what_an_answer_depends_on_is_said_once() {
        for (before, after) in [
            (&[][..], "Origin"),
            (&["Accept-Encoding"], "Accept-Encoding, Origin"),
            (&["a, b", "c"], "a, b, c, Origin"),
            (&["a,ORIGIN ,b"], "a,ORIGIN ,b"),
            (&["*"], "*"),
            (&["x-origin"], "x-origin, Origin"),
        ] {
            let mut fields = HeaderMap::new();
            for value in before {
                fields.append(VARY, HeaderValue::from_static(value));
            }
            assert!(vary(&mut fields, "Origin").is_ok());
            assert_eq!(fields.get_all(VARY).iter().collect::<Vec<_>>(), [after]);
        }
    }

    #[test]
    fn the_phrase_of_the_status_stays() {
        let mut response = ResponseHeader::build(200, None).expect("a response");
        edit(&mut response, HeaderMap::clear);
        assert_eq!(response.get_reason_phrase(), Some("OK"));
    }
}
