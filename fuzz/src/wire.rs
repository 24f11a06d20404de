//! Bytes on a connection to a gateway that runs: whatever they are, what its upstream gets is requests, each well-formed and
//! each sent by the gateway itself; and the gateway goes on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A client that hears nothing for so long has said all that it has to say.
const SILENCE: Duration = Duration::from_millis(8);
/// The gateway is gone if it takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An upstream that looks at what arrives and answers 200.
pub struct Recorder {
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    wrong: Mutex<Option<String>>,
}

impl Recorder {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let recorder = Recorder { address: listener.local_addr().expect("an address"), seen: Arc::default() };
        let seen = recorder.seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = seen.clone();
                thread::spawn(move || watch(stream, &seen));
            }
        });
        recorder
    }
}

/// What the gateway needs to be told, beside where to listen.
pub fn config(upstream: SocketAddr) -> String {
    format!(
        "h2c: true\naccessLog: {{ file: /dev/null }}\nthreads: 1\n\
         routes: [{{ path: /, targets: [http://{upstream}], retry: off, breaker: off, limits: {{ maxBody: 4KiB }} }}]\n"
    )
}

/// The first byte says in what pieces the rest is sent.
pub fn run(data: &[u8], gateway: SocketAddr, upstream: &Recorder) {
    let Some((size, bytes)) = data.split_first() else { return };
    let size = match size % 16 {
        0 => bytes.len().max(1),
        more => usize::from(more) * 8,
    };
    send(gateway, bytes.chunks(size));
    let arrived = upstream.seen.requests.load(Ordering::SeqCst);
    let sent = attempts(gateway);
    assert!(arrived <= sent, "{arrived} requests arrived, and {sent} were sent");
    let wrong = upstream.seen.wrong.lock().unwrap_or_else(|broken| broken.into_inner());
    assert_eq!(*wrong, None, "it arrived");
}

fn send<'b>(gateway: SocketAddr, pieces: impl Iterator<Item = &'b [u8]>) {
    let mut stream = TcpStream::connect(gateway).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(SILENCE)).expect("a socket");
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let (mut answer, mut chunk) = (Vec::new(), [0; 4_096]);
    let mut is_done = false;
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&chunk[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                assert!(!is_done, "a connection that its client has closed stays open");
                is_done = true;
                let _ = stream.shutdown(Shutdown::Write);
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
            }
            Err(_) => break,
        }
    }
    let is_http1 = answer.is_empty() || answer.starts_with(b"HTTP/1.1 ");
    assert!(is_http1 || answer.get(3) == Some(&4), "{}", answer.escape_ascii());
}

/// How many requests the gateway has sent, as it says itself.
fn attempts(gateway: SocketAddr) -> u64 {
    let mut stream = TcpStream::connect(gateway).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(b"GET /gateway/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let stats: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
    stats[0]["requests"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

fn watch(mut stream: TcpStream, seen: &Seen) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4_096]);
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..read]);
        loop {
            match request(&bytes) {
                Ok(None) => break,
                Ok(Some(end)) => {
                    seen.requests.fetch_add(1, Ordering::SeqCst);
                    let is_head = bytes.starts_with(b"HEAD ");
                    bytes.drain(..end);
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", if is_head { "" } else { "ok" });
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
                Err(why) => {
                    let mut wrong = seen.wrong.lock().unwrap_or_else(|broken| broken.into_inner());
                    wrong.get_or_insert(format!("{why}: {}", bytes.escape_ascii()));
                    return;
                }
            }
        }
    }
}

/// Where the first request ends, if all of it is there.
fn request(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(length) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > 256 << 10 { Err("a head without an end") } else { Ok(None) };
    };
    let head = String::from_utf8_lossy(&bytes[..length]);
    request_line(head.split("\r\n").next().unwrap_or(""))?;
    let (mut hosts, mut ids, mut sizes, mut chunked) = (0, 0, Vec::new(), false);
    for line in bytes[..length].split(|byte| *byte == b'\n').skip(1) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|byte| *byte == b':').ok_or("a field without a colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err("a field without a good name");
        }
        if value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err("a value with a control character");
        }
        match name.to_ascii_lowercase().as_slice() {
            b"host" => hosts += 1,
            b"x-request-id" => ids += 1,
            b"x-user-id" => return Err("a user that nobody knows"),
            b"content-length" => sizes.push(value.to_vec()),
            b"transfer-encoding" if value == b"chunked" && !chunked => chunked = true,
            b"transfer-encoding" => return Err("an odd transfer coding"),
            _ => {}
        }
    }
    match (hosts, ids, sizes.as_slice(), chunked) {
        (1, 1, [], false) => Ok(Some(length + 4)),
        (1, 1, [], true) => body(bytes, length + 4),
        (1, 1, [size], false) if !size.is_empty() && size.iter().all(u8::is_ascii_digit) => {
            let size: usize =
                std::str::from_utf8(size).ok().and_then(|size| size.parse().ok()).ok_or("a huge length")?;
            let end = length + 4 + size;
            Ok((end <= bytes.len()).then_some(end))
        }
        _ => Err("two hosts, ids or lengths, or none"),
    }
}

fn request_line(line: &str) -> Result<(), &'static str> {
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { return Err("a line that is none of a request") };
    let path = target.split('?').next().unwrap_or("");
    let is_normal = path.starts_with('/')
        && !path.contains("//")
        && path.split('/').all(|segment| !matches!(segment, "." | ".."))
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    let is_known = method.bytes().all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte));
    let is_known = is_known && !["", "CONNECT", "TRACE", "TRACK", "PRI"].contains(&method);
    let is_printed = target.bytes().all(|byte| byte > 0x20 && byte != 0x7f);
    if is_normal && is_known && is_printed { Ok(()) } else { Err("a request line that should not pass") }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Where a body in chunks ends that begins at `at`, if all of it is there.
fn body(bytes: &[u8], mut at: usize) -> Result<Option<usize>, &'static str> {
    loop {
        let Some(length) = bytes[at..].windows(2).position(|pair| pair == b"\r\n") else {
            return if bytes.len() - at > 18 { Err("a chunk without a size") } else { Ok(None) };
        };
        let digits = &bytes[at..at + length];
        if !(1..=16).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("a chunk with an odd size");
        }
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let data = at + length + 2;
        let end = size.and_then(|size| data.checked_add(size)).ok_or("a huge chunk")?;
        let Some(after) = bytes.get(end..end + 2) else { return Ok(None) };
        if after != b"\r\n" {
            return Err("a chunk that is longer than it says");
        }
        at = end + 2;
        if size == Some(0) {
            return Ok(Some(at));
        }
    }
}
