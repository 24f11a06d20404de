//! Requests at a steady pace, and what became of each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::client::head;
use crate::support::{Gateway, PATIENCE};

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was sent.
    pub at: Instant,
    /// When its answer was there.
    pub until: Instant,
    /// From the one to the other, less what the machine itself stood still for.
    pub took: Duration,
    /// 0: no whole answer came.
    pub status: u16,
}

/// The connections that requests come by.
pub const CONNECTIONS: u32 = 10;

/// A load that goes on until it is ended.
pub struct Load {
    ended: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<Sample>>>,
    stalls: JoinHandle<Vec<Range<Instant>>>,
}

/// Stretches in which the machine let a thread wait that wanted nothing but to sleep for a moment.
fn stalls(ended: &AtomicBool) -> Vec<Range<Instant>> {
    let mut stalls = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let asleep = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        if asleep.elapsed() > Duration::from_millis(4) {
            stalls.push(asleep..Instant::now());
        }
    }
    stalls
}

impl Load {
    /// `per_second` requests to `path`, over ten connections, each from one of `clients` addresses in turn.
    pub fn start(gateway: &Gateway, path: &str, per_second: u32, clients: usize) -> Self {
        Load::start_at(gateway.address, path, per_second, clients)
    }

    /// The same to whatever listens there.
    pub fn start_at(address: SocketAddr, path: &str, per_second: u32, clients: usize) -> Self {
        let (ended, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let start = Instant::now();
        let every = Duration::from_secs(1) * CONNECTIONS / per_second;
        let client = |number: u32| {
            let (mut stream, path) = (None, path.to_owned());
            let (ended, sent) = (ended.clone(), sent.clone());
            std::thread::spawn(move || {
                let (mut samples, mut next) = (Vec::new(), start + every * number / CONNECTIONS);
                while !ended.load(Ordering::Relaxed) {
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                    next += every;
                    let from = format!("203.0.113.{}", sent.fetch_add(1, Ordering::Relaxed) % clients + 1);
                    samples.push(Sample::take(&mut stream, address, &path, &from));
                }
                samples
            })
        };
        let clients = (0..CONNECTIONS).map(client).collect();
        let until = ended.clone();
        Load { ended, sent, clients, stalls: std::thread::spawn(move || stalls(&until)) }
    }

    /// Waits until so many more have been sent.
    pub fn go_on_for(&self, requests: usize) -> &Self {
        let until = self.sent.load(Ordering::Relaxed) + requests;
        while self.sent.load(Ordering::Relaxed) < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self
    }

    /// Ends it, and gives what became of all requests, in the order they were sent.
    pub fn end(self) -> Vec<Sample> {
        self.ended.store(true, Ordering::Relaxed);
        let mut samples: Vec<Sample> = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        samples.sort_by_key(|sample| sample.at);
        let stalls = self.stalls.join().unwrap();
        samples.iter_mut().for_each(|sample| sample.forgive(&stalls));
        samples
    }
}

impl Sample {
    fn take(stream: &mut Option<TcpStream>, gateway: SocketAddr, path: &str, from: &str) -> Self {
        let at = Instant::now();
        let status = exchange(stream, gateway, path, from).unwrap_or(0);
        if status == 0 {
            *stream = None;
        }
        let until = Instant::now();
        Sample { at, until, took: until - at, status }
    }

    fn forgive(&mut self, stalls: &[Range<Instant>]) {
        let overlap =
            |stall: &Range<Instant>| stall.end.min(self.until).saturating_duration_since(stall.start.max(self.at));
        self.took = self.took.saturating_sub(stalls.iter().map(overlap).sum());
    }
}

/// The status of a whole answer. A connection that an answer has ended is made anew.
pub fn exchange(stream: &mut Option<TcpStream>, gateway: SocketAddr, path: &str, from: &str) -> std::io::Result<u16> {
    let mut connection = match stream.take() {
        Some(connection) => connection,
        None => TcpStream::connect(gateway)?,
    };
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let request = head("GET", path, &[("X-Forwarded-For", from)]);
    connection.write_all(request.as_bytes())?;
    let (mut buffer, mut chunk) = (Vec::new(), [0; 16_384]);
    loop {
        let length = connection.read(&mut chunk)?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer.extend_from_slice(&chunk[..length]);
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        if let httparse::Status::Complete(start) = response.parse(&buffer).map_err(std::io::Error::other)? {
            let field = |name: &str| {
                let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
                found.map(|field| String::from_utf8_lossy(field.value).into_owned())
            };
            let length: usize = field("content-length").and_then(|length| length.parse().ok()).unwrap();
            if buffer.len() >= start + length {
                *stream = Some(connection).filter(|_| field("connection").is_none_or(|value| value != "close"));
                return Ok(response.code.unwrap());
            }
        }
    }
}

#[test]
fn a_stall_shortens_what_a_request_took_and_not_when_it_was_answered() {
    let (at, ms) = (Instant::now(), Duration::from_millis);
    let mut sample = Sample { at, until: at + ms(607), took: ms(607), status: 504 };
    sample.forgive(&[at - ms(5)..at + ms(1), at + ms(300)..at + ms(306), at + ms(700)..at + ms(705)]);
    assert_eq!((sample.took, sample.until), (ms(600), at + ms(607)));
}
