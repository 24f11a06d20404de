//! A request of HTTP/2 in the words of HTTP/1.1 (RFC 9113, section 8.3.1), by which all later steps know one form.

use http::{HeaderValue, header};
use pingora::http::RequestHeader;

use super::framing::Bounds;
use crate::refusal::Refusal;

/// Whether there is no more of a request than there may be; the reader sees to that where it comes by HTTP/1.1.
///
/// # Errors
/// What there is too much of.
pub fn is_within(request: &RequestHeader, bounds: &Bounds) -> Result<(), Refusal> {
    if request.raw_path().len() > bounds.target {
        return Err(Refusal::UriTooLong);
    }
    if request.headers.len() > bounds.fields {
        return Err(Refusal::HeadersTooLarge);
    }
    Ok(())
}

/// `:authority` becomes `Host`, crumbs of cookies become one field again (8.2.3), and the target is what
/// stands in `:path`.
///
/// # Errors
/// What cannot be said so, or is more than there may be.
pub fn to_http1(request: &mut RequestHeader, bounds: &Bounds) -> Result<(), Refusal> {
    is_within(request, bounds)?;
    const HOST: Refusal = Refusal::HostInvalid("The authority is not valid.");
    if let Some(authority) = request.uri.authority() {
        // Pingora has seen that `Host`, where there is one, is the same.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| HOST)?;
        request.insert_header(header::HOST, host).map_err(|_| HOST)?;
    }
    let target = request.raw_path().to_vec();
    request.set_raw_path(&target).map_err(|_| Refusal::PathInvalid(crate::routing::path::Reject::IllegalCharacter))?;
    let crumbs: Vec<_> = request.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1 {
        let cookies = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
        let cookies = cookies.map_err(|_| Refusal::HeaderInvalid("The Cookie header is not valid."))?;
        request
            .insert_header(header::COOKIE, cookies)
            .map_err(|_| Refusal::HeaderInvalid("There are too many header fields."))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { fields: 3, bytes: 1_000, target: 20 };

    fn request(uri: &str, fields: &[(&str, &str)]) -> RequestHeader {
        let mut parts = http::Request::builder().version(http::Version::HTTP_2).uri(uri);
        for (name, value) in fields {
            parts = parts.header(*name, *value);
        }
        parts.body(()).expect("a request").into_parts().0.into()
    }

    #[test]
    fn the_authority_is_the_host_and_the_path_the_target() {
        for (uri, target) in [("https://a.example:8443/x?y", "/x?y"), ("http://a.example:8443", "/")] {
            let mut request = request(uri, &[]);
            assert_eq!(to_http1(&mut request, &BOUNDS), Ok(()));
            assert_eq!((request.raw_path(), request.uri.authority()), (target.as_bytes(), None));
            assert_eq!(request.headers[header::HOST], "a.example:8443");
        }
        let mut plain = request("/x", &[("host", "a.example")]);
        assert_eq!(to_http1(&mut plain, &BOUNDS), Ok(()));
        assert_eq!(plain.headers[header::HOST], "a.example");
    }

    #[test]
    fn bounds_hold_for_it_as_well() {
        let long = format!("https://a/{}", "a".repeat(20));
        assert_eq!(to_http1(&mut request(&long, &[]), &BOUNDS), Err(Refusal::UriTooLong));
        let many = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")];
        assert_eq!(to_http1(&mut request("https://a/", &many), &BOUNDS), Err(Refusal::HeadersTooLarge));
    }

    #[test]
    fn crumbs_are_one_cookie() {
        let mut request = request("https://a/", &[("cookie", "a=1"), ("cookie", "b=2; c=3")]);
        assert_eq!(to_http1(&mut request, &BOUNDS), Ok(()));
        let cookies: Vec<_> = request.headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
    }
}
