//! One line a request, through a [`Spool`], so that no worker ever waits for it.

pub mod entry;
mod line;
pub mod privacy;
pub mod template;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use self::entry::Entry;
pub use self::line::escaped;
use self::privacy::{Masks, QueryShown};
use super::spool::{Spool, Trouble};
use crate::config::{self, LogFormat};
use crate::rng::{self, Rng};

/// The log of a process.
pub struct AccessLog {
    settings: ArcSwap<config::AccessLog>,
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
        AccessLog::new(config.clone(), Output::open(config)?)
    }

    fn new(settings: config::AccessLog, Output(output): Output) -> io::Result<Self> {
        Ok(AccessLog { settings: ArcSwap::from_pointee(settings), spool: Spool::start("access-log", output, tell)? })
    }

    /// Lines are written so from now on, and what has not been written yet goes to `output`: a file that was renamed, to be
    /// put away, is left.
    pub fn switch(&self, settings: config::AccessLog, Output(output): Output) {
        self.settings.store(Arc::new(settings));
        self.spool.switch(output);
    }

    /// Opens the file anew: one that was renamed, to be put away, is left.
    pub fn reopen(&self) {
        let settings = self.settings.load();
        match Output::open(&settings) {
            Ok(Output(output)) => self.spool.switch(output),
            Err(error) => log::error!("the access log {} cannot be opened again: {error}", settings.file),
        }
    }

    /// Lines that there was no room for, or that could not be written.
    pub fn lost(&self) -> u64 {
        self.spool.lost()
    }

    /// Whose names are masked.
    pub fn masks(&self) -> Masks {
        self.settings.load().mask
    }

    /// What is shown of a query, where there is one.
    pub fn query(&self) -> QueryShown {
        self.settings.load().query
    }

    /// Adds a line, unless it is one of those of which only some are written.
    pub fn write(&self, mut entry: Entry<'_>) {
        let settings = self.settings.load();
        if let Some(share) = settings.sample.filter(|_| entry.is_routine())
            && rng::with_local(Rng::unit) >= share.as_f64()
        {
            return;
        }
        entry.client = settings.mask.client(entry.client);
        let user = entry.user.map(|user| settings.mask.user(user));
        let entry = Entry { user: user.as_deref(), ..entry };
        let mut line = Vec::with_capacity(160);
        match &settings.format {
            LogFormat::Text => line::text(&mut line, &entry),
            LogFormat::Json => line::json(&mut line, &entry),
            LogFormat::Template(template) => template.write(&mut line, &entry),
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

#[cfg(test)]
#[expect(missing_docs, reason = "only tests see it")]
pub mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::line::{json, text};
    use super::*;

    /// An ordinary one.
    pub fn entry() -> Entry<'static> {
        Entry {
            request: None,
            query: None,
            user: None,
            bytes: (0, 0),
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
