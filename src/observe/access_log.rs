//! One line a request, written without ever keeping a worker waiting.
//!
//! Workers append to a buffer in memory; a thread of its own swaps the buffer out and writes it, many
//! lines with one system call. The buffer is bounded: while the file cannot keep up, lines are dropped
//! and counted, and the count is written as soon as there is room.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use crate::config::{self, LogFormat};

/// Bytes that may wait to be written. At 100 bytes a line, some 40,000 lines.
const CAPACITY: usize = 4 * 1024 * 1024;
/// How long the end of the process waits for the last lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines are gathered this long before they are written.
const GATHER: Duration = Duration::from_millis(10);

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
}

/// The log of a process.
pub struct AccessLog {
    format: ArcSwap<LogFormat>,
    queue: Arc<Queue>,
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

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// Lines dropped since the last time that was said.
    dropped: u64,
    /// And in all.
    lost: u64,
    /// The writer sleeps until something comes.
    idle: bool,
    closed: bool,
    /// The writer has written the last line.
    ended: bool,
    /// What the writer is to go on with.
    next: Option<Output>,
}

impl AccessLog {
    /// Opens the file (`-` is standard output) and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the writer's thread not be started.
    pub fn open(config: &config::AccessLog) -> io::Result<Self> {
        AccessLog::new(config.format, Output::open(config)?)
    }

    fn new(format: LogFormat, output: Output) -> io::Result<Self> {
        let queue = Arc::new(Queue { state: Mutex::new(State::default()), changed: Condvar::new() });
        let shared = queue.clone();
        thread::Builder::new().name("access-log".into()).spawn(move || shared.drain(output))?;
        Ok(AccessLog { format: ArcSwap::from_pointee(format), queue })
    }

    /// Lines have this format from now on, and what has not been written yet goes to `output`: a file that was renamed, to be
    /// put away, is left.
    pub fn switch(&self, format: LogFormat, output: Output) {
        self.format.store(Arc::new(format));
        self.queue.state.lock().next = Some(output);
        self.queue.changed.notify_all();
    }

    /// Lines that there was no room for.
    pub fn lost(&self) -> u64 {
        self.queue.state.lock().lost
    }

    /// Adds a line.
    pub fn write(&self, entry: &Entry<'_>) {
        let mut line = Vec::with_capacity(160);
        match **self.format.load() {
            LogFormat::Text => text(&mut line, entry),
            LogFormat::Json => json(&mut line, entry),
        }
        self.queue.push(&line);
    }

    /// Writes what is waiting, and ends the writer. Later lines are dropped, and so is what an output that
    /// takes nothing has not taken in time.
    pub fn close(&self) {
        let mut state = self.queue.state.lock();
        state.closed = true;
        self.queue.changed.notify_all();
        self.queue.changed.wait_while_for(&mut state, |state| !state.ended, PATIENCE);
    }
}

fn append_to(path: &str) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Queue {
    fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if state.buffer.len() + line.len() > CAPACITY {
            state.dropped += 1;
            state.lost += 1;
            return;
        }
        state.buffer.extend_from_slice(line);
        let wake = std::mem::take(&mut state.idle);
        drop(state);
        if wake {
            self.changed.notify_one();
        }
    }

    /// The writer's loop.
    fn drain(&self, Output(mut output): Output) {
        let mut lines = Vec::new();
        let mut failing = false;
        loop {
            let (dropped, closed) = {
                let mut state = self.state.lock();
                while state.buffer.is_empty() && !state.closed && state.next.is_none() {
                    state.idle = true;
                    self.changed.wait(&mut state);
                }
                state.idle = false;
                if let Some(Output(next)) = state.next.take() {
                    output = next;
                }
                std::mem::swap(&mut lines, &mut state.buffer);
                (std::mem::take(&mut state.dropped), state.closed)
            };
            if dropped > 0 {
                log::warn!("access log: {dropped} lines dropped, its file cannot keep up");
            }
            let written = output.write_all(&lines).and_then(|()| output.flush());
            match &written {
                Err(e) if !failing => log::error!("access log: cannot write: {e}; lines are lost until it works again"),
                Ok(()) if failing => log::info!("access log: works again"),
                _ => {}
            }
            failing = written.is_err();
            lines.clear();
            if closed {
                self.state.lock().ended = true;
                self.changed.notify_all();
                return;
            }
            thread::sleep(GATHER);
        }
    }
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
    };
    // Writing to a vector cannot fail, and neither can numbers and text.
    let _ = serde_json::to_writer(&mut *line, &fields);
    line.push(b'\n');
}

/// Text that cannot end a line or steer a terminal, whatever is in it.
fn escaped(text: &str) -> Cow<'_, str> {
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
    use std::sync::mpsc;

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
        assert_eq!(value["route"], "/users");
    }

    /// An output that takes nothing until it is told to.
    struct Stuck(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Ends when the sender is dropped: from then on everything is taken.
            let _ = self.0.recv();
            self.1.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_file_that_cannot_keep_up_costs_lines_and_never_a_worker() {
        let (release, gate) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = AccessLog::new(LogFormat::Text, Output(Box::new(Stuck(gate, written.clone())))).expect("a thread");
        let fit = CAPACITY / line(text, &entry()).len();
        log.write(&entry());
        while !log.queue.state.lock().buffer.is_empty() {
            // The writer has not got stuck with it yet.
            thread::yield_now();
        }
        let lines = 1 + 2 * fit;
        for _ in 1..lines {
            log.write(&entry());
        }
        let dropped = log.queue.state.lock().dropped;
        assert_eq!(dropped as usize, fit);
        drop(release);
        log.close();
        let kept = written.lock().iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(kept as u64 + dropped, lines as u64);
    }

    #[test]
    fn close_writes_what_is_waiting() {
        let (release, gate) = mpsc::channel();
        drop(release);
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = AccessLog::new(LogFormat::Text, Output(Box::new(Stuck(gate, written.clone())))).expect("a thread");
        for _ in 0..1_000 {
            log.write(&entry());
        }
        log.close();
        log.write(&entry());
        assert_eq!(written.lock().iter().filter(|byte| **byte == b'\n').count(), 1_000);
    }

    #[test]
    fn an_output_that_takes_nothing_does_not_keep_the_process_from_ending() {
        let (_never, gate) = mpsc::channel();
        let log = AccessLog::new(LogFormat::Text, Output(Box::new(Stuck(gate, Arc::default())))).expect("a thread");
        log.write(&entry());
        log.close();
    }
}
