//! Where a process that listens can be asked for its sockets, and how sockets go from one process to another.
//!
//! Each has a socket of its own in the abstract namespace (unix(7)), which leaves no file behind. Its name ends with what nobody can guess,
//! so nobody can be there first; whoever looks for it finds it in `/proc/net/unix`. Anybody on the machine can listen there, or come,
//! so each side looks at whom it speaks with (`SO_PEERCRED`): a process of its own user, or nobody.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use rustix::process::geteuid;
use uuid::Uuid;

const NAME: &str = "aegis-gateway/";
/// So many sockets go along at most (`SCM_MAX_FD` of the kernel).
const MOST: usize = 253;

/// A process at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// That of this number.
    Number(u32),
    /// One of a PID namespace whose numbers mean nothing here, as in another container.
    Elsewhere,
}

/// For people.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Process::Number(pid) => write!(f, "process {pid}"),
            Process::Elsewhere => f.write_str("the process of another PID namespace"),
        }
    }
}

/// Where this process can be asked.
///
/// # Errors
/// The system gives no socket.
pub fn listen() -> io::Result<UnixListener> {
    let name = format!("{NAME}{}/{}", std::process::id(), Uuid::new_v4().simple());
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Connections to all processes of this user that can be asked.
pub fn others() -> Vec<(Process, UnixStream)> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    // An abstract name is shown with an @ in front. Connections have the name of whoever was connected to.
    let mut names: Vec<&str> = table.lines().filter_map(|line| line.split_once('@')).map(|(_, name)| name).collect();
    names.retain(|name| name.starts_with(NAME));
    names.sort_unstable();
    names.dedup();
    let ask = |name: &str| {
        let stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).ok()?).ok()?;
        let process = peer(&stream).filter(|process| *process != Process::Number(std::process::id()))?;
        Some((process, stream))
    };
    names.into_iter().filter_map(ask).collect()
}

/// The process at the other end, if it is one of this user.
pub fn peer(stream: &UnixStream) -> Option<Process> {
    // Not by rustix, which has it that every process has a number.
    let peer = getsockopt(stream, PeerCredentials).ok()?;
    let process = match u32::try_from(peer.pid()).ok()? {
        0 => Process::Elsewhere,
        pid => Process::Number(pid),
    };
    (peer.uid() == geteuid().as_raw()).then_some(process)
}

/// Sends a word, and sockets with it.
///
/// # Errors
/// The other end is gone, or there are too many.
pub fn send(stream: &UnixStream, word: &[u8], sockets: &[TcpListener]) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if fds.len() > MOST || !(fds.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(&fds))) {
        return Err(io::Error::other(format!("{} sockets are too many to be handed over", fds.len())));
    }
    sendmsg(stream, &[IoSlice::new(word)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// A word of up to 16 bytes, and the sockets that came with it.
///
/// # Errors
/// The other end says nothing, or is gone.
pub fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<TcpListener>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0; 16];
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut word)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let sockets = rights.flatten().map(TcpListener::from).collect();
    Ok((word.get(..received.bytes).unwrap_or_default().to_vec(), sockets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().expect("sockets")
    }

    fn listening() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").expect("a free port")
    }

    #[test]
    fn sockets_pass_from_one_process_to_another() {
        let (here, there) = pair();
        let sockets: Vec<TcpListener> = (0..3).map(|_| listening()).collect();
        send(&here, b"sockets", &sockets).expect("sent");
        let (word, received) = receive(&there).expect("received");
        let addresses = |sockets: &[TcpListener]| -> Vec<_> {
            sockets.iter().map(|socket| socket.local_addr().expect("an address")).collect()
        };
        assert_eq!((&word[..], addresses(&received)), (&b"sockets"[..], addresses(&sockets)));
        drop(sockets);
        std::net::TcpStream::connect(addresses(&received)[1]).expect("it listens");
    }

    #[test]
    fn a_word_needs_no_sockets_and_an_end_is_no_word() {
        let (here, there) = pair();
        send(&here, b"busy", &[]).expect("sent");
        assert_eq!(receive(&there).expect("received").0, b"busy");
        drop(here);
        assert_eq!(receive(&there).expect("the end").0, b"");
    }

    #[test]
    fn more_sockets_than_can_go_along_are_an_error() {
        let (here, _there) = pair();
        let socket = listening();
        let sockets: Vec<TcpListener> = (0..=MOST).map(|_| socket.try_clone().expect("a socket")).collect();
        let error = send(&here, b"sockets", &sockets).expect_err("too many").to_string();
        assert!(error.contains("254 sockets are too many"), "{error}");
    }

    #[test]
    fn where_a_process_can_be_asked_is_found_and_not_by_itself() {
        let listener = listen().expect("a socket");
        let ourselves = Process::Number(std::process::id());
        assert!(others().iter().all(|(process, _)| *process != ourselves));
        let (here, there) = pair();
        assert_eq!((peer(&here), peer(&there)), (Some(ourselves), Some(ourselves)));
        drop(listener);
    }
}
