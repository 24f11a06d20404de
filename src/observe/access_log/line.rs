//! The two forms of lines that are always there.

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::IpAddr;

use serde::Serialize;
use serde_json::ser::Formatter;

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
    // Writing to a vector cannot fail, and neither can numbers and text.
    let _ = fields.serialize(&mut serde_json::Serializer::with_formatter(&mut *line, Plain));
    line.push(b'\n');
}

/// JSON in printable ASCII: a terminal is steered by other controls, too, than those that JSON wants escaped.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !c.is_ascii() || c == '\x7f') {
            let (plain, odd) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = odd.chars();
            for unit in chars.next().into_iter().flat_map(|c| c.encode_utf16(&mut [0; 2]).to_vec()) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
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
