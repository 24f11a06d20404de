//! Requests over HTTP/1.1 and HTTP/2 and messages over a WebSocket, each at a steady pace, and what became of them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;

use crate::pace::exchange;
use crate::support::client::head;
use crate::support::{Connection, PATIENCE};

/// A load that goes on until it is ended.
pub struct Mixed {
    ended: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Count>>,
}

/// How often it went well, and what went wrong.
#[derive(Default)]
pub struct Count {
    kind: &'static str,
    good: usize,
    /// Connections that were made.
    connections: usize,
    /// Requests that were sent again, the gateway having said that it has not looked at them.
    again: usize,
    bad: Vec<String>,
}

/// What became of all of them.
pub struct Report(Vec<Count>);

impl Mixed {
    /// So many a second: half of them over eight connections of HTTP/1.1, four in ten over four of HTTP/2, a tenth as messages.
    pub fn start(gateway: SocketAddr, per_second: u32) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        let mut spawn =
            |kind: &'static str, share: u32, connections: u32, run: fn(SocketAddr, &mut Count, &mut Pace)| {
                for _ in 0..connections {
                    let mut pace = Pace::new(&ended, per_second * share / 10 / connections);
                    clients.push(thread::spawn(move || {
                        let mut count = Count { kind, ..Count::default() };
                        run(gateway, &mut count, &mut pace);
                        count
                    }));
                }
            };
        spawn("HTTP/1.1", 5, 8, http1);
        spawn("HTTP/2", 4, 4, http2);
        spawn("WebSocket", 1, 1, messages);
        Mixed { ended, clients }
    }

    /// Ends it.
    pub fn end(self) -> Report {
        self.ended.store(true, Ordering::Relaxed);
        Report(self.clients.into_iter().map(|client| client.join().unwrap()).collect())
    }
}

impl Report {
    #[track_caller]
    pub fn is_without_failure(&self) {
        assert!(self.0.iter().all(|count| count.bad.is_empty() && count.good > 0), "{self:?}");
    }
}

impl std::fmt::Debug for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for kind in ["HTTP/1.1", "HTTP/2", "WebSocket"] {
            let of = || self.0.iter().filter(|count| count.kind == kind);
            let (good, connections) = (of().map(|c| c.good).sum::<usize>(), of().map(|c| c.connections).sum::<usize>());
            let (bad, again): (Vec<&String>, usize) =
                (of().flat_map(|c| &c.bad).collect(), of().map(|c| c.again).sum());
            let told = format!("{again} sent again, {} bad {bad:?}", bad.len());
            write!(out, "{kind}: {good} good over {connections} connections, {told}; ")?;
        }
        Ok(())
    }
}

/// When to send the next one.
struct Pace {
    ended: Arc<AtomicBool>,
    every: Duration,
    next: Instant,
}

impl Pace {
    fn new(ended: &Arc<AtomicBool>, per_second: u32) -> Self {
        Pace { ended: ended.clone(), every: Duration::from_secs(1) / per_second, next: Instant::now() }
    }

    /// When that is; none if it is over.
    fn turn(&mut self) -> Option<Instant> {
        let turn = self.next;
        self.next += self.every;
        (!self.ended.load(Ordering::Relaxed)).then_some(turn)
    }

    fn wait(&mut self) -> Option<()> {
        self.turn().map(|turn| thread::sleep(turn.saturating_duration_since(Instant::now())))
    }
}

fn http1(gateway: SocketAddr, count: &mut Count, pace: &mut Pace) {
    let mut stream = None;
    while pace.wait().is_some() {
        count.connections += usize::from(stream.is_none());
        match exchange(&mut stream, gateway, "/h1", "192.0.2.1") {
            Ok(200) => count.good += 1,
            other => count.bad.push(format!("{other:?}")),
        }
    }
}

fn http2(gateway: SocketAddr, count: &mut Count, pace: &mut Pace) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = None;
        while let Some(turn) = pace.turn() {
            tokio::time::sleep_until(turn.into()).await;
            // Whoever has been sent away goes elsewhere before sending anything.
            let ready = match client.take() {
                Some(client) => SendRequest::ready(client).await.ok(),
                None => None,
            };
            let asked = async {
                match ask(gateway, ready, count).await {
                    // The library sends a request that was waiting when it is told to send none, behind the sign that it has heard.
                    // The gateway says that it has not looked at it (RFC 9113, section 6.8).
                    Err(Failed::Unprocessed) => {
                        count.again += 1;
                        ask(gateway, None, count).await
                    }
                    other => other,
                }
            };
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(Ok((200, ready))) => {
                    count.good += 1;
                    client = Some(ready);
                }
                other => count.bad.push(format!("{:?}", other.map(|other| other.map(|(status, _)| status)))),
            }
        }
    });
}

/// Why there is no answer.
#[derive(Debug)]
enum Failed {
    /// A connection ended in good order, and before this request.
    Unprocessed,
    /// Anything else.
    #[expect(dead_code, reason = "it is shown")]
    For(String),
}

/// One request, by `client` or a new one; its status, and who may ask again.
async fn ask(
    gateway: SocketAddr,
    client: Option<SendRequest<Bytes>>,
    count: &mut Count,
) -> Result<(u16, SendRequest<Bytes>), Failed> {
    let mut client = match client {
        Some(client) => client,
        None => connect(gateway, count).await.map_err(Failed::For)?,
    };
    let request = http::Request::get(format!("http://{gateway}/h2")).body(()).unwrap();
    let broken = |error: h2::Error| Failed::For(words(error));
    let answer = client.send_request(request, true).map_err(broken)?.0.await.map_err(|error| {
        let is_refused = error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
        if is_refused { Failed::Unprocessed } else { broken(error) }
    })?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    while let Some(chunk) = body.data().await {
        body.flow_control().release_capacity(chunk.map_err(broken)?.len()).map_err(broken)?;
    }
    Ok((status, client))
}

async fn connect(gateway: SocketAddr, count: &mut Count) -> Result<SendRequest<Bytes>, String> {
    count.connections += 1;
    let stream = tokio::net::TcpStream::connect(gateway).await.map_err(words)?;
    stream.set_nodelay(true).unwrap();
    let (client, connection) = h2::client::handshake(stream).await.map_err(words)?;
    tokio::spawn(connection);
    client.ready().await.map_err(words)
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A tunnel to whoever says back what it hears.
fn open(gateway: SocketAddr) -> io::Result<TcpStream> {
    let mut connection = Connection::open(gateway);
    let upgrade = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    connection.send(head("GET", "/echo", &upgrade));
    match connection.next_answer(false).status {
        101 => Ok(connection.stream),
        status => Err(io::Error::other(format!("{status} in place of a tunnel"))),
    }
}

/// Each tunnel carries fifty messages, and is then closed by the client.
fn messages(gateway: SocketAddr, count: &mut Count, pace: &mut Pace) {
    const MESSAGES: usize = 50;
    let mut tunnel: Option<(TcpStream, usize)> = None;
    while pace.wait().is_some() {
        let said = (|| -> io::Result<()> {
            let (mut stream, sent) = match tunnel.take() {
                Some(tunnel) => tunnel,
                None => {
                    count.connections += 1;
                    (open(gateway)?, 0)
                }
            };
            let frame = [0x81, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9];
            stream.write_all(&frame)?;
            let mut answer = [0; 11];
            stream.read_exact(&mut answer)?;
            if answer != frame {
                return Err(io::Error::other("another answer"));
            }
            tunnel = Some((stream, sent + 1)).filter(|(_, sent)| *sent < MESSAGES);
            Ok(())
        })();
        match said {
            Ok(()) => count.good += 1,
            Err(error) => count.bad.push(error.to_string()),
        }
    }
}
