//! A client that sends exactly the bytes it is given, and reads HTTP/1.1 answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// One answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The only value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = values.next();
        assert_eq!(values.next(), None, "{name} came twice: {self:?}");
        first
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Asserts that this is the gateway's own problem document with `status` and `code`.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status, self.header("x-gateway-error")), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{problem}");
        assert_eq!(problem["requestId"].as_str(), self.header("x-request-id"), "{problem}");
        for member in ["type", "title", "detail", "instance"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        self
    }
}

/// One connection.
pub struct Connection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { stream, buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// `METHOD target` with the given header lines, and reads the answer.
    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        self.send(head(method, target, headers));
        self.answer(method == "HEAD")
    }

    /// The next final answer; 1xx ones are skipped.
    pub fn answer(&mut self, to_head: bool) -> Response {
        loop {
            let response = self.next_answer(to_head);
            if response.status >= 200 {
                return response;
            }
        }
    }

    /// The next answer, 1xx or final.
    pub fn next_answer(&mut self, to_head: bool) -> Response {
        let mut response = loop {
            if let Some(response) = self.parse_head() {
                break response;
            }
            assert!(
                self.read_more(),
                "the connection ended within a head: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        };
        let bodiless = to_head || response.status < 200 || matches!(response.status, 204 | 304);
        if !bodiless {
            response.body = self.body(&response);
        }
        response
    }

    /// Whether the other side has closed; what it still sent is thrown away.
    pub fn is_closed(&mut self) -> bool {
        while self.read_more() {}
        true
    }

    /// Everything until the other side closes.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.buffer)
    }

    /// Exactly `n` bytes.
    pub fn take(&mut self, n: usize) -> Vec<u8> {
        while self.buffer.len() < n {
            assert!(self.read_more(), "ended after {} of {n} bytes", self.buffer.len());
        }
        self.buffer.drain(..n).collect()
    }

    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 65_536];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(n) => {
                self.buffer.extend_from_slice(&chunk[..n]);
                true
            }
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(e) => panic!("reading an answer: {e}"),
        }
    }

    fn parse_head(&mut self) -> Option<Response> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut fields);
        let length = match head.parse(&self.buffer).unwrap() {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return None,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = head.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect();
        let status = head.code.unwrap();
        self.buffer.drain(..length);
        Some(Response { status, headers, body: Vec::new() })
    }

    fn body(&mut self, response: &Response) -> Vec<u8> {
        if response.header("transfer-encoding").is_some_and(|te| te == "chunked") {
            return self.chunked();
        }
        match response.header("content-length") {
            Some(length) => self.take(length.parse().unwrap()),
            None => self.rest(),
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).unwrap();
            }
            assert!(self.read_more(), "the connection ended within a line");
        }
    }

    fn chunked(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(self.line().split(';').next().unwrap(), 16).unwrap();
            if size == 0 {
                while !self.line().is_empty() {}
                return body;
            }
            body.extend(self.take(size));
            assert_eq!(self.line(), "");
        }
    }
}

/// The head of a request. A `Host` is added unless there is one.
pub fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += "Host: gateway.test\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head + "\r\n"
}
