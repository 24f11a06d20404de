//! Answers that never end, as those of `EventSource` (`text/event-stream`): each piece arrives when it is sent, and when the
//! client leaves, the target hears of it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use http::Request;

use crate::compression::so_far;
use crate::support::client::head;
use crate::support::{Gateway, PATIENCE, Reply, Upstream, gateway};

/// A target whose events come when the test says so.
struct Source {
    url: String,
    say: Sender<&'static str>,
    /// Told when the connection has ended.
    left: Receiver<()>,
}

impl Source {
    fn start(framing: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ((say, said), (leaves, left)) = (channel::<&str>(), channel());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
            let begin = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{framing}\r\n");
            stream.write_all(begin.as_bytes()).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            loop {
                for event in said.try_iter() {
                    let event = match framing {
                        "" => event.to_owned(),
                        _ => format!("{:x}\r\n{event}\r\n", event.len()),
                    };
                    stream.write_all(event.as_bytes()).unwrap();
                }
                match stream.read(&mut [0; 1]) {
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    _ => break,
                }
            }
            leaves.send(()).unwrap();
        });
        Source { url, say, left }
    }

    fn gateway(&self) -> Gateway {
        gateway(format!("h2c: true\nroutes: [{{ path: /, target: '{}' }}]\n", self.url))
    }

    fn is_left(&self) {
        self.left.recv_timeout(PATIENCE).expect("the target hears of it");
    }
}

const EVENTS: [&str; 3] = ["data: 1\n\n", ": still there\n\n", "data: 2\n\n"];

#[test]
fn events_arrive_one_by_one_over_http_1() {
    for framing in ["transfer-encoding: chunked\r\n", ""] {
        let source = Source::start(framing);
        let gateway = source.gateway();
        let mut connection = gateway.connect();
        connection.send(head("GET", "/", &[("Accept", "text/event-stream")]));
        let mut seen = String::new();
        for event in EVENTS {
            source.say.send(event).unwrap();
            while !seen.contains(event) {
                let mut chunk = [0; 1_000];
                let read = connection.stream.read(&mut chunk).unwrap();
                assert!(read > 0, "{seen}");
                seen.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
            }
        }
        assert!(seen.to_lowercase().contains("content-type: text/event-stream"), "{seen}");
        drop(connection);
        source.is_left();
    }
}

#[test]
fn events_arrive_one_by_one_over_http_2() {
    let source = Source::start("transfer-encoding: chunked\r\n");
    let gateway = source.gateway();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("http://gateway.test/").body(()).unwrap();
        let (answer, _) = client.ready().await.unwrap().send_request(request, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        for event in EVENTS {
            source.say.send(event).unwrap();
            let mut seen = Vec::new();
            while seen.len() < event.len() {
                let piece = tokio::time::timeout(PATIENCE, body.data()).await.unwrap().unwrap().unwrap();
                body.flow_control().release_capacity(piece.len()).unwrap();
                seen.extend_from_slice(&piece);
            }
            assert_eq!(seen, event.as_bytes());
        }
        drop(body);
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        source.is_left();
    });
}

/// Between two events, and once in their midst.
const EVERY: Duration = Duration::from_millis(100);
const GAP: Duration = Duration::from_millis(1_500);
/// What the route waits for the next piece.
const READ: &str = "4s";
const TICKS: usize = 20;
/// An event that is kept back until there is enough of them never comes: the stream has no end.
const LATE: Duration = Duration::from_secs(2);

/// A stream whose events say how long after `start` they were sent.
fn ticker(start: Instant) -> Upstream {
    Upstream::with(move |_| {
        Reply::Talk(Box::new(move |stream| {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            for nth in 0..TICKS {
                thread::sleep(if nth == TICKS / 2 { GAP } else { EVERY });
                let event = format!("data: {}\n\n", start.elapsed().as_millis());
                stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).unwrap();
            }
            // It stays open until the client leaves.
            drop(stream.read(&mut [0; 1]));
        }))
    })
}

/// How long each event took to a client of another make.
fn lags(gateway: &Gateway, protocol: &str, coding: &str, start: Instant) -> Vec<Duration> {
    let mut curl = Command::new("curl");
    let accept = format!("Accept-Encoding: {coding}");
    curl.args(["-sSN", "--max-time", "20", protocol, "-H", &accept, &format!("http://{}/", gateway.address)]);
    let mut curl = curl.stdout(Stdio::piped()).spawn().unwrap();
    let (mut body, mut chunk, mut lags) = (Vec::new(), [0; 4_096], Vec::new());
    let mut answer = curl.stdout.take().unwrap();
    while lags.len() < TICKS {
        let read = answer.read(&mut chunk).unwrap();
        let now = start.elapsed();
        assert!(read > 0, "{protocol} {coding}: the stream ended after {} events", lags.len());
        body.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8(so_far(coding, &body)).unwrap();
        let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
        for event in whole.split("\n\n").skip(lags.len()).filter(|event| !event.is_empty()) {
            let sent = Duration::from_millis(event.strip_prefix("data: ").unwrap().parse().unwrap());
            lags.push(now.saturating_sub(sent));
        }
    }
    curl.kill().unwrap();
    curl.wait().unwrap();
    lags
}

#[test]
fn events_are_there_when_they_are_sent_over_both_protocols_and_in_every_coding() {
    let start = Instant::now();
    let upstream = ticker(start);
    let gateway = gateway(format!(
        "h2c: true\nroutes: [{{ path: /, target: {}, timeouts: {{ read: {READ} }}, plugins: {{ compression: {{ types: text/event-stream, minSize: 0 }} }} }}]\n",
        upstream.url()
    ));
    let ways = ["--http1.1", "--http2-prior-knowledge"].map(|way| ["identity", "gzip", "br", "zstd"].map(|c| (way, c)));
    thread::scope(|scope| {
        for (protocol, coding) in ways.into_iter().flatten() {
            let gateway = &gateway;
            scope.spawn(move || {
                let lags = lags(gateway, protocol, coding, start);
                let longest = lags.iter().max().unwrap();
                println!("{protocol} {coding}: {} events, the latest {longest:?} after it was sent", lags.len());
                assert!(*longest < LATE, "{protocol} {coding}: {lags:?}");
            });
        }
    });
    assert_eq!(upstream.received().len(), 8);
}
