//! `headers`: fields that are left out, written in place of others, or added, in requests and in answers.
//!
//! What the gateway itself goes by and what targets believe cannot be changed; the config says so.

use http::header::{self, MaxSizeReached};
use http::{HeaderMap, HeaderName};

use crate::config::HeaderEdits;

/// What is about the content of an answer or how long it is good: the gateway's own keep theirs, since a refusal that is
/// said to be a page, or kept for an hour, is none.
const OF_THE_CONTENT: [HeaderName; 9] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_TYPE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::PRAGMA,
];

/// What is changed in answers.
#[derive(Debug)]
pub struct AnswerEdits(HeaderEdits);

impl AnswerEdits {
    /// As `config` says; `None` if that is nothing.
    pub fn new(config: &HeaderEdits) -> Option<Self> {
        (!config.is_empty()).then(|| AnswerEdits(config.clone()))
    }

    /// Changes the `fields` of an answer, which may be the gateway's own.
    ///
    /// # Errors
    /// There are tens of thousands of fields.
    pub fn apply(&self, is_own: bool, fields: &mut HeaderMap) -> Result<(), MaxSizeReached> {
        apply(&self.0, fields, |name| !is_own || !OF_THE_CONTENT.contains(name))
    }
}

/// What is changed in requests, as they are sent to targets.
#[derive(Debug)]
pub struct RequestEdits(HeaderEdits);

impl RequestEdits {
    /// As `config` says; `None` if that is nothing.
    pub fn new(config: &HeaderEdits) -> Option<Box<Self>> {
        (!config.is_empty()).then(|| Box::new(RequestEdits(config.clone())))
    }

    /// Changes the `fields` of a request.
    ///
    /// # Errors
    /// There are tens of thousands of fields.
    pub fn apply(&self, fields: &mut HeaderMap) -> Result<(), MaxSizeReached> {
        apply(&self.0, fields, |_| true)
    }
}

fn apply(
    edits: &HeaderEdits,
    fields: &mut HeaderMap,
    is_meant: impl Fn(&HeaderName) -> bool,
) -> Result<(), MaxSizeReached> {
    for name in edits.remove.iter().filter(|name| is_meant(name)) {
        fields.remove(name);
    }
    for (name, value) in edits.set.iter().filter(|(name, _)| is_meant(name)) {
        fields.try_insert(name, value.clone())?;
    }
    for (name, value) in edits.add.iter().filter(|(name, _)| is_meant(name)) {
        fields.try_append(name, value.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn pairs(list: &[(&'static str, &'static str)]) -> Vec<(HeaderName, HeaderValue)> {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn after(edits: &HeaderEdits, is_own: bool, fields: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let mut map = HeaderMap::new();
        for (name, value) in pairs(fields) {
            map.append(name, value);
        }
        let edits = AnswerEdits::new(edits).expect("some");
        edits.apply(is_own, &mut map).expect("room");
        let mut left: Vec<_> =
            map.iter().map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned())).collect();
        left.sort();
        left
    }

    #[test]
    fn fields_are_left_out_then_replaced_then_added() {
        let remove = vec![header::SERVER, HeaderName::from_static("x-list")];
        let (set, add) =
            (pairs(&[("x-a", "1"), ("x-new", "2")]), pairs(&[("x-list", "x"), ("x-list", "y"), ("x-b", "2")]));
        let edits = HeaderEdits { remove, set, add };
        let fields = [("server", "s"), ("x-list", "old"), ("x-a", "old"), ("x-a", "older"), ("x-b", "1"), ("x-c", "1")];
        let expected =
            [("x-a", "1"), ("x-b", "1"), ("x-b", "2"), ("x-c", "1"), ("x-list", "x"), ("x-list", "y"), ("x-new", "2")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(after(&edits, false, &fields), expected);
        assert!(AnswerEdits::new(&HeaderEdits::default()).is_none());
    }

    #[test]
    fn the_gateways_own_answers_stay_what_they_are() {
        let edits = HeaderEdits {
            remove: vec![header::ETAG, header::RETRY_AFTER],
            set: pairs(&[("content-type", "text/html"), ("cache-control", "max-age=60"), ("x-a", "1")]),
            add: pairs(&[("content-language", "en")]),
        };
        let fields =
            [("content-type", "application/problem+json"), ("cache-control", "no-store"), ("retry-after", "1")];
        let own = after(&edits, true, &fields).into_iter().map(|(name, value)| format!("{name}: {value}"));
        let expected = ["cache-control: no-store", "content-type: application/problem+json", "x-a: 1"];
        assert_eq!(own.collect::<Vec<_>>(), expected);
        assert_eq!(after(&edits, false, &fields).len(), 4);
    }
}
