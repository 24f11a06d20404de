//! Sockets that go from a process to the one that takes its place, so that nobody who connects meanwhile is turned away.
//!
//! ```text
//! new: connects                            old: sockets (or: ended)
//! new: take, if one of them is its own     old: given (or: busy)
//! new: ready, when it has settled in       old: yours; drains
//! ```
//! Until it says "yours", the old process goes on as if nothing had been, whatever becomes of the new one; and unless it has heard that, the
//! new one does not serve. So there is always one, and there are never two.

mod meeting;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::meeting::Process;

/// A word of the other side comes by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Before it is tried again to hear who asks.
const BREATH: Duration = Duration::from_millis(100);

/// The old one's: its sockets come with it.
const SOCKETS: &[u8] = b"sockets";
/// They are the new one's as well.
const GIVEN: &[u8] = b"given";
/// Another one has taken them, and is not ready yet.
const BUSY: &[u8] = b"busy";
/// It has closed its sockets, and is about to end.
const ENDED: &[u8] = b"ended";
/// The place is the new one's.
const YOURS: &[u8] = b"yours";
/// The new one's: these are the sockets that it wants.
const TAKE: &[u8] = b"take";
/// It can do without the old one.
const READY: &[u8] = b"ready";

/// Why sockets are not taken over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// Another upgrade is under way.
    #[error("another process takes over from {0} already; wait for it, or end it")]
    Busy(Process),
    /// The old process is there, and does not say that the place is given.
    #[error("{0} goes on: it did not give its place away")]
    Kept(Process),
}

/// What a new process has from the one before.
pub struct Inheritance {
    sockets: Vec<TcpListener>,
    from: Option<(Process, UnixStream)>,
    /// Whether a process that had such sockets is about to end, so that they are free in a moment.
    pub is_ending: bool,
}

impl Inheritance {
    /// Asks the processes of this user for the sockets at `addresses`. Where nobody has one, it is empty.
    ///
    /// # Errors
    /// Somebody has, and does not give it.
    pub fn claim(addresses: &[SocketAddr]) -> Result<Self, HandoverError> {
        let mut is_ending = false;
        for (process, stream) in meeting::others() {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let Ok((word, sockets)) = meeting::receive(&stream) else { continue };
            match &word[..] {
                ENDED => is_ending = true,
                SOCKETS => {
                    let listens: Vec<SocketAddr> = sockets.iter().filter_map(|it| it.local_addr().ok()).collect();
                    if addresses.iter().any(|address| listens.contains(address)) {
                        let given = meeting::send(&stream, TAKE, &[]).and_then(|()| meeting::receive(&stream));
                        return match given {
                            Ok((word, _)) if word == GIVEN => {
                                log::info!("{process} hands over its sockets");
                                Ok(Inheritance { sockets, from: Some((process, stream)), is_ending: false })
                            }
                            Ok((word, _)) if word == BUSY => Err(HandoverError::Busy(process)),
                            _ => Err(HandoverError::Kept(process)),
                        };
                    }
                    let listens: Vec<String> = listens.iter().map(SocketAddr::to_string).collect();
                    log::info!("{process} is another gateway, at {}", listens.join(" and "));
                }
                _ => {}
            }
        }
        Ok(Inheritance { sockets: Vec::new(), from: None, is_ending })
    }

    /// Whether there is a process to take over from.
    pub fn is_from_somebody(&self) -> bool {
        self.from.is_some()
    }

    /// Takes out the socket that listens there, if there is one.
    pub fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let place = self.sockets.iter().position(|socket| socket.local_addr().is_ok_and(|local| local == address))?;
        Some(self.sockets.swap_remove(place))
    }

    /// Says of sockets that nobody has taken out that they are not listened on any more.
    pub fn leave_rest(&mut self) {
        for address in self.sockets.drain(..).filter_map(|socket| socket.local_addr().ok()) {
            log::warn!("nobody listens at {address} any more once the process before has ended");
        }
    }

    /// The place of the old process is taken.
    ///
    /// # Errors
    /// It is there and does not give it. Then it serves on, and this one must not.
    pub fn relieve(self) -> Result<(), HandoverError> {
        let Some((process, stream)) = self.from else { return Ok(()) };
        let given = meeting::send(&stream, READY, &[]).and_then(|()| meeting::receive(&stream));
        match given {
            Ok((word, _)) if word == YOURS => Ok(()),
            // Where it has ended, there is nobody to share the place with.
            _ if !is_running(process) => Ok(()),
            _ => Err(HandoverError::Kept(process)),
        }
    }
}

fn is_running(process: Process) -> bool {
    match process {
        Process::Number(pid) => {
            // One that has ended is there until its parent has asked how (proc(5)): Z. Its name, in brackets, may hold anything.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
            !matches!(state, None | Some('Z' | 'X'))
        }
        // Nobody can tell.
        Process::Elsewhere => true,
    }
}

/// The sockets of this process, for whoever takes its place.
pub struct Estate {
    sockets: Mutex<Vec<TcpListener>>,
    /// Whether somebody has them who is not ready yet.
    is_claimed: AtomicBool,
    /// Rung when somebody is.
    pub relieved: Notify,
}

impl Estate {
    /// Nobody can ask for them yet.
    pub fn new(sockets: Vec<TcpListener>) -> Self {
        Estate { sockets: Mutex::new(sockets), is_claimed: AtomicBool::new(false), relieved: Notify::new() }
    }

    /// Lets processes of this user ask for the sockets, on a thread that waits for them. Whoever has inherited them has none to give
    /// before the place is its own.
    pub fn offer(self: Arc<Self>) {
        if let Err(error) = self.wait() {
            log::warn!("this process cannot be upgraded, it can be ended and started: {error}");
        }
    }

    fn wait(self: Arc<Self>) -> io::Result<()> {
        let listener = meeting::listen()?;
        thread::Builder::new().name("handover".into()).spawn(move || self.answer(&listener)).map(drop)
    }

    /// The sockets are closed: there is nothing to be handed over any more.
    pub fn close(&self) {
        self.sockets.lock().clear();
    }

    /// Whether somebody has asked for them.
    pub fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Acquire)
    }

    fn answer(self: &Arc<Self>, listener: &UnixListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Where there are no descriptors left, there are none at once.
                thread::sleep(BREATH);
                continue;
            };
            // Whoever it is, it is not kept waiting by another one.
            if meeting::peer(&stream).is_some() {
                let estate = self.clone();
                let spawned = thread::Builder::new().name("successor".into()).spawn(move || estate.hand_over(&stream));
                spawned.err().iter().for_each(|error| log::error!("no sockets can be handed over: {error}"));
            }
        }
    }

    /// Hands the sockets to whoever is there, and waits until that one is ready or gone.
    fn hand_over(&self, stream: &UnixStream) {
        let say = |word: &[u8]| meeting::send(stream, word, &[]).is_ok();
        let hears = |word: &[u8]| meeting::receive(stream).is_ok_and(|(heard, _)| heard == word);
        let offered = {
            let sockets = self.sockets.lock();
            if sockets.is_empty() { None } else { Some(meeting::send(stream, SOCKETS, &sockets)) }
        };
        match offered {
            None => {
                say(ENDED);
                return;
            }
            // It has found whom it looked for, and was gone before it heard of us.
            Some(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => return,
            Some(Err(error)) => return log::error!("no sockets can be handed over: {error}"),
            Some(Ok(())) => {}
        }
        // Gateways elsewhere look at us, too, and go.
        if !hears(TAKE) {
            return;
        }
        if self.is_claimed.swap(true, Ordering::AcqRel) {
            say(BUSY);
            return;
        }
        if say(GIVEN) && hears(READY) && say(YOURS) {
            return self.relieved.notify_one();
        }
        log::warn!("this process goes on: the new one has ended before it was ready");
        self.is_claimed.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_and_that_nobody_has_asked_how_does_not_run() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
        assert!(is_running(Process::Number(child.id())));
        child.kill().expect("ended");
        let begun = std::time::Instant::now();
        while is_running(Process::Number(child.id())) && begun.elapsed().as_secs() < 10 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(!is_running(Process::Number(child.id())));
        child.wait().expect("how it ended");
        assert!(!is_running(Process::Number(child.id())));
    }
}
