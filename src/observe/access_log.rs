//! One line a request, through a [`Spool`], so that no worker ever waits for it.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde::Serialize;

use super::spool::{Spool, Trouble};
use crate::config::{self, LogFormat};

/// What a line tells.
#[derive(Debug)]
pub struct Entry<'e> {
    /// The request's method.
    pub method: &'e str,
    /// The target that served it, or was tried last.
    pub target: Option<&'e str>,
    /// The path in normal form where it has one; never the query, which may hold secrets.
    pub path: &'e str,
    /// The path that the target was sent, where that is another.
    pub forwarded: Option<&'e str>,
    /// The name of the route that took it.
    pub route: Option<&'e str>,
    /// The status that the client got; 499 if it left before.
    pub status: u16,
    /// From the request's head to the end of the answer.
    pub elapsed: Duration,
    /// The correlation id.
    pub request_id: &'e str,
    /// Who sent it, seen through trusted proxies.
    pub client: IpAddr,
    /// How many connections were tried for it, or used again.
    pub attempts: u32,
    /// Why the gateway answered itself, if it did.
    pub code: Option<&'static str>,
    /// Why the request ended as it did, in a word: the same, where there is one.
    pub reason: &'static str,
}

/// The log of a process.
pub struct AccessLog {
    format: ArcSwap<LogFormat>,
    spool: Spool,
}

/// What lines are written to.
pub struct Output(Box<dyn Write + Send>);

impl Output {
    /// The file that the config names; `-` is standard output.
    ///
    /// # Errors
    /// It cannot be opened for appending.
    pub fn open(config: &config::AccessLog) -> io::Result<Self> {
        Ok(Output(match config.file.as_str() {
            "-" => Box::new(io::stdout()),
            path => Box::new(append_to(path)?),
        }))
    }
}

impl AccessLog {
    /// Opens the file (`-` is standard output) and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the writer's thread not be started.
    pub fn open(config: &config::AccessLog) -> io::Result<Self> {
        AccessLog::new(config.format, Output::open(config)?)
    }

    fn new(format: LogFormat, Output(output): Output) -> io::Result<Self> {
        Ok(AccessLog { format: ArcSwap::from_pointee(format), spool: Spool::start("access-log", output, tell)? })
    }

    /// Lines have this format from now on, and what has not been written yet goes to `output`: a file that was renamed, to be
    /// put away, is left.
    pub fn switch(&self, format: LogFormat, Output(output): Output) {
        self.format.store(Arc::new(format));
        self.spool.switch(output);
    }

    /// Lines that there was no room for.
    pub fn lost(&self) -> u64 {
        self.spool.lost()
    }

    /// Adds a line.
    pub fn write(&self, entry: &Entry<'_>) {
        let mut line = Vec::with_capacity(160);
        match **self.format.load() {
            LogFormat::Text => text(&mut line, entry),
            LogFormat::Json => json(&mut line, entry),
        }
        self.spool.push(&line);
    }

    /// Writes what is waiting, and ends the writer. Later lines are dropped, and so is what an output that
    /// takes nothing has not taken in time.
    pub fn close(&self) {
        self.spool.close();
    }
}

fn append_to(path: &str) -> io::Result<File> {
    // A pipe would have us wait for who reads it.
    let opened = OpenOptions::new().append(true).create(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ENXIO) => io::Error::other("it is a pipe that nobody reads; start who reads it before"),
        _ => error,
    })?;
    // The thread that writes may wait.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Says in the program's own log what goes wrong with this one.
fn tell(trouble: &Trouble) -> Option<String> {
    match trouble {
        Trouble::Dropped(lines) => log::warn!("access log: {lines} lines dropped, its file cannot keep up"),
        Trouble::Failing(error) => {
            log::error!("access log: cannot write: {error}; lines are lost until it works again");
        }
        Trouble::Over => log::info!("access log: works again"),
    }
    None
}

/// `[GET] http://user-service-1:3001/users → 200 (3ms) [9b2e…]`, then why the gateway answered itself and
/// how often the request was sent, where there is something to say.
///
/// Piece by piece: every request pays for this, and the machinery behind `write!` costs as much as all else.
fn text(line: &mut Vec<u8>, entry: &Entry<'_>) {
    let mut digits = itoa::Buffer::new();
    let mut add = |piece: &str| line.extend_from_slice(piece.as_bytes());
    add("[");
    add(entry.method);
    add("] ");
    add(entry.target.unwrap_or(""));
    let forwarded = entry.target.and(entry.forwarded);
    add(&escaped(forwarded.unwrap_or(entry.path)));
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

fn json(line: &mut Vec<u8>, entry: &Entry<'_>) {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line<'l> {
        time: String,
        method: &'l str,
        target: Option<&'l str>,
        path: &'l str,
        #[serde(skip_serializing_if = "Option::is_none")]
        forwarded_path: Option<&'l str>,
        route: Option<&'l str>,
        status: u16,
        duration_ms: f64,
        request_id: &'l str,
        client: IpAddr,
        attempts: u32,
        code: Option<&'static str>,
        reason: &'static str,
    }
    let fields = Line {
        time: format!("{:.3}", jiff::Timestamp::now()),
        method: entry.method,
        target: entry.target,
        path: entry.path,
        forwarded_path: entry.forwarded,
        route: entry.route,
        status: entry.status,
        duration_ms: entry.elapsed.as_micros() as f64 / 1_000.0,
        request_id: entry.request_id,
        client: entry.client,
        attempts: entry.attempts,
        code: entry.code,
        reason: entry.reason,
    };
    // Writing to a vector cannot fail, and neither can numbers and text.
    let _ = serde_json::to_writer(&mut *line, &fields);
    line.push(b'\n');
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

    fn entry() -> Entry<'static> {
        Entry {
            method: "GET",
            target: Some("http://user-service-1:3001"),
            path: "/users",
            forwarded: None,
            route: Some("/users"),
            status: 200,
            elapsed: Duration::from_micros(3_400),
            request_id: "9b2e",
            client: IpAddr::from([203, 0, 113, 7]),
            attempts: 1,
            code: None,
            reason: "forwarded",
        }
    }

    fn line(format: fn(&mut Vec<u8>, &Entry<'_>), entry: &Entry<'_>) -> String {
        let mut line = Vec::new();
        format(&mut line, entry);
        String::from_utf8(line).expect("UTF-8")
    }

    #[test]
    fn the_text_line_is_the_documented_one() {
        assert_eq!(line(text, &entry()), "[GET] http://user-service-1:3001/users → 200 (3ms) [9b2e]\n");
        let refused = Entry { target: None, status: 401, code: Some("token_missing"), ..entry() };
        assert_eq!(line(text, &refused), "[GET] /users → 401 (3ms) [9b2e] token_missing\n");
        let named = Entry { route: Some("users"), ..entry() };
        assert_eq!(line(text, &named), "[GET] http://user-service-1:3001/users → 200 (3ms) [9b2e] route=users\n");
        let rewritten = Entry { forwarded: Some("/v2"), ..entry() };
        assert_eq!(line(text, &rewritten), "[GET] http://user-service-1:3001/v2 → 200 (3ms) [9b2e] asked=/users\n");
        let unsent = Entry { target: None, ..rewritten };
        assert_eq!(line(text, &unsent), "[GET] /users → 200 (3ms) [9b2e]\n");
        let retried = Entry { attempts: 2, ..entry() };
        assert_eq!(line(text, &retried), "[GET] http://user-service-1:3001/users → 200 (3ms) [9b2e] attempts=2\n");
    }

    #[test]
    fn no_path_can_forge_a_line_or_steer_a_terminal() {
        let forged =
            Entry { path: "/a\r\n[GET] /admin → 200\u{1b}[2J\u{85}\u{202e}\u{2028} x", target: None, ..entry() };
        let line = line(text, &forged);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let path = line.split(" → ").next().expect("a path");
        assert!(
            path.strip_prefix("[GET] ").is_some_and(|path| path.bytes().all(|byte| byte.is_ascii_graphic())),
            "{line}"
        );
    }

    #[test]
    fn the_json_line_is_one_object() {
        let line = line(json, &Entry { path: "/a\n\"b", ..entry() });
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            (&value["path"], &value["status"], &value["durationMs"]),
            (&"/a\n\"b".into(), &200.into(), &3.4.into())
        );
        assert_eq!((&value["target"], &value["requestId"]), (&"http://user-service-1:3001".into(), &"9b2e".into()));
        assert_eq!((&value["route"], &value["reason"]), (&"/users".into(), &"forwarded".into()));
    }
}
