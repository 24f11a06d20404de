//! The token in `Authorization: Bearer` (RFC 6750, section 2.1).

use http::{HeaderMap, header};

use crate::refusal::Refusal;

/// A longer token is none of ours; the longest that identity providers issue stay well below.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// Bytes that tokens are made of (RFC 6750, section 2.1).
const IS_OF_TOKENS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
        byte += 1;
    }
    table
};

/// The one bearer token of a request.
///
/// # Errors
/// There is none, there is more than one `Authorization`, or what is there is no token.
pub fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let field = fields.next().ok_or(Refusal::TokenMissing)?;
    if fields.next().is_some() {
        // Which one counts? The upstream might think otherwise.
        return Err(Refusal::TokenInvalid("There is more than one Authorization header."));
    }
    let value = field.to_str().map_err(|_| Refusal::TokenInvalid("The Authorization header is not ASCII."))?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        // Basic and others are no bearer token at all.
        return Err(Refusal::TokenMissing);
    }
    match token.trim_start_matches(' ') {
        "" => Err(Refusal::TokenMissing),
        token => check(token.as_bytes()),
    }
}

/// The same bytes as text, if they may be a token.
///
/// # Errors
/// They are too many, or not of those that tokens are made of.
pub fn check(token: &[u8]) -> Result<&str, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::TokenInvalid("The token is longer than 8 KiB."));
    }
    // Without a branch for each byte: tokens are long, and nearly all are good.
    let is_good = token.iter().fold(true, |good, byte| good & IS_OF_TOKENS[usize::from(*byte)]);
    let text = std::str::from_utf8(token).ok().filter(|_| is_good);
    text.ok_or(Refusal::TokenInvalid("The token has characters that no token has."))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn with(values: &[&'static [u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn one_bearer_token_is_found() {
        for value in [&b"Bearer a.b.c"[..], b"bearer a.b.c", b"BEARER   a.b.c"] {
            assert_eq!(token(&with(&[value])), Ok("a.b.c"));
        }
    }

    #[test]
    fn none_and_other_schemes_are_a_missing_token() {
        assert_eq!(token(&with(&[])), Err(Refusal::TokenMissing));
        for value in ["Basic dTpw", "Bearer", "Bearer ", "", "a.b.c"] {
            assert_eq!(token(&with(&[value.as_bytes()])), Err(Refusal::TokenMissing), "{value}");
        }
    }

    #[test]
    fn two_tokens_long_ones_and_strange_ones_are_invalid() {
        let long: &'static [u8] =
            Box::leak(format!("Bearer {}", "a".repeat(100 * 1024)).into_bytes().into_boxed_slice());
        for values in [
            &[&b"Bearer a.b.c"[..], b"Bearer a.b.c"][..],
            &[b"Bearer a b"],
            &[b"Bearer \xff\xfe"],
            &[b"Bearer a,b"],
            &[long],
        ] {
            assert!(matches!(token(&with(values)), Err(Refusal::TokenInvalid(_))), "{}", values.len());
        }
    }
}
