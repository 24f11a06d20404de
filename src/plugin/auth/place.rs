//! Where in a request its token is, and how it is kept from the upstream. Pure.

use std::fmt;

use http::{HeaderMap, HeaderName, header};

use super::bearer;
use crate::refusal::Refusal;

/// Where tokens are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenFrom {
    /// `Authorization: Bearer`.
    #[default]
    Authorization,
    /// A field that holds nothing else.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// A parameter of the query.
    Query(String),
}

impl TokenFrom {
    /// The one token of a request.
    ///
    /// # Errors
    /// There is none, there is more than one, or what is there is no token.
    pub fn find<'r>(&self, headers: &'r HeaderMap, query: Option<&'r str>) -> Result<&'r str, Refusal> {
        let fields = |name: &HeaderName| headers.get_all(name).into_iter().map(|field| field.as_bytes());
        match self {
            TokenFrom::Authorization => bearer::token(headers),
            TokenFrom::Header(name) => only(fields(name)),
            TokenFrom::Cookie(name) => {
                let pairs = fields(&header::COOKIE).flat_map(|field| field.split(|byte| *byte == b';'));
                only(pairs.filter_map(|pair| value_of(pair.trim_ascii(), name)))
            }
            TokenFrom::Query(name) => {
                let pairs = query.into_iter().flat_map(|query| query.as_bytes().split(|byte| *byte == b'&'));
                only(pairs.filter_map(|pair| value_of(pair, name)))
            }
        }
    }
}

impl fmt::Display for TokenFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenFrom::Authorization => f.write_str("header authorization"),
            TokenFrom::Header(name) => write!(f, "header {name}"),
            TokenFrom::Cookie(name) => write!(f, "cookie {name}"),
            TokenFrom::Query(name) => write!(f, "query {name}"),
        }
    }
}

fn only<'r>(mut values: impl Iterator<Item = &'r [u8]>) -> Result<&'r str, Refusal> {
    match (values.next(), values.next()) {
        (None, _) | (Some(b""), None) => Err(Refusal::TokenMissing),
        (Some(value), None) => bearer::check(value),
        (Some(_), Some(_)) => Err(Refusal::TokenInvalid("There is more than one token.")),
    }
}

fn value_of<'r>(pair: &'r [u8], name: &str) -> Option<&'r [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// `pairs` of a query or a cookie without those of that name; `None` if nothing is left.
pub fn without(pairs: &[u8], separator: u8, name: &str) -> Option<Vec<u8>> {
    let all = pairs.split(|byte| *byte == separator);
    let left: Vec<&[u8]> = all.filter(|pair| value_of(pair.trim_ascii(), name).is_none()).collect();
    (!left.is_empty()).then(|| left.join(&separator))
}

/// `query` without the parameters of these names; `None` if nothing is left.
pub fn without_all<'n>(query: &str, names: impl IntoIterator<Item = &'n String>) -> Option<Vec<u8>> {
    names.into_iter().try_fold(query.into(), |query: Vec<u8>, name| without(&query, b'&', name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn places_are_named_as_people_name_them() {
        for (place, name) in [
            (TokenFrom::Authorization, "header authorization"),
            (TokenFrom::Header(HeaderName::from_static("x-token")), "header x-token"),
            (TokenFrom::Cookie("t".into()), "cookie t"),
            (TokenFrom::Query("t".into()), "query t"),
        ] {
            assert_eq!(place.to_string(), name);
        }
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    const TWO: Result<&str, Refusal> = Err(Refusal::TokenInvalid("There is more than one token."));
    const NONE: Result<&str, Refusal> = Err(Refusal::TokenMissing);

    #[test]
    fn a_token_may_be_in_a_field_of_its_own() {
        let from = TokenFrom::Header(HeaderName::from_static("x-token"));
        assert_eq!(from.find(&headers(&[("x-token", "a.b.c"), ("authorization", "Bearer x")]), None), Ok("a.b.c"));
        assert_eq!(from.find(&headers(&[("x-token", "a"), ("x-token", "b")]), None), TWO);
        assert_eq!(from.find(&headers(&[("x-token", "")]), None), NONE);
        assert_eq!(from.find(&headers(&[("authorization", "Bearer x")]), None), NONE);
        assert!(matches!(from.find(&headers(&[("x-token", "a b")]), None), Err(Refusal::TokenInvalid(_))));
    }

    #[test]
    fn a_token_may_be_in_a_cookie() {
        let from = TokenFrom::Cookie("sid".to_owned());
        assert_eq!(from.find(&headers(&[("cookie", "a=1; sid=a.b.c ;xsid=2")]), None), Ok("a.b.c"));
        assert_eq!(from.find(&headers(&[("cookie", "a=1"), ("cookie", "sid=x")]), None), Ok("x"));
        assert_eq!(from.find(&headers(&[("cookie", "sid=1; sid=2")]), None), TWO);
        assert_eq!(from.find(&headers(&[("cookie", "SID=1; sidx=2; sid")]), None), NONE);
    }

    #[test]
    fn a_token_may_be_in_the_query() {
        let from = TokenFrom::Query("access_token".to_owned());
        let none = HeaderMap::new();
        assert_eq!(from.find(&none, Some("a=1&access_token=a.b.c&b=2")), Ok("a.b.c"));
        assert_eq!(from.find(&none, Some("access_token=1&access_token=2")), TWO);
        assert_eq!((from.find(&none, Some("access_token=&b")), from.find(&none, None)), (NONE, NONE));
    }

    #[test]
    fn the_rest_stays_as_it_is_without_the_token() {
        let left = |pairs: &str, separator| without(pairs.as_bytes(), separator, "t").map(String::from_utf8);
        assert_eq!(left("a=1&t=x&b=%20&&t=", b'&'), Some(Ok("a=1&b=%20&".to_owned())));
        assert_eq!(left("t=x", b'&'), None);
        assert_eq!(left("a=1; t=x; b=2", b';'), Some(Ok("a=1; b=2".to_owned())));
        assert_eq!(left("t=x; b=2", b';'), Some(Ok(" b=2".to_owned())));
    }
}
