//! One spelling for every path, before anything is decided by it.
//!
//! Routes, and with them authentication, are chosen by path prefix; an upstream that reads a path
//! differently than the gateway did is a way around both. So the path is brought to the normal form of
//! RFC 3986 (6.2.2), matched in that form, and forwarded in that form:
//!
//! - percent-encoded unreserved characters are decoded (`%61` is `a`, `%2e` is `.`), other escapes get
//!   upper-case digits;
//! - dot segments are resolved (5.2.4); climbing above the root is refused;
//! - runs of slashes become one, as nginx and Kong do it;
//! - refused, since servers disagree about them: NUL and other control characters, raw or encoded; a
//!   backslash; an escape that is none (`%zz`); a dot segment hidden behind an encoded slash or
//!   backslash (`%2f..`) or dressed with a parameter (`..;x`).
//!
//! The query string is left as it is.

use std::borrow::Cow;
use std::fmt;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// It does not begin with a slash.
    NotAbsolute,
    /// A control character, raw or percent-encoded.
    ControlCharacter,
    /// A byte that has no place in a URI: a space, a quote, a backslash, anything outside ASCII.
    IllegalCharacter,
    /// A percent sign without two hexadecimal digits.
    BadEscape,
    /// More `..` than there are segments to leave.
    AboveRoot,
    /// `..` behind an encoded separator or before a `;`.
    HiddenDotSegment,
    /// With its separators decoded, or without its parameters, it would be another route's.
    Ambiguous,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reject::NotAbsolute => "the path does not begin with a slash",
            Reject::ControlCharacter => "the path holds a control character",
            Reject::IllegalCharacter => "the path holds a character that must be percent-encoded",
            Reject::BadEscape => "the path holds a percent sign without two hexadecimal digits",
            Reject::AboveRoot => "the path climbs above its root",
            Reject::HiddenDotSegment => "the path hides a dot segment",
            Reject::Ambiguous => "the path could be read as one of another route",
        })
    }
}

/// The normal form of `path`, which must not hold the query string. Borrowed where it is normal already.
///
/// # Errors
/// Why the path cannot be trusted to mean the same to everybody.
pub fn normalise(path: &[u8]) -> Result<Cow<'_, str>, Reject> {
    if path.first() != Some(&b'/') {
        return Err(Reject::NotAbsolute);
    }
    let mut plain = true;
    let mut previous = 0;
    for &byte in path {
        match byte {
            0..=0x1f | 0x7f => return Err(Reject::ControlCharacter),
            b' ' | b'"' | b'<' | b'>' | b'\\' | b'`' | b'{' | b'}' | b'#' | b'?' | 0x80.. => {
                return Err(Reject::IllegalCharacter);
            }
            b'%' | b';' => plain = false,
            b'/' | b'.' if previous == b'/' => plain = false,
            _ => {}
        }
        previous = byte;
    }
    match std::str::from_utf8(path) {
        Ok(text) if plain => Ok(Cow::Borrowed(text)),
        Ok(text) => rewrite(&decode_unreserved(text)?).map(Cow::Owned),
        Err(_) => Err(Reject::IllegalCharacter),
    }
}

/// Decodes what needs no escape and upper-cases the other escapes.
fn decode_unreserved(path: &str) -> Result<String, Reject> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(percent) = rest.find('%') {
        out.push_str(&rest[..percent]);
        let digits = rest.get(percent + 1..percent + 3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or(Reject::BadEscape)?;
        match u8::from_str_radix(digits, 16).map_err(|_| Reject::BadEscape)? {
            0..=0x1f | 0x7f => return Err(Reject::ControlCharacter),
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &rest[percent + 3..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Resolves dot segments and merges slashes.
fn rewrite(path: &str) -> Result<String, Reject> {
    let mut segments: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.split('/').skip(1) {
        if hides_dots(segment) {
            return Err(Reject::HiddenDotSegment);
        }
        ends_in_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop().ok_or(Reject::AboveRoot)?;
            }
            segment => segments.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &segments {
        out.push('/');
        out.push_str(segment);
    }
    if ends_in_slash || segments.is_empty() {
        out.push('/');
    }
    Ok(out)
}

/// Whether a server that decodes `%2F` or `%5C`, or that cuts off `;parameters`, would see a dot segment
/// in what is an ordinary segment here.
fn hides_dots(segment: &str) -> bool {
    if !segment.contains(['%', ';']) {
        return false;
    }
    let pieces = segment.replace("%2F", "/").replace("%5C", "/").replace("%3B", ";");
    pieces.split('/').any(|piece| matches!(piece.split(';').next(), Some("." | "..")))
}

/// What a path has below a prefix that it is matched by, both in normal form: nothing, or a slash and so on.
pub fn below<'p>(path: &'p str, prefix: &str) -> &'p str {
    path.strip_prefix(prefix.trim_end_matches('/')).unwrap_or(path)
}

/// How the loosest of servers would read a normal path: encoded separators decoded, `;parameters` cut off. `None`
/// where that is no other reading.
///
/// `/a%2Fb` is a fine path as long as it leads to the same route as `/a/b`.
pub fn other_reading(path: &str) -> Option<String> {
    if !path.contains(['%', ';']) {
        return None;
    }
    let decoded = path.replace("%2F", "/").replace("%5C", "/").replace("%3B", ";");
    let mut loose = String::with_capacity(decoded.len());
    for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap_or("")) {
        if !segment.is_empty() {
            loose.push('/');
            loose.push_str(segment);
        }
    }
    (loose != path).then_some(if loose.is_empty() { "/".to_owned() } else { loose })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_paths_are_borrowed_as_they_are() {
        for path in
            ["/", "/users", "/users/", "/a.b/c-d_e~f", "/a/b:c@d!$&'()*+,=", "/...", "/..a", "/a.", "/.well-known/x"]
        {
            let normal = normalise(path.as_bytes());
            assert_eq!(normal.as_deref(), Ok(path));
        }
        assert!(matches!(normalise(b"/users/7"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn every_spelling_of_one_path_becomes_one() {
        for (path, normal) in [
            ("/users/../admin", "/admin"),
            ("/users/%2e%2e/admin", "/admin"),
            ("/users/.%2E/admin", "/admin"),
            ("/users/./7", "/users/7"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/..a/../b", "/b"),
            ("//users", "/users"),
            ("/a///b//", "/a/b/"),
            ("/%61dmin", "/admin"),
            ("/%7euser/%2D", "/~user/-"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/a%20b", "/a%20b"),
            ("/a/../", "/"),
        ] {
            assert_eq!(normalise(path.as_bytes()).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn what_servers_disagree_about_is_refused() {
        for (path, reason) in [
            (&b""[..], Reject::NotAbsolute),
            (b"users", Reject::NotAbsolute),
            (b"*", Reject::NotAbsolute),
            (b"/../etc/passwd", Reject::AboveRoot),
            (b"/a/../../b", Reject::AboveRoot),
            (b"/%2e%2e/a", Reject::AboveRoot),
            (b"/a%00", Reject::ControlCharacter),
            (b"/a\0", Reject::ControlCharacter),
            (b"/a%0d%0aX:1", Reject::ControlCharacter),
            (b"/a\tb", Reject::ControlCharacter),
            (b"/a\x7f", Reject::ControlCharacter),
            (b"/a%7F", Reject::ControlCharacter),
            (b"/a\\..\\b", Reject::IllegalCharacter),
            (b"/a b", Reject::IllegalCharacter),
            (b"/caf\xc3\xa9", Reject::IllegalCharacter),
            (b"/a#b", Reject::IllegalCharacter),
            (b"/%zz", Reject::BadEscape),
            (b"/%", Reject::BadEscape),
            (b"/a%2", Reject::BadEscape),
            (b"/users/%2f..%2fadmin", Reject::HiddenDotSegment),
            (b"/users/..%2fadmin", Reject::HiddenDotSegment),
            (b"/users/%2e%2e%2Fadmin", Reject::HiddenDotSegment),
            (b"/users/..%5cadmin", Reject::HiddenDotSegment),
            (b"/users/..;/admin", Reject::HiddenDotSegment),
            (b"/users/.;x/admin", Reject::HiddenDotSegment),
            (b"/users/..%3bx/admin", Reject::HiddenDotSegment),
            (b"/users/a%2f%2e%2e", Reject::HiddenDotSegment),
        ] {
            assert_eq!(normalise(path), Err(reason), "{}", String::from_utf8_lossy(path));
        }
    }

    #[test]
    fn the_loosest_reading_decodes_separators_and_cuts_parameters() {
        for (path, other) in [
            ("/users/7", None),
            ("/caf%C3%A9", None),
            ("/adm%2Fx", Some("/adm/x")),
            ("/adm%5Cx", Some("/adm/x")),
            ("/adm;a=1/x", Some("/adm/x")),
            ("/adm%3Ba/x", Some("/adm/x")),
            ("/%2Fadm", Some("/adm")),
            ("/;x", Some("/")),
        ] {
            assert_eq!(other_reading(path).as_deref(), other, "{path}");
        }
    }

    #[test]
    fn the_normal_form_is_its_own_normal_form() {
        // A small generator over the characters that matter, every string up to six of them.
        let alphabet = ["/", ".", "..", "a", "%2e", "%2F", ";", "%61", "%5c", "//"];
        let mut paths = vec![String::from("/")];
        for _ in 0..5 {
            let longer: Vec<String> =
                paths.iter().flat_map(|p| alphabet.iter().map(move |a| format!("{p}{a}"))).collect();
            for path in &longer {
                if let Ok(normal) = normalise(path.as_bytes()) {
                    assert_eq!(normalise(normal.as_bytes()).as_deref(), Ok(&*normal), "{path}");
                    assert!(!normal.split('/').any(|s| s == ".." || s == "."), "{path} -> {normal}");
                    assert!(!normal.contains("//"), "{path} -> {normal}");
                }
            }
            paths = longer;
        }
    }
}
