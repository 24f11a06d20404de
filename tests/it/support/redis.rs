//! A real Redis server, on a port of its own, that can be killed, stopped and started again.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use super::gateway::{directory, send_signal};
use super::{eventually, nobody};

/// A running server. Dropped, it is killed.
pub struct Redis {
    pub address: SocketAddr,
    child: Child,
}

impl Redis {
    pub fn start() -> Self {
        // A free port may be taken by somebody else before Redis has it: then on to the next one.
        for _ in 0..5 {
            if let Some(redis) = Redis::try_start(nobody()) {
                return redis;
            }
        }
        panic!("redis-server does not start");
    }

    fn try_start(address: SocketAddr) -> Option<Self> {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
            .arg(address.port().to_string())
            .current_dir(directory())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|e| {
            panic!("cannot run redis-server ({e}); install it: apt-get install redis-server, or brew install redis")
        });
        let up = eventually("redis-server to answer", || {
            if child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            TcpStream::connect(address).is_ok().then_some(true)
        });
        up.then_some(Redis { address, child })
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was, empty.
    pub fn restart(&mut self) {
        *self = eventually("redis-server to start again", || Redis::try_start(self.address));
    }

    /// Makes it hang: connections stay open and nothing is answered.
    pub fn hang(&self) {
        send_signal(&self.child.id().to_string(), libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        send_signal(&self.child.id().to_string(), libc::SIGCONT);
    }

    /// Runs a command and gives the answer's text: the bulk string, the lines of an array, or the line itself.
    pub fn run(&self, command: &[&str]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let mut request = format!("*{}\r\n", command.len());
        for word in command {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(request.as_bytes()).unwrap();
        answer(&mut BufReader::new(stream))
    }

    /// What a counter of a fixed window has counted.
    pub fn count(&self, key: &str) -> u32 {
        let value = self.run(&["GET", key]);
        value.rsplit(' ').next().unwrap().parse().unwrap_or_else(|e| panic!("{e}: {value}"))
    }

    /// A figure of `INFO commandstats`, such as `cmdstat_evalsha:calls`.
    pub fn calls(&self, command: &str) -> u64 {
        let info = self.run(&["INFO", "commandstats"]);
        let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
        line.and_then(|line| line.split_once("calls=")?.1.split(',').next()?.parse().ok()).unwrap_or(0)
    }
}

fn answer(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let line = line.trim_end();
    let (kind, rest) = line.split_at(1);
    match (kind, rest.parse::<i64>()) {
        ("$", Ok(length)) if length >= 0 => {
            let mut text = vec![0; length as usize + 2];
            reader.read_exact(&mut text).unwrap();
            String::from_utf8_lossy(&text[..length as usize]).into_owned()
        }
        ("*", Ok(count)) if count >= 0 => (0..count).map(|_| answer(reader)).collect::<Vec<_>>().join("\n"),
        _ => rest.to_owned(),
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A process that is stopped does not see SIGKILL until it goes on; it ends all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
