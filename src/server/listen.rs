//! Sockets that are opened before anything is served, so that a port that is taken is one clear line and
//! not thirty seconds of retries.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::thread;
use std::time::{Duration, Instant};

use pingora_core::server::Fds;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// How often a socket is tried for that is about to be free.
const RETRY: Duration = Duration::from_millis(20);

/// A listening socket.
#[derive(Debug)]
pub struct Listening {
    /// By which Pingora knows the socket: its address, so that two that were left to the system differ.
    pub name: String,
    /// The address it has, a port that was left to the system filled in.
    pub address: SocketAddr,
    socket: TcpListener,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else does.
    #[error("cannot listen on {address}: port {} is taken{}; stop that process or set {setting} to another port", address.port(), held_by(holder))]
    Taken {
        /// The address.
        address: SocketAddr,
        /// Who, where it can be told.
        holder: Option<String>,
        /// What says where to listen.
        setting: &'static str,
    },
    /// Ports below 1024 need a right.
    #[error(
        "cannot listen on {address}: not permitted; ports below {} need the capability CAP_NET_BIND_SERVICE",
        privileged_below()
    )]
    NotPermitted {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {reason}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        reason: io::Error,
    },
}

fn held_by(holder: &Option<String>) -> String {
    holder.as_ref().map_or_else(String::new, |holder| format!(" by {holder}"))
}

/// The first port that anybody may listen on.
fn privileged_below() -> String {
    let setting = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    setting.map_or_else(|_| "1024".to_owned(), |text| text.trim().to_owned())
}

impl Listening {
    /// Opens a socket at `address`, which is what `setting` says.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn open(address: SocketAddr, setting: &'static str) -> Result<Self, ListenError> {
        let socket = bind(address).map_err(|reason| match reason.kind() {
            io::ErrorKind::AddrInUse => ListenError::Taken { address, holder: holder(address.port()), setting },
            io::ErrorKind::PermissionDenied => ListenError::NotPermitted { address },
            _ => ListenError::Other { address, reason },
        })?;
        let actual = socket.local_addr().map_err(|reason| ListenError::Other { address, reason })?;
        Ok(Listening { name: actual.to_string(), address: actual, socket })
    }

    /// The same, where whoever has it is about to leave: tries again until then.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn open_within(patience: Duration, address: SocketAddr, setting: &'static str) -> Result<Self, ListenError> {
        let until = Instant::now() + patience;
        loop {
            match Listening::open(address, setting) {
                Err(ListenError::Taken { .. }) if Instant::now() < until => thread::sleep(RETRY),
                opened => return opened,
            }
        }
    }

    /// The socket that listens at `address` already.
    pub fn inherited(address: SocketAddr, socket: TcpListener) -> Self {
        Listening { name: address.to_string(), address, socket }
    }

    /// The same socket once more, to be handed to another process.
    ///
    /// # Errors
    /// The system gives no more descriptors.
    pub fn share(&self) -> io::Result<TcpListener> {
        self.socket.try_clone()
    }

    /// Gives the socket to Pingora, which looks for it under its name before it opens one.
    pub fn hand_over(self, fds: &mut Fds) {
        fds.add(self.name, self.socket.into_raw_fd());
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a process before this one may still be in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Who listens on a port: `nginx (process 4711)`, as far as this user may know.
fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().skip(1).filter_map(|line| listening_inode(line, port)).collect::<Vec<_>>())
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| holds(*pid, &inodes))?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{} (process {pid})", name.trim()))
}

/// The inode of the socket that a line of `/proc/net/tcp` tells of, if it listens on `port`.
fn listening_inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let its_port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    // 0A is LISTEN in the kernel's tcp_states.h.
    (its_port == port && *state == "0A").then(|| format!("socket:[{inode}]"))
}

fn holds(pid: u32, inodes: &[String]) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| {
        std::fs::read_link(file.path()).is_ok_and(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder() {
        let first = Listening::open("127.0.0.1:0".parse().expect("an address"), "listen:").expect("free");
        assert_ne!(first.address.port(), 0);
        let error = Listening::open(first.address, "listen:").expect_err("taken").to_string();
        assert!(error.contains(&format!("port {} is taken by", first.address.port())), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(error.ends_with("set listen: to another port"), "{error}");
        assert_eq!(error.lines().count(), 1);
    }

    #[test]
    fn other_reasons_are_passed_on() {
        let error = Listening::open("203.0.113.1:80".parse().expect("an address"), "listen:").expect_err("not ours");
        assert!(matches!(error, ListenError::Other { .. }), "{error}");
    }
}
