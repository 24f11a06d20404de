//! Which answers are compressed, and how their heads change by that.

use http::header::{self, MaxSizeReached};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::accept::{Wish, forbids_transformation};
use crate::config::{Coding, Compression};
use crate::downstream::answer::vary;

/// They are about the content as it is: were it encoded, they would be wrong.
const ABOUT_THE_CONTENT: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// How an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its coding.
    pub coding: Coding,
    /// Nobody knows how long it is, so it may come bit by bit, and nothing of it may be kept back.
    pub is_live: bool,
}

/// Decides on an answer that has a body and changes its `fields`; `None`: it is sent as it is. `may` is asked last, and
/// says whether there is room for one more.
///
/// # Errors
/// There are tens of thousands of fields.
pub fn decide(
    rules: &Compression,
    wish: &Wish,
    status: StatusCode,
    fields: &mut HeaderMap,
    may: impl FnOnce(Coding) -> bool,
) -> Result<Option<Plan>, MaxSizeReached> {
    if status == StatusCode::NOT_MODIFIED {
        // It is about what the client has, and is to be called the same (RFC 9111, section 4.3.4).
        if fields.get(header::ETAG).is_some_and(|validator| wish.has_weakened(validator)) {
            weaken(fields);
            vary(fields, "Accept-Encoding")?;
        }
        return Ok(None);
    }
    let length = content_length(fields);
    let is_small = length.is_some_and(|length| length < rules.min_size);
    if !is_eligible(rules, status, fields) || length == Some(0) || is_small && !wish.refuses_identity() {
        return Ok(None);
    }
    vary(fields, "Accept-Encoding")?;
    let Some(coding) = wish.choose(&rules.algorithms).filter(|coding| may(*coding)) else { return Ok(None) };
    fields.try_insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()))?;
    fields.remove(header::CONTENT_LENGTH);
    // Ranges would be those of the content as it is.
    fields.remove(header::ACCEPT_RANGES);
    if !wish.is_head() {
        fields.try_insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    }
    weaken(fields);
    Ok(Some(Plan { coding, is_live: length.is_none() }))
}

fn is_eligible(rules: &Compression, status: StatusCode, fields: &HeaderMap) -> bool {
    let has_content = !status.is_informational()
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT);
    has_content
        && !fields.contains_key(header::CONTENT_ENCODING)
        && !fields.contains_key(header::CONTENT_RANGE)
        // What comes after a body is lost where its end is not the target's.
        && !fields.contains_key(header::TRAILER)
        && !ABOUT_THE_CONTENT.iter().any(|name| fields.contains_key(*name))
        && !forbids_transformation(fields)
        && media_type(fields).is_some_and(|kind| is_of(rules, &kind))
}

fn is_of(rules: &Compression, kind: &str) -> bool {
    // Messages of gRPC are compressed by those who know where each ends.
    !kind.starts_with("application/grpc") && rules.types.iter().any(|range| range.has(kind))
}

/// Without its parameters, in lower case.
fn media_type(fields: &HeaderMap) -> Option<String> {
    let text = fields.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(text.split(';').next()?.trim().to_ascii_lowercase())
}

fn content_length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The same content in another coding is not the same to the byte (RFC 9110, section 8.8.1).
fn weaken(fields: &mut HeaderMap) {
    const NAME: HeaderName = header::ETAG;
    let Some(validator) = fields.get(NAME).map(|validator| validator.as_bytes().to_vec()) else { return };
    if validator.starts_with(b"W/") {
        return;
    }
    match HeaderValue::from_bytes(&[b"W/", validator.as_slice()].concat()) {
        Ok(weak) if validator.starts_with(b"\"") => drop(fields.insert(NAME, weak)),
        // It was none.
        _ => drop(fields.remove(NAME)),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Version};

    use super::*;
    use crate::config;

    fn rules(text: &str) -> Compression {
        let text = format!("routes: [{{ path: /, target: http://a:1, plugins: {{ compression: {text} }} }}]");
        let loaded = config::parse("test.yaml", &text, &|_| None).expect("a valid config");
        loaded.config.routes[0].plugins.compression.clone().expect("a block")
    }

    fn wish(fields: &[(HeaderName, &str)]) -> Wish {
        let headers = fields.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect();
        Wish::of(Version::HTTP_11, &Method::GET, &headers)
    }

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn decided(rules: &Compression, accepted: &str, status: u16, map: &mut HeaderMap) -> Option<Plan> {
        let wish = wish(&[(header::ACCEPT_ENCODING, accepted)]);
        decide(rules, &wish, StatusCode::from_u16(status).expect("a status"), map, |_| true).expect("room")
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn only_whole_plain_text_of_some_length_is_compressed() {
        let rules = rules("true");
        for (status, list, compressed) in [
            (200, &[JSON, ("content-length", "5000")][..], true),
            (200, &[JSON], true),
            (500, &[JSON, ("content-length", "1024")], true),
            (200, &[JSON, ("content-length", "1023")], false),
            (200, &[JSON, ("content-length", "0")], false),
            (200, &[], false),
            (200, &[("content-type", "Text/HTML; charset=utf-8")], true),
            (200, &[("content-type", "application/problem+json")], true),
            (200, &[("content-type", "image/svg+xml")], true),
            (200, &[("content-type", "text/event-stream")], false),
            (200, &[("content-type", "image/png")], false),
            (200, &[("content-type", "application/octet-stream")], false),
            (200, &[("content-type", "application/grpc+json")], false),
            (200, &[("content-type", "json")], false),
            (200, &[JSON, ("content-encoding", "br")], false),
            (200, &[JSON, ("content-encoding", "identity")], false),
            (206, &[JSON, ("content-range", "bytes 0-1/2")], false),
            (416, &[JSON, ("content-range", "bytes */2")], false),
            (204, &[JSON], false),
            (205, &[JSON], false),
            (304, &[JSON], false),
            (103, &[JSON], false),
            (200, &[JSON, ("cache-control", "public, No-Transform")], false),
            (200, &[JSON, ("content-digest", "sha-256=:x:")], false),
            (200, &[JSON, ("content-md5", "x")], false),
            (200, &[JSON, ("trailer", "x-sum")], false),
        ] {
            let mut map = fields(list);
            let plan = decided(&rules, "gzip", status, &mut map);
            assert_eq!(plan.is_some(), compressed, "{status} {list:?}");
            assert_eq!(map.contains_key(header::VARY), compressed, "{status} {list:?}");
            if plan.is_none() {
                assert_eq!(map, fields(list));
            }
        }
    }

    #[test]
    fn the_head_says_what_has_become_of_the_content() {
        let list =
            [JSON, ("content-length", "5000"), ("accept-ranges", "bytes"), ("etag", "\"a\""), ("vary", "Origin")];
        let mut map = fields(&list);
        let plan = decided(&rules("true"), "gzip", 200, &mut map);
        assert_eq!(plan, Some(Plan { coding: Coding::Gzip, is_live: false }));
        let expected = [
            JSON,
            ("content-encoding", "gzip"),
            ("etag", "W/\"a\""),
            ("transfer-encoding", "chunked"),
            ("vary", "Origin, Accept-Encoding"),
        ];
        assert_eq!(map, fields(&expected));
        for (before, after) in [("W/\"a\"", Some("W/\"a\"")), ("a", None), ("\"\"", Some("W/\"\""))] {
            let mut map = fields(&[JSON, ("etag", before)]);
            assert_eq!(decided(&rules("true"), "gzip", 200, &mut map).map(|plan| plan.is_live), Some(true));
            assert_eq!(map.get(header::ETAG).map(HeaderValue::as_bytes), after.map(str::as_bytes));
        }
    }

    #[test]
    fn who_gets_it_plain_is_told_that_others_do_not() {
        let list = [JSON, ("content-length", "5000"), ("etag", "\"a\"")];
        for accepted in ["", "deflate", "br;q=0"] {
            let mut map = fields(&list);
            assert_eq!(decided(&rules("{ algorithms: br }"), accepted, 200, &mut map), None);
            assert_eq!(map.remove(header::VARY).as_ref().map(HeaderValue::as_bytes), Some(&b"Accept-Encoding"[..]));
            assert_eq!(map, fields(&list));
        }
        let mut map = fields(&list);
        let full =
            decide(&rules("true"), &wish(&[(header::ACCEPT_ENCODING, "br")]), StatusCode::OK, &mut map, |_| false);
        assert_eq!((full.expect("room"), map.contains_key(header::CONTENT_ENCODING)), (None, false));
    }

    #[test]
    fn types_and_sizes_can_be_others() {
        let own = rules("{ types: [text/event-stream, image/*, application/*+xml], minSize: 10 }");
        for (kind, length, compressed) in [
            ("text/event-stream", None, true),
            ("text/plain", None, false),
            ("image/png", Some("10"), true),
            ("image/png", Some("9"), false),
            ("application/atom+xml", None, true),
            ("application/xml", None, false),
        ] {
            let mut map = fields(&[("content-type", kind)]);
            length.map(|length| map.insert(header::CONTENT_LENGTH, HeaderValue::from_static(length)));
            assert_eq!(decided(&own, "zstd", 200, &mut map).is_some(), compressed, "{kind}");
        }
        // Who does not take it plain gets what is small encoded, too.
        let mut map = fields(&[JSON, ("content-length", "5")]);
        assert!(decided(&rules("true"), "identity;q=0, gzip", 200, &mut map).is_some());
    }

    #[test]
    fn what_is_not_modified_keeps_the_validator_that_the_client_knows() {
        let not_modified = |known: &str| {
            let mut map = fields(&[("etag", "\"a\"")]);
            let wish = wish(&[(header::IF_NONE_MATCH, known)]);
            assert_eq!(
                decide(&rules("true"), &wish, StatusCode::NOT_MODIFIED, &mut map, |_| true).expect("room"),
                None
            );
            (map[header::ETAG].clone(), map.contains_key(header::VARY))
        };
        assert_eq!(not_modified("W/\"a\""), (HeaderValue::from_static("W/\"a\""), true));
        assert_eq!(not_modified("\"a\""), (HeaderValue::from_static("\"a\""), false));
        assert_eq!(not_modified("*"), (HeaderValue::from_static("\"a\""), false));
    }
}
