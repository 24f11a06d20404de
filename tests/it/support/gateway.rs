//! The gateway as a child process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{Connection, Response, eventually};

/// The secret of every test's tokens.
pub const SECRET: &str = "a-secret-of-the-tests-with-enough-bytes";

/// The program, in a directory of its own and with nothing of our environment that it would read.
pub fn aegis(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aegis"));
    command.args(args).current_dir(directory());
    for name in ["PORT", "REDIS_URL", "JWT_SECRET", "AEGIS_CONFIG", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// A fresh directory.
pub fn directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // A process of the same number may have left one behind.
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A running gateway. Dropped, it is interrupted and waited for.
pub struct Gateway {
    pub address: SocketAddr,
    /// Where its config is, `aegis.yaml`.
    pub directory: PathBuf,
    child: Child,
    group: bool,
    stderr: Arc<Mutex<String>>,
    stdout: Arc<Mutex<String>>,
}

/// Starts a gateway on a free port with the given config, whose `listen` is added.
pub fn gateway(config: impl AsRef<str>) -> Gateway {
    Gateway::start(config.as_ref(), &[])
}

/// One with two routes, `/users` and `/up`, that lets everything through.
pub fn open(upstream: &super::Upstream) -> Gateway {
    gateway(format!(
        "routes:\n  - {{ path: /users, targets: {0} }}\n  - {{ path: /up, targets: {0} }}\n",
        upstream.url()
    ))
}

/// One with a route over all of `targets`, which has `extra` as well.
pub fn over(targets: &[String], extra: &str) -> Gateway {
    gateway(format!("routes: [{{ path: /, targets: [{}]{extra} }}]\n", targets.join(", ")))
}

impl Gateway {
    /// Starts a gateway with variables added to its environment.
    pub fn start(config: &str, env: &[(&str, &str)]) -> Self {
        let mut command = aegis(&["run", "-c", "aegis.yaml"]);
        let file = command.get_current_dir().unwrap().join("aegis.yaml");
        fs::write(file, format!("listen: 127.0.0.1:0\n{config}")).unwrap();
        command.env("JWT_SECRET", SECRET).envs(env.iter().copied());
        Gateway::spawn(command)
    }

    /// Starts a prepared command, which has to say where it listens.
    pub fn spawn(command: Command) -> Self {
        Gateway::spawn_as(command, false)
    }

    fn spawn_as(mut command: Command, group: bool) -> Self {
        command.stdout(Stdio::piped());
        Gateway::await_start(command, group)
    }

    /// The same with its access log into `log`.
    pub fn spawn_logging_to(mut command: Command, log: std::io::PipeWriter) -> Self {
        command.stdout(log);
        Gateway::await_start(command, false)
    }

    fn await_start(mut command: Command, group: bool) -> Self {
        let directory = command.get_current_dir().map(PathBuf::from).unwrap_or_default();
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let stderr = collect(child.stderr.take().unwrap());
        let stdout = child.stdout.take().map(collect).unwrap_or_default();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        // From here on it is stopped whatever happens.
        let mut gateway = Gateway { address: nowhere, directory, child, group, stderr, stdout };
        gateway.address = gateway.listens();
        // Its socket is open from the start; that it answers means that it is ready.
        assert_eq!(gateway.get("/gateway/livez").status, 200);
        gateway
    }

    /// Waits until it says where it listens.
    fn listens(&mut self) -> SocketAddr {
        let Gateway { child, stderr, .. } = self;
        eventually("the gateway to listen", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the gateway ended ({status}): {}", stderr.lock().unwrap());
            }
            let said = stderr.lock().unwrap();
            let (_, rest) = said.split_once("listening on http://")?;
            let (address, _) = rest.split_once('\n')?;
            let address: SocketAddr = address.parse().ok()?;
            // One that is to be reached from elsewhere is reached here, too.
            let ip = if address.ip().is_unspecified() { [127, 0, 0, 1].into() } else { address.ip() };
            Some(SocketAddr::new(ip, address.port()))
        })
    }

    /// Another config in place of the one it has, as a whole.
    pub fn configure(&self, config: impl AsRef<str>) {
        let (new, file) = (self.directory.join("aegis.yaml.new"), self.directory.join("aegis.yaml"));
        fs::write(&new, format!("listen: 127.0.0.1:0\n{}", config.as_ref())).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// The same for a command that starts the gateway as its child: signals go to both.
    pub fn spawn_group(mut command: Command) -> Self {
        use std::os::unix::process::CommandExt;
        command.process_group(0);
        Gateway::spawn_as(command, true)
    }

    /// Where it speaks TLS, by a name that the certificates of tests have.
    pub fn https(&self) -> String {
        eventually("TLS", || {
            let said = self.stderr.lock().unwrap();
            let (_, rest) = said.split_once("listening on https://")?;
            Some(format!("https://{}", rest.split_once('\n')?.0))
        })
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its admin listener is.
    pub fn admin(&self) -> SocketAddr {
        eventually("the admin listener", || {
            let said = self.stderr.lock().unwrap();
            let (_, rest) = said.split_once("admin on http")?;
            let (_, rest) = rest.split_once("://")?;
            rest.split_once('\n')?.0.parse().ok()
        })
    }

    /// A request to it.
    pub fn operate(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        let admin = self.admin();
        let own = [("Host", admin.to_string())];
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        let has_host = headers.iter().any(|(name, _)| *name == "Host");
        let headers: Vec<(&str, &str)> = own.filter(|_| !has_host).chain(headers.iter().copied()).collect();
        Connection::open(admin).request(method, target, &headers)
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// A request on a connection of its own.
    pub fn request(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        self.connect().request(method, target, headers)
    }

    pub fn get(&self, target: &str) -> Response {
        self.request("GET", target, &[])
    }

    /// A request with a token for `user`.
    pub fn get_as(&self, user: &str, target: &str) -> Response {
        self.request("GET", target, &[("Authorization", &format!("Bearer {}", super::token(user)))])
    }

    /// Raw bytes on a connection of their own, and the answer.
    pub fn raw(&self, bytes: impl AsRef<[u8]>) -> Response {
        self.connect().send(bytes).answer(false)
    }

    /// The rows of `/gateway/stats`.
    pub fn stats(&self) -> Vec<serde_json::Value> {
        self.get("/gateway/stats").json().as_array().unwrap().clone()
    }

    /// The same once every attempt is settled, which is a moment after its answer has been written.
    pub fn settled_stats(&self) -> Vec<serde_json::Value> {
        eventually("all attempts to be settled", || {
            let rows = self.stats();
            let ended = |row: &serde_json::Value| {
                let count = |name: &str| row[name].as_u64().unwrap();
                count("requests") == count("succeeded") + count("failed") + count("neutral")
            };
            rows.iter().all(ended).then_some(rows)
        })
    }

    /// The states of all rows.
    pub fn states(&self) -> Vec<String> {
        self.stats().iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
    }

    /// What it has said on standard error.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The first line of the program's own log that holds `part`.
    pub fn said(&self, part: &str) -> String {
        eventually(&format!("it to say {part}"), || {
            self.stderr.lock().unwrap().lines().find(|line| line.contains(part)).map(str::to_owned)
        })
    }

    /// The first access-log line that holds `part`.
    pub fn log_line(&self, part: &str) -> String {
        eventually(&format!("a log line with {part}"), || {
            self.stdout.lock().unwrap().lines().find(|line| line.contains(part)).map(str::to_owned)
        })
    }

    /// All lines on standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    pub fn signal(&self, signal: i32) {
        let group = if self.group { "-" } else { "" };
        send_signal(&format!("{group}{}", self.child.id()), signal);
    }

    /// Has it stand still, all of its threads: the signal has been sent long before the last of them hears it.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        eventually("it to stand still", || {
            let mut stats = fs::read_dir(&tasks).unwrap().flatten().map(|task| task.path().join("stat"));
            let is_stopped = |stat: PathBuf| fs::read_to_string(stat).is_ok_and(|stat| stat.contains(") T "));
            stats.all(is_stopped).then_some(())
        });
    }

    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the gateway to end", || child.try_wait().unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // SIGINT ends it at once and in order, so that coverage is written.
        self.signal(libc::SIGINT);
        for _ in 0..400 {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.stderr();
        // Every test is a test that nothing panics.
        if !thread::panicking() {
            assert!(!said.contains("panicked at"), "{said}");
        } else {
            eprintln!("the gateway said:\n{said}");
        }
    }
}

fn collect(from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = text.clone();
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            shared.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    text
}

/// Sends a signal to a process that we have started; with a minus, to its group.
pub fn send_signal(pid: &str, signal: i32) {
    let status = Command::new("kill").args([&format!("-{signal}"), "--", pid]).status().unwrap();
    assert!(status.success(), "kill -{signal} {pid}");
}

impl Gateway {
    /// From now on it can have so many files and sockets; those that it has stay open.
    pub fn limit_files(&self, most: u32) {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &self.child.id().to_string(), &format!("--nofile={most}:")]);
        assert!(prlimit.status().unwrap().success());
    }

    /// The memory that it has resident (`VmRSS:`; `RssAnon:` without what is of files), or the most that it has had (`VmHWM:`), as proc(5) says.
    pub fn memory_kib(&self, row: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(row)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
