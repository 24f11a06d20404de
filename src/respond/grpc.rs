//! The gateway's own answers in the words of gRPC, whose clients look for no status of HTTP: `grpc-status` in the
//! trailers of an answer without a body (gRPC over HTTP2, "Responses").

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::http::RequestHeader;

use crate::config::units::GrpcStatus;

/// Their media type.
pub const MEDIA_TYPE: &str = "application/grpc";

/// Whether a request is one of gRPC.
pub fn is_spoken(request: &RequestHeader) -> bool {
    if request.version != Version::HTTP_2 {
        return false;
    }
    let kind = request.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| {
        kind.strip_prefix(MEDIA_TYPE.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// What says so much to a client of gRPC as `status` and `detail` do to others.
pub fn trailers(status: StatusCode, detail: &str) -> HeaderMap {
    let status = (HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(code(status).0)));
    HeaderMap::from_iter([status, (HeaderName::from_static("grpc-message"), message(detail))])
}

/// gRPC's table of statuses of HTTP, but where it has a word of its own for what the gateway means.
fn code(status: StatusCode) -> GrpcStatus {
    GrpcStatus(match status.as_u16() {
        400 | 408 => 13, // INTERNAL
        401 => 16,       // UNAUTHENTICATED
        403 => 7,        // PERMISSION_DENIED
        404 | 405 => 12, // UNIMPLEMENTED
        413 | 429 => 8,  // RESOURCE_EXHAUSTED
        504 => 4,        // DEADLINE_EXCEEDED
        502 | 503 => 14, // UNAVAILABLE
        _ => 2,          // UNKNOWN
    })
}

/// Text, percent-encoded but for what can be printed.
fn message(detail: &str) -> HeaderValue {
    let mut text = String::with_capacity(detail.len());
    for byte in detail.bytes() {
        match byte {
            b'%' | ..=0x1F | 0x7F.. => text.push_str(&format!("%{byte:02X}")),
            plain => text.push(char::from(plain)),
        }
    }
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_media_type() {
        for (kind, is_grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut request = RequestHeader::build("POST", b"/", None).expect("a request");
            request.insert_header(header::CONTENT_TYPE, kind).expect("a field");
            assert!(!is_spoken(&request), "there are no trailers in HTTP/1.1");
            request.set_version(Version::HTTP_2);
            assert_eq!(is_spoken(&request), is_grpc, "{kind}");
        }
        assert!(!is_spoken(&RequestHeader::build("POST", b"/", None).expect("a request")));
    }

    #[test]
    fn statuses_and_sentences_are_translated() {
        for (status, code) in
            [(401, "16"), (403, "7"), (404, "12"), (429, "8"), (400, "13"), (503, "14"), (504, "4"), (500, "2")]
        {
            let trailers = trailers(StatusCode::from_u16(status).expect("a status"), "50 % é\n");
            let (found, message) = (&trailers["grpc-status"], &trailers["grpc-message"]);
            assert_eq!((found.as_bytes(), message.as_bytes()), (code.as_bytes(), &b"50 %25 %C3%A9%0A"[..]), "{status}");
        }
    }
}
