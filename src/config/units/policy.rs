//! Words that headers about security may hold.

use std::fmt;
use std::str::FromStr;

use http::HeaderValue;

macro_rules! policies {
    ($($(#[$doc:meta])+ $name:ident($what:literal): $($word:literal),+;)*) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub &'static str);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let words = [$($word),+];
                let known = words.iter().find(|word| text.eq_ignore_ascii_case(word));
                known.map(|word| $name(word)).ok_or_else(|| {
                    format!(concat!("\"{}\" is no ", $what, "; write {}"), text, words.join(", "))
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
    )*};
}

policies! {
    /// `X-Content-Type-Options` (Fetch Standard, section 3.6).
    ContentTypeOptions("option"): "nosniff";
    /// In whose frames a page may be shown.
    Frames("owner of frames"): "deny", "sameOrigin";
    /// `Referrer-Policy` (W3C, section 3).
    ReferrerPolicy("referrer policy"): "no-referrer", "no-referrer-when-downgrade", "origin",
        "origin-when-cross-origin", "same-origin", "strict-origin", "strict-origin-when-cross-origin", "unsafe-url";
    /// `Cross-Origin-Opener-Policy` (HTML Standard, section 7.1.3).
    OpenerPolicy("opener policy"): "same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none";
    /// `Cross-Origin-Embedder-Policy` (HTML Standard, section 7.1.4).
    EmbedderPolicy("embedder policy"): "require-corp", "credentialless", "unsafe-none";
    /// `Cross-Origin-Resource-Policy` (Fetch Standard, section 3.7).
    ResourcePolicy("resource policy"): "same-origin", "same-site", "cross-origin";
    /// `X-Permitted-Cross-Domain-Policies`, of documents and players that look for a policy file.
    CrossDomainPolicies("cross-domain policy"): "none", "none-this-response", "master-only", "by-content-type", "all";
}

/// The text of a header: printable ASCII, something, and no space around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldText(String);

impl FieldText {
    /// One of our own.
    pub fn from_static(text: &'static str) -> Self {
        FieldText(text.to_owned())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FieldText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match HeaderValue::from_str(text) {
            Ok(_) if !text.is_empty() && text.is_ascii() && text.trim_ascii() == text => Ok(FieldText(text.to_owned())),
            _ => Err(format!("\"{text}\" is no value of a header; write printable ASCII without spaces around it")),
        }
    }
}

impl fmt::Display for FieldText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_in_letters_of_any_size() {
        assert_eq!("SameOrigin".parse::<Frames>().map(|it| it.to_string()), Ok("sameOrigin".into()));
        assert_eq!("No-Referrer".parse::<ReferrerPolicy>().map(|it| it.to_string()), Ok("no-referrer".into()));
        let wrong = "\"x\" is no resource policy; write same-origin, same-site, cross-origin";
        assert_eq!("x".parse::<ResourcePolicy>().err().as_deref(), Some(wrong));
        assert_eq!("default-src 'self'".parse::<FieldText>().map(|it| it.to_string()), Ok("default-src 'self'".into()));
        assert!(["", " a", "a\n", "ü"].iter().all(|text| text.parse::<FieldText>().is_err()));
    }
}
