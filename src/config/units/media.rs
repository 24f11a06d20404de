//! Media types (RFC 9110, section 8.3.1).

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

/// Some media types: `application/json`, `text/*`, or `application/*+json`. Those of streams of events are in
/// none but `text/event-stream` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRange {
    text: String,
    /// Where the part stands that may be any.
    star: Option<usize>,
}

impl MediaRange {
    /// Whether it has a type, which is in lower case and without parameters.
    pub fn has(&self, kind: &str) -> bool {
        let Some(star) = self.star else { return self.text == kind };
        let (begin, end) = (&self.text[..star], &self.text[star + 1..]);
        let between = kind.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
        between.is_some_and(|any| !any.is_empty()) && kind != "text/event-stream"
    }
}

impl FromStr for MediaRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_ascii_lowercase();
        // Names of both are tokens (RFC 9110, section 8.3.1), as those of header fields are.
        let is_name = |name: &str| !name.contains('*') && HeaderName::try_from(name).is_ok();
        let good = text.split_once('/').is_some_and(|(kind, subtype)| {
            is_name(kind)
                && match subtype.strip_prefix('*') {
                    Some(suffix) => suffix.is_empty() || suffix.strip_prefix('+').is_some_and(is_name),
                    None => is_name(subtype),
                }
        });
        match good {
            true => Ok(MediaRange { star: text.find('*'), text }),
            false => Err(format!("\"{text}\" is no media type; write application/json, text/* or application/*+json")),
        }
    }
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_types() {
        for (range, kind, has) in [
            ("application/JSON", "application/json", true),
            ("application/json", "application/jsonp", false),
            ("text/*", "text/html", true),
            ("text/*", "text/", false),
            ("text/*", "textual/html", false),
            ("text/*", "text/event-stream", false),
            ("text/event-stream", "text/event-stream", true),
            ("application/*+json", "application/problem+json", true),
            ("application/*+json", "application/json", false),
            ("application/*+json", "application/+json", false),
            ("application/*+json", "application/problem+jsonx", false),
        ] {
            assert_eq!(range.parse::<MediaRange>().map(|range| range.has(kind)), Ok(has), "{range} {kind}");
        }
        for text in
            ["", "json", "*/*", "*", "text/", "/html", "text/h*", "text/*json", "a/b/c", "text/html; q=1", "te xt/*"]
        {
            assert!(text.parse::<MediaRange>().is_err(), "{text}");
        }
    }
}
