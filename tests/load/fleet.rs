//! Instances of a service, each a process of its own, that can be killed, stopped and started again.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use crate::support::gateway::send_signal;
use crate::support::{eventually, nobody};

/// The program, built by the same Cargo as this one.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--workspace", "--bins"]);
    // What Cargo tells a test would make it build everything anew.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_")) {
        if !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&name.as_str()) {
            build.env_remove(name);
        }
    }
    assert!(build.status().unwrap().success());
    Path::new(env!("CARGO_BIN_EXE_aegis")).with_file_name("user-service")
});

/// One instance. Dropped, it is killed.
pub struct Instance {
    pub address: SocketAddr,
    child: Child,
}

impl Instance {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let address = nobody();
        Instance { address, child: launch(address) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As by `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, where it was.
    pub fn restart(&mut self) {
        self.child = launch(self.address);
    }

    /// As by `kill -STOP`: what it has stays open, and the system takes new connections for it.
    pub fn stop(&self) {
        send_signal(&self.child.id().to_string(), libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        send_signal(&self.child.id().to_string(), libc::SIGCONT);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(address: SocketAddr) -> Child {
    let mut command = Command::new(&*PROGRAM);
    command.env("PORT", address.port().to_string()).stdout(Stdio::null());
    let child = command.spawn().unwrap();
    eventually("an instance to listen", || TcpStream::connect(address).ok());
    child
}
