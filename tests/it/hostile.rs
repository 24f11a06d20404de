//! Requests that two servers could read in two ways: each is refused and its connection closed, or what arrives at the
//! target is one request that reads in one way.

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

#[test]
fn a_length_is_told_once_and_in_digits() {
    let mut judge = Judge::new();
    for length in [
        "6",
        "5, 5",
        "5,6",
        "+5",
        "-5",
        "0x5",
        "",
        " ",
        "5;",
        "5 5",
        "\"5\"",
        "5.0",
        "1e1",
        "٥",
        "5\u{b}",
        "\u{b}5",
        "18446744073709551616",
        "99999999999999999999999",
        "5a",
        "a5",
        "5,",
        ",5",
        "5\t5",
        "½",
        "5\u{a0}",
        "_5",
        "5_0",
        "0b1",
        "0o5",
        "∞",
    ] {
        if length != "6" {
            judge.case(post(&format!("Content-Length: {length}\r\n"), "abcde"), Refused);
        }
        // Beside a good one, before it and after it.
        judge.case(post(&format!("Content-Length: {length}\r\nContent-Length: 5\r\n"), "abcde"), Refused);
        judge.case(post(&format!("Content-Length: 5\r\nContent-Length: {length}\r\n"), "abcde"), Refused);
    }
    judge.case(post("Content-Length: 5\r\nContent-Length: 5\r\n", "abcde"), Refused);
    judge.case(post("Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n", "abcde"), Refused);
    for name in [
        "Content-Length ",
        " Content-Length",
        "Content-Length\t",
        "\tContent-Length",
        "Content Length",
        "Content-Length\0",
        "Content\0-Length",
        "Content-Length\u{b}",
        "(Content-Length)",
        "Content-Length\r",
        "\u{feff}Content-Length",
    ] {
        judge.case(post(&format!("{name}: 5\r\n"), "abcde"), Refused);
    }
    for value in ["5", "5 ", "\t5", "  5\t", "05"] {
        judge.case(post(&format!("Content-Length:{value}\r\n"), "abcde"), Passed("POST / HTTP/1.1", "abcde"));
    }
    judge.verdict(100);
}

#[test]
fn a_coding_is_told_once_and_is_chunked() {
    let mut judge = Judge::new();
    const BODY: &str = "5\r\nabcde\r\n0\r\n\r\n";
    for coding in [
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "identity",
        "identity, chunked",
        "chunked, chunked",
        "gzip, chunked",
        "gzip",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\u{b}",
        "\u{b}chunked",
        "\0chunked",
        "chunk",
        ",chunked",
        "chunked,",
        "chunked ,",
        "",
        " ",
        "chunked chunked",
        "cow",
        "deflate",
        "compress, chunked",
        "chunked; a",
        "'chunked'",
        "[chunked]",
        "chun\tked",
        "x, chunked",
        "chunked\0",
        "\u{a0}chunked",
        "chunked\u{7f}",
        "=chunked",
        "chunked=",
        "CHUNKED, IDENTITY",
    ] {
        judge.case(post(&format!("Transfer-Encoding: {coding}\r\n"), BODY), Refused);
        judge.case(post(&format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: {coding}\r\n"), BODY), Refused);
        judge.case(post(&format!("Content-Length: 5\r\nTransfer-Encoding: {coding}\r\n"), BODY), Refused);
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 15\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "\tTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "Transfer-Encoding\0: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\r\nX: y\n",
        "Transfer-Encoding: chunked\n",
        "Transfer-Encoding: chunked\r",
        "Transfer Encoding: chunked\r\n",
        "Transfer-Encoding\r\n: chunked\r\n",
    ] {
        judge.case(post(fields, BODY), Refused);
    }
    judge.case(format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{BODY}"), Refused);
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:\tCHUNKED \r\n",
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
    ] {
        judge.case(post(fields, BODY), Passed("POST / HTTP/1.1", "abcde"));
    }
    judge.verdict(110);
}

#[test]
fn chunks_are_as_long_as_they_say_in_hexadecimal() {
    let mut judge = Judge::new();
    for body in [
        "5\nabcde\r\n0\r\n\r\n",
        "5\r\nabcde\n0\r\n\r\n",
        "5\r\nabcde\r\n0\n\r\n",
        "5\r\nabcde\r\n0\r\n\n",
        "5\nabcde\n0\n\n",
        "5\rabcde\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "\r\n5\r\nabcde\r\n0\r\n\r\n",
        "5\r\nabcdefg\r\n0\r\n\r\n",
        "5\r\nabc\r\n0\r\n\r\n",
        "5\r\nabcde0\r\n\r\n",
        "5\r\nabcdeXX0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "+5\r\nabcde\r\n0\r\n\r\n",
        "-5\r\nabcde\r\n0\r\n\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n",
        "5 \r\nabcde\r\n0\r\n\r\n",
        "5\t\r\nabcde\r\n0\r\n\r\n",
        "5_\r\nabcde\r\n0\r\n\r\n",
        "g\r\nabcde\r\n0\r\n\r\n",
        "5;\nabcde\r\n0\r\n\r\n",
        "5;a\rb\r\nabcde\r\n0\r\n\r\n",
        "5;a\0\r\nabcde\r\n0\r\n\r\n",
        "5\0\r\nabcde\r\n0\r\n\r\n",
        "5,5\r\nabcde\r\n0\r\n\r\n",
        "5.0\r\nabcde\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
        "10000000000000005\r\nabcde\r\n0\r\n\r\n",
        "8000000000000000\r\nabcde\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
        "100000005\r\nabcde\r\n0\r\n\r\n ".trim_end_matches(' '),
        "5\r\nabcde\r\n-0\r\n\r\n",
        "5\r\nabcde\r\n0x0\r\n\r\n",
        "5\r\nabcde\r\n0 \r\n\r\n",
        "5\r\nabcde\r\n0\r\nX y\r\n\r\n",
        "5\r\nabcde\r\n0\r\n X: y\r\n\r\n",
        "5\r\nabcde\r\n0\r\nX : y\r\n\r\n",
        "5\r\nabcde\r\n0\r\nX: y\n\r\n",
        "5\r\nabcde\r\n0\r\nX: \u{1}\r\n\r\n",
        "5\r\nabcde\r\n0\r\n: y\r\n\r\n",
        "٥\r\nabcde\r\n0\r\n\r\n",
    ] {
        // One that is longer than what comes is waited for.
        if !body.starts_with("100000005") {
            judge.case(post("Transfer-Encoding: chunked\r\n", body), Refused);
        }
    }
    let long = format!("5;{}\r\nabcde\r\n0\r\n\r\n", "a".repeat(9_000));
    judge.case(post("Transfer-Encoding: chunked\r\n", &long), Refused);
    let trailers = format!("5\r\nabcde\r\n0\r\n{}\r\n", "X: y\r\n".repeat(9_000));
    judge.case(post("Transfer-Encoding: chunked\r\n", &trailers), Refused);
    for body in [
        "5\r\nabcde\r\n0\r\n\r\n",
        "05\r\nabcde\r\n000\r\n\r\n",
        "5;a=b\r\nabcde\r\n0;c\r\n\r\n",
        "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
        "5\r\nabcde\r\n0\r\nX: y\r\n\r\n",
        "5\r\nabcde\r\n0\r\nContent-Length: 9\r\n\r\n",
    ] {
        judge.case(post("Transfer-Encoding: chunked\r\n", body), Passed("POST / HTTP/1.1", "abcde"));
    }
    judge.verdict(45);
}

#[test]
fn a_request_line_is_three_words() {
    let mut judge = Judge::new();
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/1",
        "GET / HTTP/",
        "GET / HTTP",
        "GET /",
        "GET",
        "GET /a b HTTP/1.1",
        "GET /a\0b HTTP/1.1",
        "GET /a\u{7f}b HTTP/1.1",
        "GET /a\rb HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /a\u{b}b HTTP/1.1",
        "GET /a\u{1}b HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /?a b HTTP/1.1",
        "GET /?a\0 HTTP/1.1",
        "GET /?a\r HTTP/1.1",
        "GET /?a\u{1f} HTTP/1.1",
        "GET /?#a HTTP/1.1",
        "G<T / HTTP/1.1",
        "GET\0 / HTTP/1.1",
        "(GET) / HTTP/1.1",
        "GET http://y/ HTTP/1.1",
        "GET http://x@y/ HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "GET http:/a HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET / XTTP/1.1",
        "GET /\u{b}HTTP/1.1",
        "GET / HTTP/1.1\u{b}",
        "GET / HTTP/1,1",
        "GET / HTTP/1.1x",
    ] {
        judge.case(format!("{line}\r\n{HOST}\r\n"), Refused);
    }
    for start in ["\n", "\r", "\0", " ", "\t", "\u{feff}"] {
        judge.case(format!("{start}{}", get("")), Refused);
    }
    for (line, status) in [
        ("GET * HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET x:80 HTTP/1.1", 400),
        ("GET ?x HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("CONNECT x:80 HTTP/1.1", 405),
        ("get / HTTP/1.1", 405),
        ("FOO / HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("GET /../../a HTTP/1.1", 400),
        ("GET /%00 HTTP/1.1", 400),
        ("GET /%zz HTTP/1.1", 400),
        ("GET /% HTTP/1.1", 400),
        ("GET /%2 HTTP/1.1", 400),
        ("GET /a\"b HTTP/1.1", 400),
        ("GET /a\\b HTTP/1.1", 400),
        ("GET /a/..%2f..%2fb HTTP/1.1", 400),
        ("GET /a%5c..%5cb HTTP/1.1", 400),
        ("GET /a/..;/b HTTP/1.1", 400),
        ("GET /a/..%00/b HTTP/1.1", 400),
        ("GET /a/.%2e%2fb HTTP/1.1", 400),
        ("GET /é HTTP/1.1", 400),
    ] {
        judge.case(format!("{line}\r\n{HOST}\r\n"), Answered(status));
    }
    for (line, arrives) in [
        ("GET /a/../b HTTP/1.1", "GET /b HTTP/1.1"),
        ("GET /a/%2e%2e/b HTTP/1.1", "GET /b HTTP/1.1"),
        ("GET /a/.%2E/b HTTP/1.1", "GET /b HTTP/1.1"),
        ("GET /%2e/a HTTP/1.1", "GET /a HTTP/1.1"),
        ("GET /a//b HTTP/1.1", "GET /a/b HTTP/1.1"),
        ("GET //x/a HTTP/1.1", "GET /x/a HTTP/1.1"),
        ("GET http://x/a?b HTTP/1.1", "GET /a?b HTTP/1.1"),
        ("GET HTTP://x HTTP/1.1", "GET / HTTP/1.1"),
        ("GET /a?b=/../c HTTP/1.1", "GET /a?b=/../c HTTP/1.1"),
        ("GET /%61 HTTP/1.1", "GET /a HTTP/1.1"),
        ("GET / HTTP/1.0", "GET / HTTP/1.1"),
    ] {
        judge.case(format!("{line}\r\n{HOST}\r\n"), Passed(arrives, ""));
    }
    judge.case(format!("\r\n\r\n{}", get("")), Passed("GET / HTTP/1.1", ""));
    judge.verdict(80);
}

#[test]
fn there_is_one_host_and_it_is_one() {
    let mut judge = Judge::new();
    let request = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    for host in [
        "", " ", "x, y", "x y", "x/y", "x:80:80", "x:", "x:99999", "x:a", "x:-1", "[::1", "::1]", "x#y", "x?y", "x\\y",
        "x%00", "http://x", "x\"", "x<y", "x{y", "x|y", "x^y", "x`y", "é", "x:80 ,y",
    ] {
        judge.case(request(&format!("Host: {host}\r\n")), Answered(400));
    }
    judge.case(request(""), Answered(400));
    for fields in [
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nHost: y\r\n",
        "host: x\r\nHOST: y\r\n",
        "Host: x@y\r\n",
        "Host : x\r\n",
        " Host: x\r\n",
        "\tHost: x\r\n",
        "Host: x\r\n y\r\n",
        "Host: x\0y\r\n",
        "Host: x\ry\r\n",
        "Host\0: x\r\n",
        "Host\r\n: x\r\n",
        "Host: x\n",
        "Ho st: x\r\n",
        "Host x\r\n",
    ] {
        judge.case(request(fields), Refused);
    }
    for host in ["x", "x:80", "[::1]", "[::1]:8000", "127.0.0.1:1", "\tx\t ", "X.Example", "x_y", "xn--e1aybc"] {
        judge.case(request(&format!("Host:{host}\r\n")), Passed("GET / HTTP/1.1", ""));
    }
    judge.verdict(49);
}

#[test]
fn fields_are_lines_of_a_name_and_a_value() {
    let mut judge = Judge::new();
    for fields in [
        "X: a\nY: b\r\n",
        "X: a\rY: b\r\n",
        "X: a\0b\r\n",
        "X\r\n",
        ": y\r\n",
        "X Y: z\r\n",
        "X\tY: z\r\n",
        "X\0: z\r\n",
        "X(: z\r\n",
        "X[: z\r\n",
        "X@: z\r\n",
        "X\u{7f}: z\r\n",
        "é: z\r\n",
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X: \u{7f}\r\n",
        "X: \u{1}\r\n",
        "X: \u{1b}[0m\r\n",
        "X :y\r\n",
        "X: a\r\r\n",
        "X: a\n",
        "X: a\n\r\n",
        "\rX: y\r\n",
        "X: \u{8}\r\n",
        "X: \u{c}\r\n",
        "X\u{c}: y\r\n",
        "X;: y\r\n",
        "X,Y: z\r\n",
        "X=Y\r\n",
        "\u{b}X: y\r\n",
        "X\u{b}: y\r\n",
    ] {
        judge.case(get(fields), Refused);
    }
    for (fields, status) in [
        ("Connection: host\r\n", 400),
        ("Connection: x-forwarded-for\r\n", 400),
        ("Connection: close, X-Forwarded-Proto\r\n", 400),
        ("Connection: \"x\"\r\n", 400),
        ("Connection: a,b,c,d,e,f,g,h,i,j\r\n", 400),
        ("Expect: 200-ok\r\n", 417),
        ("Expect: 100-continue, x\r\n", 417),
    ] {
        judge.case(get(fields), Answered(status));
    }
    for fields in [
        "X: é\r\n",
        "X:\r\n",
        "X:  a  b \t\r\n",
        "Connection: x-user-id\r\nX-User-Id: root\r\n",
        "x_user_id: root\r\n",
        "X_User-Id: root\r\n",
        "Content_Length: 5\r\n",
        "Transfer_Encoding: chunked\r\n",
        "X-Forwarded-For: 1.1.1.1\r\n",
        "Forwarded: for=1.1.1.1\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Keep-Alive: 5\r\n",
        "TE: chunked\r\n",
        "Trailer: X\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Cookie: a=1\r\nCookie: b=2\r\n",
    ] {
        judge.case(get(fields), Passed("GET / HTTP/1.1", ""));
    }
    for received in judge.upstream.received() {
        for name in [
            "x-user-id",
            "x_user_id",
            "x_user-id",
            "content_length",
            "transfer_encoding",
            "forwarded",
            "proxy-connection",
            "keep-alive",
            "te",
            "upgrade",
            "http2-settings",
            "connection",
        ] {
            assert_eq!(received.header(name), None, "{received:?}");
        }
        assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
    }
    judge.verdict(54);
}

#[test]
fn what_follows_a_request_is_the_next_one() {
    let upstream = Upstream::start();
    let gateway = gateway(format!("routes: [{{ path: /, target: {} }}]\n", upstream.url()));
    const NEXT: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
    for first in [
        post("Content-Length: 5\r\n", "abcde"),
        post("Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n0\r\n\r\n"),
        post("", ""),
        get(""),
        get("Content-Length: 0\r\n"),
    ] {
        let before = upstream.received().len();
        let (answer, _) = exchange(&gateway, format!("{first}{NEXT}").as_bytes());
        assert_eq!(statuses(&answer), [200, 200], "{first}");
        let lines: Vec<String> =
            upstream.received().split_off(before).into_iter().map(|received| received.line).collect();
        assert_eq!(lines[1], "GET /next HTTP/1.1", "{first}");
    }
}
