//! The first look at a request: what it is called, whom it comes from, and whether everybody would read
//! it in the same way. What comes out of here can be decided upon.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Version, header};
use pingora::http::RequestHeader;
use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_core::protocols::http::authority::{RawTargetAuthority, raw_target_authority};
use pingora_proxy::Session;

use crate::context::RequestCtx;
use crate::downstream::entrance::{Door, Entrance};
use crate::downstream::link::Link;
use crate::downstream::{client_ip, hop_by_hop, http2, request_id};
use crate::refusal::Refusal;
use crate::routing::methods::{Methods, is_forwardable};
use crate::routing::{host, path};

/// What is said to a plain request on a port of TLS. nginx says the same.
const NO_HANDSHAKE: Refusal = Refusal::Malformed("This port speaks TLS: write https:// in place of http://.");

/// Names the request and its sender. Cannot fail, so that every answer and log line has an id.
pub fn identify(session: &mut Session, ctx: &mut RequestCtx) {
    // A stream of HTTP/2 brings its link with its request, a connection of HTTP/1.1 has given it before.
    if let Some(link) = session.req_header_mut().extensions_mut().remove::<Arc<Link>>() {
        ctx.link = Some(link);
    }
    let headers = &session.req_header().headers;
    ctx.request_id = request_id::of_client(headers).unwrap_or_else(request_id::fresh);
    if let Some(peer) = session.client_addr().and_then(|address| address.as_inet()) {
        find_sender(peer.ip(), headers, ctx);
    }
    if let Some(tracer) = &ctx.snapshot.tracer {
        let trace = tracer.begin(&session.req_header().headers, ctx.from_trusted);
        if trace.is_sampled && ctx.trail.is_none() {
            ctx.trail = Some(Box::default());
        }
        ctx.trace = Some(trace);
    }
    // Requests that were sent ahead are answered in order instead of being dropped.
    session.set_pipelining_enabled(true);
}

/// Notes who sent a request that came from `peer`.
pub fn find_sender(peer: IpAddr, headers: &HeaderMap, ctx: &mut RequestCtx) {
    ctx.peer = peer.to_canonical();
    ctx.from_trusted = client_ip::is_trusted(ctx.peer, &ctx.snapshot.trusted_proxies);
    ctx.client = client_ip::of(ctx.peer, headers, &ctx.snapshot.trusted_proxies);
}

/// Brings the request into the form that is decided upon and forwarded.
///
/// # Errors
/// Why it is not forwarded in any form.
pub fn clean(session: &mut Session, ctx: &RequestCtx) -> Result<(), Refusal> {
    if session.req_header().headers.contains_key(header::TRANSFER_ENCODING) {
        comes_in_chunks(session, ctx)?;
    }
    if session.req_header().version == Version::HTTP_10 {
        comes_of_old(session);
    }
    clean_head(session.req_header_mut(), ctx)
}

/// The same of its head: path in normal form, target in origin form, no header field that only the gateway may set.
///
/// # Errors
/// Why it is not forwarded in any form.
pub fn clean_head(request: &mut RequestHeader, ctx: &RequestCtx) -> Result<(), Refusal> {
    if request.version == Version::HTTP_2 {
        http2::to_http1(request, &ctx.snapshot.limits.head)?;
    }
    hop_by_hop::check_length(&request.headers)?;
    if !is_forwardable(&request.method) {
        return Err(Refusal::MethodNotAllowed { allow: Methods::COMMON });
    }
    check_host(request)?;
    if request.headers.get(header::EXPECT).is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::ExpectationFailed);
    }
    hop_by_hop::check(&request.headers)?;
    to_origin_form(request)?;
    normalise(request)?;
    match ctx.link.as_ref().map(|link| link.entrance.as_ref()) {
        Some(Entrance { door: Door::ToHttps(port), .. }) => return Err(to_https(request, *port)),
        Some(Entrance { is_plain: true, .. }) => return Err(NO_HANDSHAKE),
        _ => {}
    }
    ctx.snapshot.reserved.strip(request, ctx.from_trusted);
    Ok(())
}

/// Pingora takes a `Content-Length` out where there is a `Transfer-Encoding`; somebody before us may have gone by it.
fn comes_in_chunks(session: &Session, ctx: &RequestCtx) -> Result<(), Refusal> {
    let Some(http1) = session.as_http1() else { return Ok(()) };
    if hop_by_hop::names(&http1.get_headers_raw_bytes(), b"content-length") {
        return Err(Refusal::Malformed("There are a Content-Length and a Transfer-Encoding."));
    }
    if let Some(link) = &ctx.link {
        link.set_chunked();
    }
    Ok(())
}

/// Clients of HTTP/1.0 know of no interim answers, and what they expect is not heeded (RFC 9110, sections 10.1.1 and 15.2).
fn comes_of_old(session: &mut Session) {
    session.req_header_mut().remove_header(&header::EXPECT);
    if let HttpSession::H1(http1) = session.as_downstream_mut() {
        http1.set_ignore_info_resp(true);
    }
}

/// The request is over: what the client is still sending of it will not be read.
pub fn leave(session: &mut Session, ctx: &RequestCtx) {
    if let Some(link) = &ctx.link
        && !session.as_downstream_mut().is_body_done()
    {
        link.leave_unread();
    }
}

/// `GET http://host/path` becomes `GET /path` with that host, which Pingora has compared with `Host`.
fn to_origin_form(request: &mut RequestHeader) -> Result<(), Refusal> {
    if request.raw_path().starts_with(b"/") {
        return Ok(());
    }
    let invalid = || Refusal::PathInvalid(path::Reject::NotAbsolute);
    let RawTargetAuthority::Absolute { scheme, authority, path_and_query } = raw_target_authority(request.raw_path())
    else {
        return Err(invalid());
    };
    if ![&b"http"[..], b"https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(invalid());
    }
    let host = HeaderValue::from_bytes(authority).ok().filter(|_| host::of(authority).is_some());
    let host = host.ok_or(Refusal::HostInvalid("The target's host is not valid."))?;
    let target = match path_and_query.first() {
        Some(b'/') => path_and_query.to_vec(),
        _ => [b"/", path_and_query].concat(),
    };
    request.insert_header(header::HOST, host).map_err(|_| invalid())?;
    request.set_raw_path(&target).map_err(|_| invalid())
}

/// Where the same request is served. Its host and path are good.
fn to_https(request: &RequestHeader, port: u16) -> Refusal {
    let host = request.headers.get(header::HOST).and_then(|host| http::uri::Authority::try_from(host.as_bytes()).ok());
    let Some(host) = host else { return Refusal::HostInvalid("The Host header is missing.") };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let url = [b"https://", host.host().as_bytes(), port.as_bytes(), request.raw_path()].concat();
    match HeaderValue::from_bytes(&url) {
        Ok(location) => Refusal::UseHttps { location },
        Err(_) => Refusal::PathInvalid(path::Reject::IllegalCharacter),
    }
}

fn check_host(request: &RequestHeader) -> Result<(), Refusal> {
    match request.headers.get(header::HOST) {
        // RFC 9112, section 3.2: 400 for a request without Host; only HTTP/1.0 knows such requests.
        None if request.version == Version::HTTP_11 => Err(Refusal::HostInvalid("The Host header is missing.")),
        None => Ok(()),
        Some(authority) if host::of(authority.as_bytes()).is_none() => {
            Err(Refusal::HostInvalid("The Host header is not valid."))
        }
        Some(_) => Ok(()),
    }
}

fn normalise(request: &mut RequestHeader) -> Result<(), Refusal> {
    let raw = request.raw_path();
    let (path, query) = match raw.iter().position(|byte| *byte == b'?') {
        Some(mark) => raw.split_at(mark),
        None => (raw, &b""[..]),
    };
    let normal = match path::normalise(path).map_err(Refusal::PathInvalid)? {
        std::borrow::Cow::Borrowed(_) => return Ok(()),
        std::borrow::Cow::Owned(normal) => [normal.as_bytes(), query].concat(),
    };
    request.set_raw_path(&normal).map_err(|_| Refusal::PathInvalid(path::Reject::IllegalCharacter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, host: Option<&str>) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).expect("a request");
        if let Some(host) = host {
            request.insert_header(header::HOST, host).expect("a field");
        }
        request
    }

    #[test]
    fn the_absolute_form_becomes_the_origin_form() {
        for (target, path) in [
            ("http://a.example/x?y=1", "/x?y=1"),
            ("http://a.example", "/"),
            ("http://a.example?q", "/?q"),
            ("HTTPS://a.example/x", "/x"),
            ("/x", "/x"),
        ] {
            let mut request = request(target, Some("a.example"));
            assert_eq!(to_origin_form(&mut request), Ok(()), "{target}");
            assert_eq!(request.raw_path(), path.as_bytes());
            assert_eq!(request.headers[header::HOST], "a.example");
        }
        for target in ["*", "ftp://a.example/x", "a.example:443", "http://a:99999/x", "http://a..b/x", "http:///x"] {
            assert!(to_origin_form(&mut request(target, None)).is_err(), "{target}");
        }
    }

    #[test]
    fn the_query_stays_as_it_is() {
        let mut request = request("/a/../b?x=/../%2e%2e//", None);
        assert_eq!(normalise(&mut request), Ok(()));
        assert_eq!(request.raw_path(), b"/b?x=/../%2e%2e//");
        assert_eq!(request.uri.path(), "/b");
    }

    #[test]
    fn hosts_are_checked() {
        for (host, good) in [
            (Some("a.example:8000"), true),
            (Some("[::1]:80"), true),
            (None, false),
            (Some(""), false),
            (Some("a b"), false),
            (Some("a/b"), false),
            (Some("a:"), false),
            (Some("a:99999"), false),
            (Some("a:b"), false),
            (Some("[::1]"), true),
        ] {
            let mut request = request("/", host);
            request.set_version(Version::HTTP_11);
            assert_eq!(check_host(&request).is_ok(), good, "{host:?}");
        }
        let mut old = request("/", None);
        old.set_version(Version::HTTP_10);
        assert_eq!(check_host(&old), Ok(()));
    }
}
