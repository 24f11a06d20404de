//! Who may use the admin listener, and for what.
//!
//! Whoever knows a token, or shows a certificate; where none is asked for, whoever is on this machine. A page of another site in a
//! browser on this machine is there as well, so what a browser says of where a request comes from has to be right: it sends `Origin`
//! with whatever could change something, and `Sec-Fetch-Site` with everything. A name that somebody else has made to
//! lead here (DNS rebinding) is none that we listen to.

use std::net::IpAddr;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::{Denial, Operator};
use crate::config::units::Secret;
use crate::snapshot::operators::Operators;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The page, which says nothing before it has asked.
    Open,
    /// To look.
    Read,
    /// To change something.
    Write,
}

/// Whether a request is carried out that wants `right`.
///
/// # Errors
/// Why not.
pub fn admit(
    operators: &Operators,
    operator: &Operator,
    right: Right,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(), Denial> {
    let host = only(headers, &header::HOST).and_then(|host| Authority::try_from(host).ok());
    let Some(host) = host else {
        return Err(Denial::new(StatusCode::BAD_REQUEST, "host_invalid", "The Host header is missing or not valid."));
    };
    is_not_of_another_site(method, headers, &host)?;
    if operators.tls.is_some() && !operator.by_tls {
        // It has been connected since before that was asked for.
        let why = "TLS is spoken here by now; connect again.";
        return Err(Denial::new(StatusCode::FORBIDDEN, "tls_required", why));
    }
    if !operators.are_known() && !is_here(host.host()) {
        let why = format!("This listener is not called {}; use its address, or localhost.", host.host());
        return Err(Denial::new(StatusCode::FORBIDDEN, "cross_site", why));
    }
    match right {
        Right::Open => Ok(()),
        _ if !operators.are_known() => Ok(()),
        Right::Read if may_read(operators, operator, headers) => Ok(()),
        Right::Write if may_write(operators, operator, headers) => Ok(()),
        Right::Write if may_read(operators, operator, headers) => {
            let why = "Who may look may not do this: it takes the token of admin.tokenFile, or a certificate of admin.tls.writers.";
            Err(Denial::new(StatusCode::FORBIDDEN, "read_only", why))
        }
        _ => Err(unknown(headers)),
    }
}

/// Whether what is shown is good for everything.
fn may_write(operators: &Operators, operator: &Operator, headers: &HeaderMap) -> bool {
    let certificate = operator.certificate.as_ref().filter(|_| operators.certified);
    let is_writer = certificate.is_some_and(|shown| {
        let names = [shown.common_name.as_deref(), shown.dns.as_deref()];
        names.into_iter().flatten().any(|name| operators.writers.iter().any(|writer| writer == name))
    });
    is_writer || operators.token.as_ref().is_some_and(|token| shows(headers, token))
}

/// Whether it is good for looking.
fn may_read(operators: &Operators, operator: &Operator, headers: &HeaderMap) -> bool {
    let is_certified = operators.certified && operator.certificate.is_some();
    is_certified
        || operators.read_token.as_ref().is_some_and(|token| shows(headers, token))
        || may_write(operators, operator, headers)
}

fn unknown(headers: &HeaderMap) -> Denial {
    let (code, why) = match headers.contains_key(header::AUTHORIZATION) {
        true => ("token_invalid", "The token is none that is known here."),
        false => {
            ("token_missing", "Send Authorization: Bearer and the token of admin.tokenFile or admin.readTokenFile.")
        }
    };
    Denial::new(StatusCode::UNAUTHORIZED, code, why)
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

fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let shown = only(headers, &header::AUTHORIZATION).and_then(|shown| shown.split_once(' '));
    let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token.trim());
    // How long it takes says nothing of how much of it is right.
    aws_lc_rs::constant_time::verify_slices_are_equal(shown.as_bytes(), token.reveal().as_bytes()).is_ok()
}

/// Whether a name leads nowhere but to this machine, or is an address.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::client::ClientCertificate;

    fn operators(token: Option<&str>, read_token: Option<&str>) -> Operators {
        let (token, read_token) = (token.map(Secret::new), read_token.map(Secret::new));
        Operators { token, read_token, tls: None, certified: false, writers: vec!["ops.example".into()] }
    }

    fn ask(
        operators: &Operators,
        operator: &Operator,
        right: Right,
        method: &Method,
        fields: &[(&'static str, &str)],
    ) -> Result<(), &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), value.parse().expect("a value"));
        }
        super::admit(operators, operator, right, method, &headers).map_err(|denial| denial.code)
    }

    fn admit(token: Option<&str>, method: Method, fields: &[(&'static str, &str)]) -> Result<(), &'static str> {
        ask(&operators(token, None), &Operator::default(), Right::Read, &method, fields)
    }

    #[test]
    fn to_look_and_to_change_are_two_rights() {
        let both = operators(Some("all-powerful"), Some("only-looking"));
        let named = |name: &str| Operator {
            certificate: Some(ClientCertificate { common_name: Some(name.into()), ..ClientCertificate::default() }),
            by_tls: true,
        };
        let certified = Operators { certified: true, ..operators(None, None) };
        let nobody = Operator::default();
        for (operators, operator, token, read, write) in [
            (&both, &nobody, "all-powerful", Ok(()), Ok(())),
            (&both, &nobody, "only-looking", Ok(()), Err("read_only")),
            (&both, &nobody, "guessed", Err("token_invalid"), Err("token_invalid")),
            (&both, &named("ops.example"), "guessed", Err("token_invalid"), Err("token_invalid")),
            (&operators(None, Some("only-looking")), &nobody, "only-looking", Ok(()), Err("read_only")),
            (&certified, &named("ops.example"), "-", Ok(()), Ok(())),
            (&certified, &named("other.example"), "-", Ok(()), Err("read_only")),
            (&certified, &nobody, "-", Err("token_invalid"), Err("token_invalid")),
        ] {
            let bearer = format!("Bearer {token}");
            let fields = [("host", "gw.internal"), ("authorization", bearer.as_str())];
            assert_eq!(ask(operators, operator, Right::Read, &Method::GET, &fields), read, "{token} {operator:?}");
            assert_eq!(ask(operators, operator, Right::Write, &Method::POST, &fields), write, "{token} {operator:?}");
            assert_eq!(ask(operators, operator, Right::Open, &Method::GET, &fields[..1]), Ok(()), "the page");
        }
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
