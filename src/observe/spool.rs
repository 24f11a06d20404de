//! Lines that are written without ever keeping whoever has them waiting.
//!
//! They are appended to a buffer in memory; a thread of its own swaps the buffer out and writes it, many
//! lines with one system call. The buffer is bounded: while the output does not keep up, lines are dropped
//! and counted, and the count is told as soon as there is room.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Bytes that may wait to be written. At 100 bytes a line, some 40,000 lines.
const CAPACITY: usize = 4 * 1024 * 1024;
/// How long the end of the process waits for the last lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines are gathered this long before they are written.
const GATHER: Duration = Duration::from_millis(10);

/// What is wrong with an output, or not any more.
#[derive(Debug)]
pub enum Trouble {
    /// So many lines were dropped.
    Dropped(u64),
    /// It takes nothing, for this reason.
    Failing(io::Error),
    /// It does again.
    Over,
}

/// What makes a trouble known. A line that it gives is written to the output itself.
pub type Tell = fn(&Trouble) -> Option<String>;

type Output = Box<dyn Write + Send>;

/// A buffer and the thread that writes it out.
pub struct Spool(Arc<Queue>);

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

impl Spool {
    /// One that writes to `output`, from a thread of this name.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(name: &str, output: Output, tell: Tell) -> io::Result<Self> {
        let queue = Arc::new(Queue { state: Mutex::new(State::default()), changed: Condvar::new() });
        let shared = queue.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || shared.drain(output, tell))?;
        Ok(Spool(queue))
    }

    /// What has not been written yet goes to `output`.
    pub fn switch(&self, output: Output) {
        self.0.state.lock().next = Some(output);
        self.0.changed.notify_all();
    }

    /// Lines that there was no room for, or that the output did not take.
    pub fn lost(&self) -> u64 {
        self.0.state.lock().lost
    }

    /// Adds a line, or several.
    pub fn push(&self, line: &[u8]) {
        let mut state = self.0.state.lock();
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
            self.0.changed.notify_one();
        }
    }

    /// Writes what is waiting, and ends the writer. Later lines are dropped, and so is what an output that
    /// takes nothing has not taken in time.
    pub fn close(&self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        self.0.changed.notify_all();
        self.0.changed.wait_while_for(&mut state, |state| !state.ended, PATIENCE);
    }
}

impl Queue {
    /// The writer's loop.
    fn drain(&self, mut output: Output, tell: Tell) {
        let mut lines = Vec::new();
        let (mut failing, mut is_torn) = (false, false);
        loop {
            let (dropped, closed) = {
                let mut state = self.state.lock();
                while state.buffer.is_empty() && !state.closed && state.next.is_none() {
                    state.idle = true;
                    self.changed.wait(&mut state);
                }
                state.idle = false;
                if let Some(next) = state.next.take() {
                    output = next;
                }
                std::mem::swap(&mut lines, &mut state.buffer);
                (std::mem::take(&mut state.dropped), state.closed)
            };
            if is_torn && !lines.is_empty() {
                // What was broken off is a line of its own.
                lines.insert(0, b'\n');
            }
            let told = (dropped > 0).then(|| tell(&Trouble::Dropped(dropped))).flatten().unwrap_or_default();
            lines.extend_from_slice(told.as_bytes());
            let (taken, written) = write(&mut *output, &lines);
            let (before, rest) = lines.split_at(taken);
            is_torn = before.last().map_or(is_torn, |last| *last != b'\n');
            if !rest.is_empty() {
                self.lose(count_lines(rest).saturating_sub(count_lines(told.as_bytes())), dropped);
            }
            let is_written = written.is_ok();
            let trouble = match written {
                Err(error) if !failing => Some(Trouble::Failing(error)),
                Ok(()) if failing => Some(Trouble::Over),
                _ => None,
            };
            lines.clear();
            lines.extend_from_slice(trouble.as_ref().and_then(tell).unwrap_or_default().as_bytes());
            failing = !is_written;
            if closed {
                self.state.lock().ended = true;
                self.changed.notify_all();
                return;
            }
            thread::sleep(GATHER);
        }
    }

    /// So many lines are lost; and that others were `dropped` could not be told.
    fn lose(&self, lines: u64, dropped: u64) {
        let mut state = self.state.lock();
        state.lost += lines;
        state.dropped += lines + dropped;
    }
}

/// How many bytes an output takes, and why it takes no more.
fn write(output: &mut dyn Write, lines: &[u8]) -> (usize, io::Result<()>) {
    let mut taken = 0;
    while taken < lines.len() {
        match output.write(&lines[taken..]) {
            Ok(0) => return (taken, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => taken += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, output.flush())
}

fn count_lines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LINE: &[u8] = b"[GET] /users 200 (3ms) [9b2e]\n";

    /// An output that takes nothing until it is told to, and what it has taken.
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

    /// One that fails as often as it says.
    struct Failing(u32, Arc<Mutex<Vec<u8>>>);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(left) = self.0.checked_sub(1) {
                self.0 = left;
                return Err(io::Error::other("full"));
            }
            self.1.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn tell(trouble: &Trouble) -> Option<String> {
        Some(match trouble {
            Trouble::Dropped(_) => "dropped\n".to_owned(),
            Trouble::Failing(error) => format!("failing: {error}\n"),
            Trouble::Over => "over\n".to_owned(),
        })
    }

    fn stuck() -> (mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>, Spool) {
        let (release, gate) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let spool = Spool::start("test", Box::new(Stuck(gate, written.clone())), tell).expect("a thread");
        (release, written, spool)
    }

    fn count(written: &Mutex<Vec<u8>>, line: &[u8]) -> usize {
        written.lock().split_inclusive(|byte| *byte == b'\n').filter(|other| *other == line).count()
    }

    #[test]
    fn an_output_that_cannot_keep_up_costs_lines_and_never_a_worker() {
        let (release, written, spool) = stuck();
        let fit = CAPACITY / LINE.len();
        spool.push(LINE);
        while !spool.0.state.lock().buffer.is_empty() {
            // The writer has not got stuck with it yet.
            thread::yield_now();
        }
        (0..2 * fit).for_each(|_| spool.push(LINE));
        assert_eq!(spool.lost() as usize, fit);
        drop(release);
        spool.close();
        assert_eq!((count(&written, LINE), count(&written, b"dropped\n")), (1 + fit, 1));
    }

    #[test]
    fn close_writes_what_is_waiting() {
        let (release, written, spool) = stuck();
        drop(release);
        (0..1_000).for_each(|_| spool.push(LINE));
        spool.close();
        spool.push(LINE);
        assert_eq!(count(&written, LINE), 1_000);
    }

    #[test]
    fn an_output_that_takes_nothing_does_not_keep_the_process_from_ending() {
        let (_never, _written, spool) = stuck();
        spool.push(LINE);
        spool.close();
    }

    /// One that is full after so many bytes, until there is room again.
    struct Full(Arc<Mutex<(usize, Vec<u8>)>>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.lock();
            let fits = bytes.len().min(state.0);
            state.0 -= fits;
            state.1.extend_from_slice(&bytes[..fits]);
            if fits == 0 { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(fits) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// They were counted nowhere, and what came next was glued to half a line.
    #[test]
    fn lines_that_an_output_does_not_take_are_counted_and_break_no_others() {
        let disk = Arc::new(Mutex::new((LINE.len() * 5 / 2, Vec::new())));
        let spool = Spool::start("test", Box::new(Full(disk.clone())), tell).expect("a thread");
        spool.push(&LINE.repeat(10));
        while spool.lost() == 0 {
            thread::yield_now();
        }
        assert_eq!(spool.lost(), 8);
        disk.lock().0 = CAPACITY;
        spool.push(LINE);
        spool.close();
        let written = disk.lock().1.clone();
        let lines: Vec<&[u8]> = written.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.iter().filter(|line| **line == LINE).count(), 3, "{}", String::from_utf8_lossy(&written));
        assert!(lines.contains(&&b"dropped\n"[..]), "{}", String::from_utf8_lossy(&written));
    }

    #[test]
    fn the_end_of_failures_is_told_once() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let spool = Spool::start("test", Box::new(Failing(2, written.clone())), tell).expect("a thread");
        while count(&written, b"over\n") == 0 {
            spool.push(LINE);
            thread::yield_now();
        }
        spool.close();
        assert!(count(&written, LINE) > 0);
        assert_eq!(count(&written, b"over\n"), 1);
    }
}
