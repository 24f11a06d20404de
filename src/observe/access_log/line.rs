//! The two forms of lines that are always there.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Serialize;

use super::entry::Entry;

/// `[GET] http://user-service-1:3001/users → 200 (3ms) [9b2e…]`, then why the gateway answered itself and
/// how often the request was sent, where there is something to say.
///
/// Piece by piece: every request pays for this, and the machinery behind `write!` costs as much as all else.
pub fn text(line: &mut Vec<u8>, entry: &Entry<'_>) {
    let mut digits = itoa::Buffer::new();
    let mut add = |piece: &str| line.extend_from_slice(piece.as_bytes());
    add("[");
    add(entry.method);
    add("] ");
    add(entry.target.unwrap_or(""));
    let forwarded = entry.target.and(entry.forwarded);
    add(&escaped(forwarded.unwrap_or(entry.path)));
    if let Some(query) = &entry.query {
        add("?");
        add(&escaped(query));
    }
    add(" → ");
    add(digits.format(entry.status));
    add(" (");
    add(digits.format(entry.elapsed.as_millis() as u64));
    add("ms) [");
    add(entry.request_id);
    add("]");
    if let Some(code) = entry.code {
        add(" ");
        add(code);
    }
    if entry.attempts > 1 {
        add(" attempts=");
        add(digits.format(entry.attempts));
    }
    if forwarded.is_some() {
        add(" asked=");
        add(&escaped(entry.path));
    }
    // A name that is a path says nothing that the line does not say.
    if let Some(route) = entry.route.filter(|route| !entry.path.starts_with(route)) {
        add(" route=");
        add(&escaped(route));
    }
    add("\n");
}

pub fn json(line: &mut Vec<u8>, entry: &Entry<'_>) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line<'l> {
        time: String,
        method: &'l str,
        target: Option<&'l str>,
        path: &'l str,
        #[serde(skip_serializing_if = "Option::is_none")]
        query: Option<&'l str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        forwarded_path: Option<&'l str>,
        route: Option<&'l str>,
        status: u16,
        duration_ms: f64,
        request_id: &'l str,
        client: IpAddr,
        user: Option<Cow<'l, str>>,
        host: Option<Cow<'l, str>>,
        protocol: &'static str,
        bytes_received: u64,
        bytes_sent: u64,
        attempts: u32,
        code: Option<&'static str>,
        reason: &'static str,
    }
    let fields = Line {
        time: format!("{:.3}", jiff::Timestamp::now()),
        method: entry.method,
        target: entry.target,
        path: entry.path,
        query: entry.query.as_deref(),
        forwarded_path: entry.forwarded,
        route: entry.route,
        status: entry.status,
        duration_ms: entry.elapsed.as_micros() as f64 / 1_000.0,
        request_id: entry.request_id,
        client: entry.client,
        user: entry.user_text(),
        host: entry.host(),
        protocol: entry.protocol(),
        bytes_received: entry.bytes.0,
        bytes_sent: entry.bytes.1,
        attempts: entry.attempts,
        code: entry.code,
        reason: entry.reason,
    };
    let begin = line.len();
    // Writing to a vector cannot fail, and neither can numbers and text.
    let _ = serde_json::to_writer(&mut *line, &fields);
    // A terminal is steered by other controls, too, than those that JSON wants escaped.
    if !line[begin..].is_ascii() || line[begin..].contains(&DELETE) {
        let written = line.split_off(begin);
        line.extend_from_slice(in_ascii(&String::from_utf8_lossy(&written)).as_bytes());
    }
    line.push(b'\n');
}

const DELETE: u8 = 0x7f;

/// The same JSON in printable ASCII: nothing else than strings can have anything else in it (RFC 8259, section 7).
fn in_ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len() + 32);
    for c in json.chars() {
        if c.is_ascii() && c != char::from(DELETE) {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // To a string.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// Text that cannot end a line or steer a terminal, whatever is in it.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return text.into();
    }
    let escape = |c: char| match c.is_ascii_graphic() {
        true => c.to_string(),
        false => c.escape_unicode().to_string(),
    };
    text.chars().map(escape).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_the_same_in_ascii() {
        let odd = "a \u{85}\u{9b}2J \u{202e} \u{7f} Zoë 😀 \\ \" \n";
        let json = serde_json::json!({ odd: [odd, 1.5] }).to_string();
        let escaped = in_ascii(&json);
        assert!(escaped.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{escaped}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(&escaped), read(&json));
    }
}
