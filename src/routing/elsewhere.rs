//! Where a redirect leads.

use std::fmt;
use std::str::FromStr;

use url::{Position, Url};

use super::path;

/// A URL, or a path of the same host; maybe with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Without the query.
    pub place: String,
    /// The query, without its question mark.
    pub query: Option<String>,
}

impl FromStr for Elsewhere {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("\"{text}\": {why}; write https://www.example.com/new, or /new for the same host");
        if text.bytes().any(|byte| byte.is_ascii_control() || b" \\#".contains(&byte)) {
            return Err(wrong("spaces, backslashes, fragments and control characters have no place in it"));
        }
        let (elsewhere, path) = match text.split_once("://") {
            Some((scheme, _)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
                let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
                if !url.username().is_empty() || url.password().is_some() {
                    return Err(wrong("a user or a password has no place in it"));
                }
                let (place, query) = (url[..Position::AfterPath].to_owned(), url.query().map(str::to_owned));
                (Elsewhere { place, query }, url.path().to_owned())
            }
            _ if text.starts_with("//") => return Err(wrong("which scheme that host is for is not said")),
            _ if text.starts_with('/') => {
                let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
                (Elsewhere { place: place.to_owned(), query: query.map(str::to_owned) }, place.to_owned())
            }
            _ => return Err(wrong("no URL of http or https")),
        };
        match path::normalise(path.as_bytes()) {
            Ok(normal) if normal == path => {}
            Ok(normal) => return Err(wrong(&format!("its path is not in normal form, which is {normal}"))),
            Err(reason) => return Err(wrong(&reason.to_string())),
        }
        match elsewhere.query.as_ref().is_none_or(|query| query.is_ascii()) {
            true => Ok(elsewhere),
            false => Err(wrong("what is not ASCII in the query is to be percent-encoded")),
        }
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        self.query.iter().try_for_each(|query| write!(f, "?{query}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_and_paths_lead_elsewhere() {
        for (text, shown) in [
            ("https://B.example", "https://b.example/"),
            ("http://b.example:80/a?b=c", "http://b.example/a?b=c"),
            ("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/"),
            ("https://[::1]:8443/a", "https://[::1]:8443/a"),
            ("/", "/"),
            ("/a/b?c", "/a/b?c"),
        ] {
            assert_eq!(text.parse::<Elsewhere>().map(|to| to.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for (text, said) in [
            ("", "no URL"),
            ("a", "no URL"),
            ("b.example/a", "no URL"),
            ("ftp://b.example", "no URL"),
            ("javascript:alert(1)", "no URL"),
            ("https:b.example", "no URL"),
            ("https://", "empty host"),
            ("https:x?y=://", "no URL"),
            ("https://a:b", "invalid port"),
            ("//evil.example", "which scheme"),
            ("/\\evil.example", "backslashes"),
            ("https://b.example\\@evil", "backslashes"),
            ("https://user@b.example", "a user"),
            ("https://b.example/#a", "fragments"),
            ("https://b.example/a\nX: 1", "control characters"),
            ("/a b", "spaces"),
            ("/a/../b", "normal form, which is /b"),
            ("/a//b", "normal form"),
            ("/%zz", "hexadecimal"),
            ("/a?\u{fc}", "percent-encoded"),
        ] {
            let wrong = text.parse::<Elsewhere>().expect_err(text);
            assert!(wrong.contains(said), "{text}: {wrong}");
        }
    }
}
