//! Who may use the admin listener.
//!
//! Whoever knows the token; without one, whoever is on this machine. A page of another site in a browser on this
//! machine is there as well, so what a browser says of where a request comes from has to be right: it sends `Origin`
//! with whatever could change something, and `Sec-Fetch-Site` with everything. A name that somebody else has made to
//! lead here (DNS rebinding) is none that we listen to.

use std::net::IpAddr;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::Denial;
use crate::config::units::Secret;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a request is carried out that has to show `token`, if there is one, or else come from here.
///
/// # Errors
/// Why not.
pub fn admit(token: Option<&Secret>, method: &Method, headers: &HeaderMap) -> Result<(), Denial> {
    let host = only(headers, &header::HOST).and_then(|host| Authority::try_from(host).ok());
    let Some(host) = host else {
        return Err(Denial::new(StatusCode::BAD_REQUEST, "host_invalid", "The Host header is missing or not valid."));
    };
    is_not_of_another_site(method, headers, &host)?;
    match token {
        Some(token) => has_token(headers, token),
        None if is_here(host.host()) => Ok(()),
        None => Err(Denial::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            format!("This listener is not called {}; use its address, or localhost.", host.host()),
        )),
    }
}

fn is_not_of_another_site(method: &Method, headers: &HeaderMap, host: &Authority) -> Result<(), Denial> {
    let own = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| authority == host.as_str());
    let foreign_origin = headers.contains_key(header::ORIGIN) && !only(headers, &header::ORIGIN).is_some_and(own);
    let site = headers.get(&SEC_FETCH_SITE).map(http::HeaderValue::as_bytes);
    let foreign_site = match site {
        None | Some(b"same-origin") => false,
        // Typed in, or a bookmark: that reads, and changes nothing.
        Some(b"none") => !matches!(*method, Method::GET | Method::HEAD),
        Some(_) => true,
    };
    if foreign_origin || foreign_site {
        let why = "The request comes from a page of another site.";
        return Err(Denial::new(StatusCode::FORBIDDEN, "cross_site", why));
    }
    Ok(())
}

/// The only value of a header.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn has_token(headers: &HeaderMap, token: &Secret) -> Result<(), Denial> {
    let denied = |code, why: &str| Err(Denial::new(StatusCode::UNAUTHORIZED, code, why));
    let Some(shown) = only(headers, &header::AUTHORIZATION) else {
        return denied("token_missing", "Send Authorization: Bearer and the token of admin.tokenFile.");
    };
    let shown = shown.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let shown = shown.map_or("", |(_, token)| token.trim());
    // How long it takes says nothing of how much of it is right.
    match aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), token.reveal().as_bytes()) {
        Ok(()) => Ok(()),
        Err(_) => denied("token_invalid", "The token is not the one of admin.tokenFile."),
    }
}

/// Whether a name leads nowhere but to this machine, or is an address.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(token: Option<&str>, method: Method, fields: &[(&'static str, &str)]) -> Result<(), &'static str> {
        let token = token.map(Secret::new);
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), value.parse().expect("a value"));
        }
        super::admit(token.as_ref(), &method, &headers).map_err(|denial| denial.code)
    }

    #[test]
    fn without_a_token_whoever_calls_the_machine_by_its_address_is_admitted() {
        for host in ["127.0.0.1:8001", "localhost:8001", "[::1]:8001", "10.0.0.7"] {
            assert_eq!(admit(None, Method::POST, &[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(admit(None, Method::GET, &[("host", "evil.example:8001")]), Err("cross_site"));
        assert_eq!(admit(None, Method::GET, &[]), Err("host_invalid"));
        assert_eq!(admit(None, Method::GET, &[("host", "a"), ("host", "a")]), Err("host_invalid"));
    }

    #[test]
    fn pages_of_other_sites_are_refused_with_or_without_a_token() {
        const HOST: (&str, &str) = ("host", "127.0.0.1:8001");
        const TOKEN: (&str, &str) = ("authorization", "Bearer abc");
        for (field, get, post) in [
            (("origin", "http://127.0.0.1:8001"), Ok(()), Ok(())),
            (("origin", "https://evil.example"), Err("cross_site"), Err("cross_site")),
            (("origin", "null"), Err("cross_site"), Err("cross_site")),
            (("sec-fetch-site", "same-origin"), Ok(()), Ok(())),
            (("sec-fetch-site", "none"), Ok(()), Err("cross_site")),
            (("sec-fetch-site", "same-site"), Err("cross_site"), Err("cross_site")),
            (("sec-fetch-site", "cross-site"), Err("cross_site"), Err("cross_site")),
        ] {
            assert_eq!(admit(None, Method::GET, &[HOST, field]), get, "{field:?}");
            assert_eq!(admit(None, Method::POST, &[HOST, field]), post, "{field:?}");
            assert_eq!(admit(Some("abc"), Method::POST, &[HOST, TOKEN, field]), post, "{field:?}");
        }
    }

    #[test]
    fn a_token_has_to_be_shown_once_and_whole() {
        let with = |value: &str| {
            admit(Some("s3cret-token"), Method::GET, &[("host", "gw.internal"), ("authorization", value)])
        };
        assert_eq!(with("Bearer s3cret-token"), Ok(()));
        assert_eq!(with("bearer  s3cret-token "), Ok(()));
        for wrong in ["Bearer s3cret-toke", "Bearer s3cret-tokens", "Bearer ", "s3cret-token", "Basic s3cret-token"] {
            assert_eq!(with(wrong), Err("token_invalid"), "{wrong}");
        }
        assert_eq!(admit(Some("abc"), Method::GET, &[("host", "a")]), Err("token_missing"));
    }
}
