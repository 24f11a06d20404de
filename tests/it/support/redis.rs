//! A real Redis server, on a port of its own, that can be killed, stopped and started again.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::gateway::{directory, send_signal};
use super::{PATIENCE, eventually, nobody};

/// The user that `run` logs in as. Every server has it besides those that a test gives it, and lets it do
/// everything without a password.
pub const USER: &str = "user tests on nopass ~* &* +@all";

/// A running server. Dropped, it is killed.
pub struct Redis {
    pub address: SocketAddr,
    command: Command,
    child: Child,
}

impl Redis {
    pub fn start() -> Self {
        Redis::start_with(&[])
    }

    /// One with more arguments, such as `--requirepass`.
    pub fn start_with(args: &[&str]) -> Self {
        Redis::launch("redis-server", |command, address| {
            data_node(command, address).args(args);
        })
    }

    /// The same by another name: Valkey, where `.ci/need` has put it or else as the system has it.
    pub fn start_valkey() -> Self {
        let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/valkey-server");
        let program = if fetched.exists() { fetched } else { "valkey-server".into() };
        Redis::launch(program.to_str().unwrap(), |command, address| {
            data_node(command, address);
        })
    }

    /// Starts a program on a free port and in a directory of its own. Somebody else may take the port before
    /// the program has it: then it is configured again for the next one.
    pub(super) fn launch(program: &str, configure: impl Fn(&mut Command, SocketAddr)) -> Self {
        let mut said = String::new();
        for _ in 0..5 {
            let (address, directory) = (nobody(), directory());
            let log = directory.join("log");
            let mut command = Command::new(program);
            command.current_dir(directory).stdout(File::create(&log).unwrap()).stderr(Stdio::null());
            configure(&mut command, address);
            if let Some(child) = spawn(&mut command, address) {
                return Redis { address, command, child };
            }
            said = fs::read_to_string(log).unwrap();
        }
        panic!("{program} does not start: {said}");
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
        self.child = eventually("the server to start again", || spawn(&mut self.command, self.address));
    }

    /// Makes it hang: connections stay open and nothing is answered.
    pub fn hang(&self) {
        send_signal(&self.child.id().to_string(), libc::SIGSTOP);
    }

    pub fn go_on(&self) {
        send_signal(&self.child.id().to_string(), libc::SIGCONT);
    }

    /// Runs a command and gives the answer's text: the bulk string, the lines of an array, or the line itself.
    /// It may do everything, whatever users there are; what it costs is an `AUTH` among the `calls`.
    pub fn run(&self, command: &[&str]) -> String {
        ask(self.address, command, PATIENCE).unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }

    /// The same from a server that may be dead or hang, and then gives nothing.
    pub fn try_run(&self, command: &[&str]) -> Option<String> {
        ask(self.address, command, Duration::from_millis(500)).ok()
    }

    /// Runs a command that has to be answered by OK.
    #[track_caller]
    pub fn order(&self, command: &[&str]) {
        assert_eq!(self.run(command), "OK", "{command:?}");
    }

    /// Whether this is one of the lines that a command is answered by.
    pub fn says(&self, command: &[&str], line: &str) -> bool {
        self.try_run(command).is_some_and(|text| text.lines().any(|said| said == line))
    }

    /// Whether it is a replica of `primary`, and both say that it gets every write from here on.
    pub fn follows(&self, primary: &Redis) -> bool {
        let (own, other) = (self.address.port(), primary.address.port());
        let replica = ["role:slave", &format!("master_port:{other}"), "master_link_status:up"];
        let online = |info: String| info.lines().any(|line| line.contains(&format!("port={own},state=online,")));
        replica.iter().all(|line| self.says(&["INFO", "replication"], line))
            && primary.try_run(&["INFO", "replication"]).is_some_and(online)
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

/// Arguments of a server that keeps nothing when it ends. What it has goes to a replica by way of a file:
/// without one it would wait for more replicas first, and after that a second before it passes on a write.
pub(super) fn data_node(command: &mut Command, address: SocketAddr) -> &mut Command {
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", "", "--appendonly", "no"]);
    command.args(["--repl-diskless-sync", "no", "--rdb-del-sync-files", "yes"]);
    command.args(format!("--{USER}").split(' '))
}

/// Starts a server and waits until it answers; nothing if it ends instead.
fn spawn(command: &mut Command, address: SocketAddr) -> Option<Child> {
    let mut child = command.spawn().unwrap_or_else(|e| {
        let program = command.get_program();
        panic!("cannot run {program:?} ({e}); make test installs it, as does .ci/need")
    });
    // Whoever answers may be the one who has taken the port.
    let process = format!("process_id:{}", child.id());
    let up = eventually("a server to answer", || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let info = ask(address, &["INFO", "server"], PATIENCE).ok()?;
        info.lines().any(|line| line == process).then_some(true)
    });
    up.then_some(child)
}

fn ask(address: SocketAddr, command: &[&str], patience: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    let mut request = String::new();
    for words in [&["AUTH", "tests", "any"], command] {
        request += &format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
    }
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    answer(&mut reader)?;
    answer(&mut reader)
}

fn answer(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim_end();
    let (kind, rest) = line.split_at(1);
    Ok(match (kind, rest.parse::<i64>()) {
        ("$", Ok(length)) if length >= 0 => {
            let mut text = vec![0; length as usize + 2];
            reader.read_exact(&mut text)?;
            String::from_utf8_lossy(&text[..length as usize]).into_owned()
        }
        ("*", Ok(count)) if count >= 0 => {
            (0..count).map(|_| answer(reader)).collect::<io::Result<Vec<_>>>()?.join("\n")
        }
        _ => rest.to_owned(),
    })
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A process that is stopped does not see SIGKILL until it goes on; it ends all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
