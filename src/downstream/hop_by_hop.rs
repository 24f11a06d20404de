//! Header fields that are between two ends of one connection only (RFC 9110, section 7.6.1), and what a
//! client must not do with them.

use http::{HeaderMap, HeaderName, header};
use smallvec::SmallVec;

use crate::refusal::Refusal;

/// `Connection` may name so many fields. Pingora takes no more either, but says so only when a target has
/// been chosen.
const MAX_NAMED: usize = 9;
/// What `Connection` must not name: an upstream that is not told these would be misled.
const PROTECTED: [&str; 4] = ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// What `Connection` says nearly always, and which are no fields, or go anyhow.
const OPTIONS: [&[u8]; 2] = [b"keep-alive", b"close"];

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
/// Those of old that answers have.
static OF_ANSWERS: [&HeaderName; 3] = [&header::CONNECTION, &KEEP_ALIVE, &PROXY_CONNECTION];
/// What no request is sent on with (RFC 9110, section 7.6.1; RFC 7540, section 3.2.1).
static OF_REQUESTS: [&HeaderName; 10] = [
    &header::CONNECTION,
    &KEEP_ALIVE,
    &PROXY_CONNECTION,
    &header::PROXY_AUTHENTICATE,
    &header::PROXY_AUTHORIZATION,
    &header::TE,
    &header::TRAILER,
    &header::TRANSFER_ENCODING,
    &header::UPGRADE,
    &HTTP2_SETTINGS,
];

/// Whether a head as it came has a field of this name.
pub fn names(head: &[u8], name: &[u8]) -> bool {
    let field = |line: &[u8]| line.split(|byte| *byte == b':').next().is_some_and(|it| it.eq_ignore_ascii_case(name));
    head.split(|byte| *byte == b'\n').any(field)
}

/// Checks the fields of a request that say where it ends (RFC 9112, section 6.3), of which there has to be one at most.
///
/// # Errors
/// Two servers could find its end in two places.
pub fn check_length(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (Some(length), None) if length.as_bytes().contains(&b',') || lengths.next().is_some() => {
            return Err(Refusal::Malformed("There is more than one Content-Length."));
        }
        (None, Some(_)) if codings.next().is_some() => {
            return Err(Refusal::Malformed("There is more than one Transfer-Encoding."));
        }
        _ => {}
    }
    Ok(())
}

/// Checks the fields of a request that say how it travels.
///
/// # Errors
/// A transfer coding other than `chunked`, which would be lost on the way, or a `Connection` that could
/// strip what the gateway adds.
pub fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    // RFC 9112, section 6.1: a transfer coding that is not understood is answered with 501.
    for codings in headers.get_all(header::TRANSFER_ENCODING) {
        if !codings.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::TransferCodingUnsupported);
        }
    }
    for (count, name) in named(headers).enumerate() {
        if count >= MAX_NAMED {
            return Err(Refusal::HeaderInvalid("The Connection header names too many fields."));
        }
        if !is_token(name) {
            return Err(Refusal::HeaderInvalid("The Connection header is not valid."));
        }
        if PROTECTED.iter().any(|protected| name.eq_ignore_ascii_case(protected.as_bytes())) {
            return Err(Refusal::HeaderInvalid("The Connection header names a field that must be sent on."));
        }
    }
    Ok(())
}

/// Takes the fields out of an answer that are between the upstream and the gateway only: those that its
/// `Connection` names and the hop-by-hop fields of old.
pub fn strip(fields: &mut HeaderMap) {
    const OWN: [HeaderName; 3] = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONTENT_TYPE];
    take_out(fields, &OF_ANSWERS, &OWN);
}

/// The same of an interim answer, and what it says of a length: it has no body (RFC 9110, section 15.2).
pub fn strip_interim(fields: &mut HeaderMap) {
    strip(fields);
    fields.remove(header::CONTENT_LENGTH);
    fields.remove(header::TRANSFER_ENCODING);
}

/// Takes the fields out of a request, [checked](check) before, that are between the client and the gateway only, or between a proxy and
/// either; whatever it asks for in place of HTTP is no longer asked for. How long its body is has to be said anew if `Connection` names that.
pub fn strip_request(fields: &mut HeaderMap) {
    take_out(fields, &OF_REQUESTS, &[]);
}

/// Takes out those of `old`, and what `Connection` names but is not `own`.
fn take_out(fields: &mut HeaderMap, old: &'static [&HeaderName], own: &[HeaderName]) {
    // Comparing these to the few names that there are is less than to hash each of them.
    let found: SmallVec<[&HeaderName; 3]> =
        old.iter().copied().filter(|name| fields.keys().any(|there| there == *name)).collect();
    if found.contains(&&header::CONNECTION) {
        let doomed: Vec<HeaderName> = named(fields)
            .filter(|name| !OPTIONS.iter().any(|option| name.eq_ignore_ascii_case(option)))
            .filter_map(|name| HeaderName::from_bytes(name).ok())
            .filter(|name| !own.contains(name))
            .collect();
        for name in doomed {
            fields.remove(name);
        }
    }
    for name in found {
        fields.remove(name);
    }
}

/// What `Connection` names, empty elements left out.
fn named(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        for (codings, good) in [
            ("chunked", true),
            (" Chunked ", true),
            ("gzip, chunked", false),
            ("gzip", false),
            ("chunked, chunked", false),
            ("identity", false),
            ("", false),
            ("chunked;q=1", false),
        ] {
            let result = check(&headers(&[("transfer-encoding", codings)]));
            assert_eq!(result, if good { Ok(()) } else { Err(Refusal::TransferCodingUnsupported) }, "{codings}");
        }
        let mut twice = headers(&[("transfer-encoding", "gzip")]);
        twice.append(header::TRANSFER_ENCODING, "chunked".parse().expect("a value"));
        assert!(check(&twice).is_err());
    }

    #[test]
    fn connection_names_few_fields_that_are_nobodys_but_the_clients() {
        for (names, good) in [
            ("close", true),
            ("keep-alive, Upgrade,, x-user-id ,", true),
            ("a,b,c,d,e,f,g,h,i", true),
            ("a,b,c,d,e,f,g,h,i,j", false),
            ("X-Forwarded-For", false),
            ("close, host", false),
            ("\"x-forwarded-for\"", false),
            (":authority", false),
            ("a b", false),
        ] {
            let result = check(&headers(&[("connection", names)]));
            assert_eq!(result.is_ok(), good, "{names}");
        }
    }

    #[test]
    fn fields_that_the_upstream_names_in_connection_stay_behind() {
        let mut fields = headers(&[
            ("connection", "close, X-Internal"),
            ("x-internal", "1"),
            ("keep-alive", "timeout=5"),
            ("content-length", "2"),
            ("proxy-connection", "close"),
            ("x-other", "2"),
        ]);
        fields.append(header::CONNECTION, "content-length".parse().expect("a value"));
        strip(&mut fields);
        let mut names: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "x-other"]);
    }

    #[test]
    fn a_request_is_sent_on_without_what_is_between_two_ends_of_a_connection() {
        let other = [("x-other", "2"), ("content-length", "0")];
        for (fields, left) in [
            (&[("connection", "close, X-Internal,, te"), ("x-internal", "1"), ("te", "trailers")][..], &other[..]),
            (&[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")], &other),
            (&[("keep-alive", "timeout=5"), ("proxy-connection", "close"), ("trailer", "x")], &other),
            (
                &[("proxy-authorization", "Basic eDp5"), ("proxy-authenticate", "Basic"), ("x-one", "1")],
                &[("x-one", "1"), other[0], other[1]],
            ),
            (&[], &other),
        ] {
            let mut sent = headers(&[fields, &other].concat());
            strip_request(&mut sent);
            assert_eq!(sent, headers(left), "{fields:?}");
        }
    }

    #[test]
    fn the_fields_of_old_stay_behind_whether_connection_names_them_or_not() {
        for connection in [None, Some("keep-alive"), Some("Close"), Some("X-Internal")] {
            let mut fields = headers(&[("keep-alive", "timeout=5"), ("proxy-connection", "close"), ("x-other", "2")]);
            fields.extend(connection.map(|names| (header::CONNECTION, names.parse().expect("a value"))));
            strip(&mut fields);
            assert_eq!(fields.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"], "{connection:?}");
        }
    }
}
