//! The fields of a request as it goes to a target.

use http::{HeaderMap, Request, request::Parts};
use pingora::Result;
use pingora::http::RequestHeader;

/// So many more fields than its client sent most requests leave with.
const ADDED: usize = 6;

/// Changes the fields of `request`, whose target stays as it is.
///
/// As with answers (`downstream::answer::edit`), Pingora's second map, of how names were spelled, is given up: each field
/// that is set would be read and copied into it as well.
///
/// # Errors
/// None that is known of: a target that was good is good again.
pub fn edit<T>(request: &mut RequestHeader, change: impl FnOnce(&mut HeaderMap) -> T) -> Result<T> {
    let (blank, ()) = Request::new(()).into_parts();
    let whole = std::mem::replace(request, blank.into());
    // Bytes that are no text, which only the head knows beside its URI.
    let plain = whole.uri.path_and_query().map(|target| target.as_str().as_bytes());
    let target = (plain != Some(whole.raw_path())).then(|| whole.raw_path().to_vec());
    let ends_stream = whole.send_end_stream();
    let mut parts = Parts::from(whole);
    // In vain only where there are tens of thousands, of which `change` hears.
    let _ = parts.headers.try_reserve(ADDED);
    let result = change(&mut parts.headers);
    *request = parts.into();
    if let Some(target) = target {
        request.set_raw_path(&target)?;
    }
    if let Some(ends_stream) = ends_stream {
        request.set_send_end_stream(ends_stream);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, Version, header};

    use super::*;

    #[test]
    fn nothing_is_lost_but_the_spelling_of_names() {
        for target in [&b"/a?b=%20"[..], b"/a?\xff\xfe", b"/"] {
            let mut request = RequestHeader::build(Method::PUT, target, None).expect("a request");
            request.set_version(Version::HTTP_2);
            request.set_send_end_stream(false);
            for (name, value) in [("content-TYPE", "a/b"), ("X-One", "1"), ("x-one", "2")] {
                request.append_header(name, value).expect("a field");
            }
            let before = edit(&mut request, |fields| fields.insert(header::HOST, HeaderValue::from_static("a")));
            assert!(before.is_ok_and(|before| before.is_none()));
            assert_eq!((&request.method, request.version, request.raw_path()), (&Method::PUT, Version::HTTP_2, target));
            assert_eq!(request.send_end_stream(), Some(false));
            let mut wire = Vec::new();
            request.header_to_h1_wire(&mut wire);
            let wire = String::from_utf8(wire).expect("text");
            let mut lines: Vec<&str> = wire.lines().collect();
            lines.sort_unstable();
            assert_eq!(lines, ["Content-Type: a/b", "Host: a", "x-one: 1", "x-one: 2"]);
            assert!(wire.find(": 1") < wire.find(": 2"), "the order of values is kept");
        }
    }
}
