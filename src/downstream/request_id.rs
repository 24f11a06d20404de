//! The correlation id of a request: the client's own where it is a sane one, else a fresh UUID.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The field that carries it, to the upstream and back.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const MAX_BYTES: usize = 128;

/// The id in `headers`, if it is the only one and made of `[A-Za-z0-9._-]`; anything else could forge log
/// lines or mean something elsewhere.
pub fn of_client(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut fields = headers.get_all(&X_REQUEST_ID).iter();
    let id = fields.next()?;
    let sane = |bytes: &[u8]| {
        (1..=MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
    };
    (fields.next().is_none() && sane(id.as_bytes())).then(|| id.clone())
}

/// A new id: a random UUID (version 4).
pub fn fresh() -> HeaderValue {
    let mut buffer = uuid::Uuid::encode_buffer();
    let text = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&X_REQUEST_ID, value.parse().expect("a value"));
        }
        of_client(&headers)
    }

    #[test]
    fn a_sane_id_is_kept_and_no_other() {
        let longest = "a".repeat(128);
        for id in ["abc", "A-1_b.C", &longest] {
            assert_eq!(of(&[id]).as_ref().map(HeaderValue::as_bytes), Some(id.as_bytes()));
        }
        for ids in [
            &[][..],
            &[""],
            &["a b"],
            &["a,b"],
            &["ä"],
            &["<x>"],
            &["a\tb"],
            &[&"a".repeat(129)],
            &["a", "b"],
            &["a", "a"],
        ] {
            assert_eq!(of(ids), None, "{ids:?}");
        }
    }

    #[test]
    fn fresh_ids_are_uuids_and_differ() {
        let (a, b) = (fresh(), fresh());
        assert_ne!(a, b);
        assert!(uuid::Uuid::try_parse_ascii(a.as_bytes()).is_ok_and(|id| id.get_version_num() == 4));
    }
}
