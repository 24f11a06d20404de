//! Sockets that go from a process to the one that takes its place, so that nobody who connects meanwhile is turned away.
//!
//! The new process waits on a socket of the machine that is named after the old one, and sends that SIGQUIT. The old one
//! connects there and sends its listening sockets along (`SCM_RIGHTS`, unix(7)). From then on both take connections. When the
//! new one says that it is ready, the old one begins to drain; if it ends before, the old one goes on as if nothing had been.
//!
//! Anybody on the machine can wait on such a socket, so each side looks at whom it speaks with (`SO_PEERCRED`).

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg, sockopt,
};
use rustix::process::{Pid, Signal, Uid, geteuid, kill_process};

/// The old process is to come by then.
const COMING: Duration = Duration::from_secs(5);
/// How often somebody looks whether it has.
const LOOK: Duration = Duration::from_millis(5);
/// The new process is to be ready by then.
const SETTLING: Duration = Duration::from_secs(60);
/// So many sockets go along at most (`SCM_MAX_FD` of the kernel).
const MOST: usize = 253;
/// The words of the new process, once it can do without the old one.
const READY: &[u8] = b"ready";
/// Those of the old one, beside its sockets.
const SOCKETS: &[u8] = b"sockets";

/// Why nothing was handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// Nobody waits.
    #[error("no process waits for the sockets; start one with `aegis run --upgrade`, which sends SIGQUIT by itself")]
    Nobody,
    /// Somebody else waits.
    #[error("the sockets are not for a process of user {0}")]
    Stranger(u32),
    /// The old process did not come.
    #[error("process {0} did not hand its sockets over within {within} s", within = COMING.as_secs())]
    Late(i32),
    /// The new process has ended.
    #[error("the new process has ended before it was ready")]
    Ended,
    /// The system says no.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// What a new process has from the one before.
pub struct Inheritance {
    sockets: Vec<TcpListener>,
    predecessor: UnixStream,
}

impl Inheritance {
    /// Has process `pid` hand its sockets over.
    ///
    /// # Errors
    /// Why it does not.
    pub fn claim(pid: i32) -> Result<Self, HandoverError> {
        let listener = UnixListener::bind_addr(&meeting(pid)?)?;
        listener.set_nonblocking(true)?;
        let process = Pid::from_raw(pid).ok_or(io::Error::from(io::ErrorKind::NotFound))?;
        kill_process(process, Signal::QUIT).map_err(io::Error::from)?;
        let until = Instant::now() + COMING;
        let predecessor = loop {
            match listener.accept() {
                // Others may come; that one is told by its number.
                Ok((stream, _)) if peer(&stream)?.pid == process => break stream,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK),
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= until {
                return Err(HandoverError::Late(pid));
            }
        };
        predecessor.set_nonblocking(false)?;
        predecessor.set_read_timeout(Some(COMING))?;
        let sockets = receive(&predecessor)?;
        Ok(Inheritance { sockets, predecessor })
    }

    /// Takes out the socket that listens there, if there is one.
    pub fn take(&mut self, address: std::net::SocketAddr) -> Option<TcpListener> {
        let place = self.sockets.iter().position(|socket| socket.local_addr().is_ok_and(|local| local == address))?;
        Some(self.sockets.swap_remove(place))
    }

    /// The old process is not needed any more.
    pub fn relieve(mut self) {
        // Should it be gone, all is well, too.
        let _ = self.predecessor.write_all(READY);
    }
}

/// Hands `sockets` to the process that waits for those of this one, and waits until it is ready.
///
/// # Errors
/// Why all stays as it is.
pub fn hand_over(sockets: &[TcpListener]) -> Result<(), HandoverError> {
    let own = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    let mut successor = UnixStream::connect_addr(&meeting(own)?).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => HandoverError::Nobody,
        _ => error.into(),
    })?;
    let user = peer(&successor)?.uid;
    if !may_have(user, geteuid()) {
        return Err(HandoverError::Stranger(user.as_raw()));
    }
    send(&successor, sockets)?;
    successor.set_read_timeout(Some(SETTLING))?;
    let mut words = [0; READY.len()];
    match successor.read_exact(&mut words) {
        Ok(()) if words == READY => Ok(()),
        _ => Err(HandoverError::Ended),
    }
}

/// Whether a process of `user` may have the sockets of one that runs as `own`: who could take them anyhow.
fn may_have(user: Uid, own: Uid) -> bool {
    user == own || user.is_root()
}

/// Where the successor of a process waits: in the abstract namespace (unix(7)), which leaves no file behind.
fn meeting(pid: i32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("aegis-gateway/upgrade/{pid}"))
}

fn peer(stream: &UnixStream) -> io::Result<rustix::net::UCred> {
    Ok(sockopt::socket_peercred(stream)?)
}

fn send(stream: &UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MOST || !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other(format!("{} sockets are too many to be handed over", fds.len())));
    }
    sendmsg(stream, &[IoSlice::new(SOCKETS)], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

fn receive(stream: &UnixStream) -> io::Result<Vec<TcpListener>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut words = [0; SOCKETS.len()];
    recvmsg(stream, &mut [IoSliceMut::new(&mut words)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok(rights.flatten().map(TcpListener::from).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_for_the_same_user_and_for_root() {
        let user = |number| Uid::from_raw(number);
        assert!(may_have(user(1_000), user(1_000)));
        assert!(may_have(Uid::ROOT, user(1_000)));
        assert!(!may_have(user(1_001), user(1_000)));
        assert!(!may_have(user(1_000), Uid::ROOT));
    }

    #[test]
    fn sockets_pass_from_one_process_to_another() {
        let (here, there) = UnixStream::pair().unwrap();
        let sockets: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        send(&here, &sockets).unwrap();
        let received = receive(&there).unwrap();
        let addresses =
            |sockets: &[TcpListener]| -> Vec<_> { sockets.iter().map(|s| s.local_addr().unwrap()).collect() };
        assert_eq!(addresses(&received), addresses(&sockets));
        drop(sockets);
        std::net::TcpStream::connect(received[1].local_addr().unwrap()).unwrap();
    }

    #[test]
    fn more_sockets_than_can_go_along_are_an_error() {
        let (here, _there) = UnixStream::pair().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets: Vec<TcpListener> = (0..=MOST).map(|_| socket.try_clone().unwrap()).collect();
        assert!(send(&here, &sockets).unwrap_err().to_string().contains("254 sockets are too many"));
    }
}
