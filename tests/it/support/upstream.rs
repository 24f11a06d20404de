//! An upstream that records what arrives and behaves as a test wants it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub line: String,
    /// Names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What followed the last chunk.
    pub trailers: Vec<String>,
}

impl Received {
    /// The only value of a header.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = values.next();
        assert_eq!(values.next(), None, "{name} came twice: {self:?}");
        first
    }

    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

/// What an upstream does with a request.
pub enum Reply {
    /// These bytes, and the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes, then the connection closes.
    Close(Vec<u8>),
    /// These bytes, then the connection is reset.
    Reset(Vec<u8>),
    /// Whatever this does with the connection, then it closes.
    Talk(Box<dyn FnOnce(&mut TcpStream) + Send>),
}

impl Reply {
    /// A complete answer with a body.
    pub fn status(status: u16, body: &str) -> Self {
        Reply::Bytes(format!("HTTP/1.1 {status} Reason\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    }

    pub fn ok() -> Self {
        Reply::status(200, "hello\n")
    }
}

/// A server on a free port of the loopback. Dropped, it takes no more connections.
pub struct Upstream {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    listener: Option<TcpListener>,
}

impl Upstream {
    /// One that answers 200 to everything.
    pub fn start() -> Self {
        Upstream::with(|_| Reply::ok())
    }

    /// One that answers 500 to everything.
    pub fn failing() -> Self {
        Upstream::with(|_| Reply::status(500, "broken"))
    }

    /// One that answers every request by `reply`.
    pub fn with(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Upstream::at("127.0.0.1:0".parse().unwrap(), reply)
    }

    /// The same at an address.
    pub fn at(address: SocketAddr, reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let (accepting, record, reply) = (listener.try_clone().unwrap(), received.clone(), Arc::new(reply));
        let count = connections.clone();
        thread::spawn(move || {
            for stream in accepting.incoming() {
                let Ok(stream) = stream else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let (record, reply) = (record.clone(), reply.clone());
                thread::spawn(move || serve(stream, &record, &*reply));
            }
        });
        Upstream { address: listener.local_addr().unwrap(), received, connections, listener: Some(listener) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The only request received.
    #[track_caller]
    pub fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received.into_iter().next().unwrap()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        // shutdown(2) wakes the accepting thread; closing the descriptor alone would not.
        if let Some(listener) = self.listener.take() {
            let _ = socket2::SockRef::from(&listener).shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, record: &Mutex<Vec<Received>>, reply: &(dyn Fn(&Received) -> Reply + Send + Sync)) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read_request(&mut reader, &mut stream) {
        record.lock().unwrap().push(request.clone());
        let (bytes, end) = match reply(&request) {
            Reply::Bytes(bytes) => (bytes, None),
            Reply::Close(bytes) => (bytes, Some(false)),
            Reply::Reset(bytes) => (bytes, Some(true)),
            Reply::Talk(talk) => return talk(&mut stream),
        };
        if stream.write_all(&bytes).is_err() {
            return;
        }
        if let Some(reset) = end {
            if reset {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
            }
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>, stream: &mut TcpStream) -> Option<Received> {
    let mut request = Received { line: read_line(reader)?, ..Received::default() };
    loop {
        let line = read_line(reader)?;
        let Some((name, value)) = line.split_once(':') else { break };
        request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let value = |name: &str| request.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    if value("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    if value("transfer-encoding").is_some() {
        loop {
            let size = usize::from_str_radix(read_line(reader)?.split(';').next()?, 16).ok()?;
            if size == 0 {
                break;
            }
            let start = request.body.len();
            request.body.resize(start + size, 0);
            reader.read_exact(&mut request.body[start..]).ok()?;
            read_line(reader)?;
        }
        while let Some(line) = read_line(reader).filter(|line| !line.is_empty()) {
            request.trailers.push(line);
        }
    } else if let Some(length) = value("content-length") {
        request.body.resize(length.parse().ok()?, 0);
        reader.read_exact(&mut request.body).ok()?;
    }
    Some(request)
}

fn read_line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}
