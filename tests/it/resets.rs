//! Clients of HTTP/2 that have each request's stream reset, by themselves (CVE-2023-44487) or by the gateway
//! (CVE-2025-8671): the stream is free again, and the work for it is not done with. Bare Pingora lets 55,000 such requests
//! of one connection through to its upstream in five seconds.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Gateway, Reply, Upstream, gateway};

const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET http://x/`, of HPACK's table but for the authority (RFC 7541, appendix A).
const HEAD: &[u8] = b"\x82\x86\x84\x01\x01x";
/// `POST http://x/` with `content-length: 9`.
const POST: &[u8] = b"\x83\x86\x84\x01\x01x\x0f\x0d\x019";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, HEAD)
}

/// The code of a connection whose client does what no client does (RFC 9113, section 7).
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A request, and what has its stream reset once it has been forwarded.
struct Provocation {
    name: &'static str,
    request: fn(u32) -> Vec<u8>,
    reset: fn(u32) -> Vec<u8>,
    code: u32,
}

const PROVOCATIONS: [Provocation; 8] = [
    Provocation {
        name: "reset by the client",
        request: get,
        reset: |stream| frame(3, 0, stream, &8_u32.to_be_bytes()),
        code: ENHANCE_YOUR_CALM,
    },
    Provocation {
        name: "a window that grows by nothing",
        request: get,
        reset: |stream| frame(8, 0, stream, &[0; 4]),
        code: PROTOCOL_ERROR,
    },
    Provocation {
        name: "a window that is too large",
        request: get,
        reset: |stream| frame(8, 0, stream, &0x7fff_ffff_u32.to_be_bytes()),
        code: ENHANCE_YOUR_CALM,
    },
    Provocation {
        name: "more than all of a body",
        request: get,
        reset: |stream| frame(0, END_STREAM, stream, b"more"),
        code: PROTOCOL_ERROR,
    },
    Provocation { name: "a second head", request: get, reset: get, code: PROTOCOL_ERROR },
    Provocation {
        name: "a stream that depends on itself",
        request: get,
        reset: |stream| frame(2, 0, stream, &[&stream.to_be_bytes()[..], &[16]].concat()),
        code: ENHANCE_YOUR_CALM,
    },
    Provocation {
        name: "a priority that is too short",
        request: get,
        reset: |stream| frame(2, 0, stream, &[0; 4]),
        code: PROTOCOL_ERROR,
    },
    Provocation {
        name: "a body that is too short",
        request: |stream| frame(HEADERS, END_HEADERS, stream, POST),
        reset: |stream| frame(0, END_STREAM, stream, b"abc"),
        code: ENHANCE_YOUR_CALM,
    },
];

/// As many as may be under way at a time.
const AT_ONCE: u32 = 100;

/// Sends requests and has them reset, until the connection ends, for five seconds at most; how many, and the code of the
/// last GOAWAY.
fn provoke(gateway: &Gateway, upstream: &Upstream, provocation: &Provocation) -> (u32, Option<u32>) {
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    let mut answers = stream.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let (mut bytes, mut chunk) = (Vec::new(), [0; 16_384]);
        while let Ok(read @ 1..) = answers.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..read]);
        }
        bytes
    });
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).unwrap();
    let (start, mut sent) = (Instant::now(), 0);
    while !reader.is_finished() && start.elapsed() < Duration::from_secs(5) {
        let streams = (sent..sent + AT_ONCE).map(|n| 2 * n + 1);
        let is_gone = stream.write_all(&streams.clone().flat_map(provocation.request).collect::<Vec<_>>()).is_err();
        sent += AT_ONCE;
        // They get to the upstream first, each by a connection of its own, since it does not answer.
        let (waited, arrived) = (Instant::now(), || upstream.connections());
        while !is_gone && arrived() < sent as usize && waited.elapsed() < Duration::from_millis(300) {
            thread::sleep(Duration::from_millis(1));
        }
        if is_gone || stream.write_all(&streams.flat_map(provocation.reset).collect::<Vec<_>>()).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    (sent, goaway(&reader.join().unwrap()))
}

/// The code of the last GOAWAY (RFC 9113, section 6.8) among these frames.
fn goaway(mut frames: &[u8]) -> Option<u32> {
    let mut code = None;
    while let Some((head, rest)) = frames.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if head[3] == 7 {
            code = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().unwrap()));
        }
        frames = rest;
    }
    code
}

#[test]
fn a_client_that_has_its_streams_reset_is_told_to_be_calm_before_it_has_cost_much() {
    let mut wrong = Vec::new();
    for provocation in &PROVOCATIONS {
        let upstream = Upstream::with(|_| Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0; 1])))));
        let gateway = gateway(format!("h2c: true\nroutes: [{{ path: /, target: {} }}]\n", upstream.url()));
        let (sent, code) = provoke(&gateway, &upstream, provocation);
        let arrived = upstream.connections();
        let seen = format!("{}: {arrived} of {sent} arrived, GOAWAY {code:?}", provocation.name);
        println!("{seen}");
        if arrived > 300 || code != Some(provocation.code) {
            wrong.push(seen);
        }
        assert_eq!(gateway.get("/gateway/livez").status, 200);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The service that is asked about each does not answer.
#[test]
fn a_client_that_resets_what_is_being_decided_upon_is_told_to_be_calm_as_well() {
    let upstream = Upstream::start();
    let service = Upstream::with(|_| Reply::Talk(Box::new(|stream| drop(stream.read(&mut [0; 1])))));
    let gateway = gateway(format!(
        "h2c: true\nroutes: [{{ path: /, target: {}, plugins: {{ forwardAuth: {{ url: '{}/', timeout: 3s }} }} }}]\n",
        upstream.url(),
        service.url()
    ));
    let (sent, code) = provoke(&gateway, &service, &PROVOCATIONS[0]);
    let arrived = service.connections();
    assert!(arrived <= 300 && code == Some(ENHANCE_YOUR_CALM), "{arrived} of {sent} arrived, GOAWAY {code:?}");
}

/// A connection whose client says what it has to at its beginning, and from then on hears nothing.
fn deaf(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
    let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[]), &frame(4, 1, 0, &[])].concat();
    stream.write_all(&hello).unwrap();
    stream
}

/// The end of a connection was a question that nobody had to answer, and so its place was taken for ever.
#[test]
fn an_idle_connection_is_closed_though_its_client_does_not_answer() {
    let gateway =
        gateway("h2c: true\nlimits: { idleTimeout: 300ms }\nroutes: [{ path: /, target: 'http://127.0.0.1:1' }]\n");
    let (begun, mut stream) = (Instant::now(), deaf(&gateway));
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(heard.windows(4).any(|head| head[3] == 7), "it was told nothing");
}

#[test]
fn who_goes_on_asking_after_the_last_request_is_cut_off() {
    let upstream = Upstream::start();
    let gateway = gateway(format!(
        "h2c: true\nlimits: {{ maxRequestsPerConnection: 3 }}\nroutes: [{{ path: /, target: {} }}]\n",
        upstream.url()
    ));
    let (begun, mut stream) = (Instant::now(), deaf(&gateway));
    let mut read = stream.try_clone().unwrap();
    thread::spawn(move || while read.read(&mut [0; 4_096]).is_ok_and(|n| n > 0) {});
    let mut number = 1;
    while begun.elapsed() < Duration::from_secs(12) && stream.write_all(&get(number)).is_ok() {
        number += 2;
        thread::sleep(Duration::from_millis(100));
    }
    let lasted = begun.elapsed();
    assert!(lasted > Duration::from_secs(4) && lasted < Duration::from_secs(10), "{lasted:?}");
}

/// At the 33rd the connection ended, with those that had been taken.
#[test]
fn a_client_that_has_not_heard_yet_how_much_it_may_ask_for_is_no_abuser() {
    let upstream = Upstream::start();
    let routes = format!("routes: [{{ path: /, target: {} }}]\n", upstream.url());
    let gateway = gateway(format!("h2c: true\nlimits: {{ maxStreams: 16 }}\n{routes}"));
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    let head = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
    stream.write_all(&(0..100).fold(head, |head, n| [head, get(2 * n + 1)].concat())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut bytes, mut chunk) = (Vec::new(), [0; 16_384]);
    let (answered, refused) = loop {
        let read = stream.read(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let counts = (count(&bytes, HEADERS), count(&bytes, 3));
        assert_eq!(goaway(&bytes), None, "{counts:?}");
        assert!(read > 0, "{counts:?}");
        if counts.0 + counts.1 == 100 {
            break counts;
        }
    };
    assert!(answered >= 16 && refused > 32, "{answered} {refused}");
}

fn count(mut frames: &[u8], kind: u8) -> usize {
    let mut found = 0;
    while let Some((head, rest)) = frames.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((_, rest)) = rest.split_at_checked(length) else { break };
        found += usize::from(head[3] == kind);
        frames = rest;
    }
    found
}
