//! A real server of gRPC that knows its health protocol: the one that gRPC's makers offer for Python.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A server on a free port of the loopback. Dropped, it ends.
pub struct Grpc {
    port: u16,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Grpc {
    pub fn start() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("python3");
        command.arg(root.join("tests/it/support/serve_grpc.py")).env("PYTHONPATH", root.join("target/tools/grpcio"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut server = Grpc { port: 0, child, input, output };
        let said = server.line();
        server.port = said.parse().unwrap_or_else(|_| panic!("it said {said:?}; install it: .ci/need grpcio"));
        server
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// What it says of `service`.
    pub fn says(&mut self, service: &str, serving: bool) {
        writeln!(self.input, "{service} {}", if serving { "SERVING" } else { "NOT_SERVING" }).unwrap();
        assert_eq!(self.line(), "ok");
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same as a target that is spoken to by HTTP/2.
    pub fn target(&self) -> String {
        format!("h2c://127.0.0.1:{}", self.port)
    }
}

/// Calls a method of the echo service at an address, as gRPC's own library does. What it says of that: what came, the
/// status, the trailing metadata.
pub fn call(address: &str, method: &str, metadata: &[&str], ca: Option<&std::path::Path>) -> [String; 3] {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.arg(root.join("tests/it/support/call_grpc.py")).args([address, method]).args(metadata);
    command.env("PYTHONPATH", root.join("target/tools/grpcio")).env_remove("http_proxy");
    if let Some(ca) = ca {
        command.env("GRPC_CA", ca);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(str::to_owned);
    std::array::from_fn(|_| lines.next().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

impl Drop for Grpc {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
