//! `GET /dashboard`: one page that shows how things stand, and does what operators do.
//!
//! Nothing in it comes from elsewhere, and nothing that it shows can become a part of it: its policy (Content Security Policy,
//! level 3) knows the page's own script and style by their hashes, and no others.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::Answer;

const PAGE: &str = include_str!("dashboard/page.html");

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |tag: &str| format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, part(tag).as_bytes())));
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style"),
    );
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// What is between the tags of that name.
fn part(tag: &str) -> &'static str {
    let inner = PAGE.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
    inner.map_or("", |(inner, _)| inner)
}

/// The page.
pub fn page() -> Answer {
    Answer::Page(Bytes::from_static(PAGE.as_bytes()), POLICY.clone())
}

/// Whether somebody with a browser asks.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_script_and_one_style_and_nothing_from_elsewhere() {
        for tag in ["script", "style"] {
            assert!(part(tag).len() > 500, "{tag}");
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "{tag}");
        }
        for word in [
            "http://",
            "https://",
            "innerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " src=",
            "@import",
            "style=\"",
            "onclick=",
        ] {
            assert!(!PAGE.contains(word), "{word}");
        }
    }
}
