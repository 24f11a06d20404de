//! Requests that two servers could read in two ways: each is refused and its connection closed, or what arrives at the
//! target is one request that reads in one way.

mod framing;
mod heads;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Gateway, Received, Upstream, gateway};

/// What should become of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// One answer with such a status, then the connection closes; nothing complete arrives.
    Refused,
    /// One answer with such a status, and nothing arrives.
    Answered(u16),
    /// This arrives, with this body.
    Passed(&'static str, &'static str),
}
use Fate::{Answered, Passed, Refused};

struct Judge {
    gateway: Gateway,
    upstream: Upstream,
    wrong: Vec<String>,
    cases: usize,
}

impl Judge {
    fn new() -> Self {
        let upstream = Upstream::start();
        let gateway = gateway(format!("routes: [{{ path: /, target: {}, breaker: off }}]\n", upstream.url()));
        Judge { gateway, upstream, wrong: Vec::new(), cases: 0 }
    }

    /// Sends bytes and holds what becomes of them against what should.
    fn case(&mut self, bytes: impl AsRef<[u8]>, fate: Fate) {
        let (bytes, before) = (bytes.as_ref(), self.upstream.received().len());
        let (answer, closed) = exchange(&self.gateway, bytes);
        let arrived: Vec<Received> = self.upstream.received().split_off(before);
        let statuses = statuses(&answer);
        let is_right = match fate {
            Refused => matches!(statuses[..], [400..=599]) && closed && arrived.is_empty(),
            Answered(status) => statuses == [status] && arrived.is_empty(),
            Passed(line, body) => {
                let is_it = |received: &Received| received.line == line && received.body == body.as_bytes();
                statuses == [200] && arrived.len() == 1 && is_it(&arrived[0]) && is_plain(&arrived[0])
            }
        };
        self.cases += 1;
        if !is_right {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(160)]).into_owned();
            self.wrong.push(format!("{shown:?}: {statuses:?}, closed {closed}, arrived {arrived:?}; wanted {fate:?}"));
        }
    }

    fn verdict(self, least: usize) {
        assert!(self.wrong.is_empty(), "{} of {}:\n{}", self.wrong.len(), self.cases, self.wrong.join("\n"));
        assert!(self.cases >= least, "{} cases", self.cases);
        assert_eq!(self.gateway.get("/").status, 200, "and it still serves");
        assert_eq!(self.gateway.settled_stats()[0]["failed"], 0, "and blames nobody for it");
    }
}

/// What comes back within a short time, and whether the connection was closed then.
fn exchange(gateway: &Gateway, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    let _ = stream.write_all(bytes);
    let (mut answer, mut chunk) = (Vec::new(), [0; 4_096]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return (answer, true),
            Ok(n) => answer.extend_from_slice(&chunk[..n]),
            Err(error) => return (answer, error.kind() == std::io::ErrorKind::ConnectionReset),
        }
    }
}

fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    text.split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|rest| rest.get(..3)?.parse().ok())
        .filter(|status| *status != 100)
        .collect()
}

/// Whether nothing in a request could be read otherwise by somebody else.
fn is_plain(request: &Received) -> bool {
    let count = |name: &str| request.headers.iter().filter(|(known, _)| known == name).count();
    let token =
        |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_!#$%&'*+.^`|~".contains(&byte));
    let is_framed_once = count("content-length") + count("transfer-encoding") <= 1;
    let has_digits = |value: &str| value.bytes().all(|byte| byte.is_ascii_digit());
    let is_good = |(name, value): &(String, String)| {
        token(name) && !value.contains(['\r', '\n', '\0']) && (name != "content-length" || has_digits(value))
    };
    count("host") == 1 && is_framed_once && request.headers.iter().all(is_good)
}

const HOST: &str = "Host: x\r\n";

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\n{HOST}{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\n{HOST}{fields}\r\n{body}")
}
