//! Lines in a form of one's own: `{time} {client} {method} {path} {status}`. Pure, but for the clock of `{time}`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::HeaderName;

use super::entry::Entry;
use crate::plugin::rate_limit::key::is_credential;

/// A value is no longer, whatever clients send.
const MOST_BYTES: usize = 512;
/// In place of what is not there.
const NOTHING: &str = "-";

/// A line's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Name),
}

/// What stands in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Known(Known),
    Header(HeaderName),
}

macro_rules! known {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Known { $($variant),+ }

        /// All of them, as they are written.
        pub const NAMES: &[&str] = &[$($name),+];

        impl Known {
            fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Known::$variant),)+ _ => None }
            }
        }
    };
}

// The names of the JSON lines.
known! {
    Time = "time",
    Method = "method",
    Target = "target",
    Path = "path",
    Query = "query",
    ForwardedPath = "forwardedPath",
    Route = "route",
    Status = "status",
    DurationMs = "durationMs",
    RequestId = "requestId",
    Client = "client",
    User = "user",
    Host = "host",
    Protocol = "protocol",
    BytesReceived = "bytesReceived",
    BytesSent = "bytesSent",
    Attempts = "attempts",
    Code = "code",
    Reason = "reason",
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, found) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = found.strip_prefix("{{").or_else(|| found.strip_prefix("}}")) {
                plain.push_str(&found[..1]);
                rest = after;
                continue;
            }
            let inner = found.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = inner.ok_or_else(|| {
                format!("\"{text}\": a lone brace; write {{status}} for a value, {{{{ or }}}} for a brace")
            })?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Value(name.parse()?));
            rest = after;
        }
        plain.push_str(rest);
        if plain.contains(char::is_control) {
            return Err(format!("{text:?}: a line has no control characters in it"));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template { text: text.to_owned(), parts })
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if let Some(known) = Known::named(name) {
            return Ok(Name::Known(known));
        }
        let wrong = || format!("{{{name}}}: unknown; known here: {}, header.NAME", NAMES.join(", "));
        let field = name.strip_prefix("header.").ok_or_else(wrong)?;
        let field = HeaderName::from_bytes(field.as_bytes()).map_err(|_| wrong())?;
        match is_credential(field.as_str()) {
            true => Err(format!("{{{name}}}: it most likely holds credentials, which have no place in a log")),
            false => Ok(Name::Header(field)),
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Template {
    /// Adds the line of `entry`.
    pub fn write(&self, line: &mut Vec<u8>, entry: &Entry<'_>) {
        for part in &self.parts {
            match part {
                Part::Text(text) => line.extend_from_slice(text.as_bytes()),
                Part::Value(name) => line.extend_from_slice(plain(&name.of(entry)).as_bytes()),
            }
        }
        line.push(b'\n');
    }
}

impl Name {
    fn of<'e>(&self, entry: &'e Entry<'_>) -> Cow<'e, str> {
        let known = match self {
            Name::Known(known) => known,
            Name::Header(name) => return entry.field(name).unwrap_or(NOTHING.into()),
        };
        let or_nothing = |text: Option<&'e str>| Cow::from(text.unwrap_or(NOTHING));
        match known {
            Known::Time => format!("{:.3}", jiff::Timestamp::now()).into(),
            Known::Method => entry.method.into(),
            Known::Target => or_nothing(entry.target),
            Known::Path => entry.path.into(),
            Known::Query => or_nothing(entry.query.as_deref()),
            Known::ForwardedPath => entry.forwarded.unwrap_or(entry.path).into(),
            Known::Route => or_nothing(entry.route),
            Known::Status => entry.status.to_string().into(),
            Known::DurationMs => (entry.elapsed.as_micros() as f64 / 1_000.0).to_string().into(),
            Known::RequestId => entry.request_id.into(),
            Known::Client => entry.client.to_string().into(),
            Known::User => entry.user_text().unwrap_or(NOTHING.into()),
            Known::Host => entry.host().unwrap_or(NOTHING.into()),
            Known::Protocol => entry.protocol().into(),
            Known::BytesReceived => entry.bytes.0.to_string().into(),
            Known::BytesSent => entry.bytes.1.to_string().into(),
            Known::Attempts => entry.attempts.to_string().into(),
            Known::Code => or_nothing(entry.code),
            Known::Reason => entry.reason.into(),
        }
    }
}

/// A value that can neither end a line, nor a quotation, nor steer a terminal.
fn plain(value: &str) -> Cow<'_, str> {
    let end = (0..=MOST_BYTES.min(value.len())).rev().find(|end| value.is_char_boundary(*end)).unwrap_or(0);
    let value = &value[..end];
    let is_plain = |c: char| (c.is_ascii_graphic() || c == ' ') && c != '"' && c != '\\';
    if value.chars().all(is_plain) {
        return value.into();
    }
    let escape = |c: char| if is_plain(c) { c.to_string() } else { c.escape_unicode().to_string() };
    value.chars().map(escape).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::access_log::tests::entry;

    fn line(template: &str, entry: &Entry<'_>) -> String {
        let mut line = Vec::new();
        template.parse::<Template>().expect(template).write(&mut line, entry);
        String::from_utf8(line).expect("UTF-8")
    }

    #[test]
    fn values_stand_where_their_names_are() {
        let combined = "{client} {user} \"{method} {path} {protocol}\" {status} {bytesSent} \"{header.referer}\"";
        assert_eq!(line(combined, &entry()), "203.0.113.7 - \"GET /users -\" 200 0 \"-\"\n");
        assert_eq!(line("{{{reason}}} {durationMs}", &entry()), "{forwarded} 3.4\n");
        let all: String = NAMES.iter().map(|name| format!("{{{name}}}|")).collect();
        assert_eq!(line(&all, &entry()).matches('|').count(), NAMES.len());
    }

    #[test]
    fn no_value_can_forge_a_line_or_a_quotation() {
        let forged = Entry { user: Some(b"a\" 200\r\n\x1b[2J\\"), ..entry() };
        let line = line("\"{user}\"", &forged);
        assert_eq!(line, "\"a\\u{22} 200\\u{d}\\u{a}\\u{1b}[2J\\u{5c}\"\n");
        let long = "ä".repeat(400);
        let huge = Entry { path: &long, ..entry() };
        assert!(self::line("{path}", &huge).len() < 6 * MOST_BYTES);
    }

    #[test]
    fn what_is_no_form_of_a_line_is_told() {
        for (text, said) in [
            ("{status", "a lone brace"),
            ("status}", "a lone brace"),
            ("{statsu}", "unknown; known here: time, method"),
            ("{header.a b}", "unknown"),
            ("{header.authorization}", "credentials"),
            ("{status}\n", "control characters"),
        ] {
            let wrong = text.parse::<Template>().expect_err(text);
            assert!(wrong.contains(said), "{text}: {wrong}");
        }
    }
}
