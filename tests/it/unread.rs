//! Answers of HTTP/2 that their clients do not read: what they hold, and whom they keep waiting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::{Gateway, PATIENCE, Reply, Upstream, gateway};

const BIG: usize = 1 << 20;

/// A target of HTTP/2 that answers `/big` with a mebibyte and everything else with a word; where it is, and how many connections it
/// has had.
fn h2c() -> (String, Arc<AtomicUsize>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    std::thread::spawn(move || {
        runtime.block_on(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
    });
    (url, connections)
}

async fn serve(stream: TcpStream) {
    let body = Bytes::from(vec![b'x'; BIG]);
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let body = if request.uri().path() == "/big" { body.clone() } else { Bytes::from_static(b"ok") };
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        // It waits in the library until it may be sent.
        stream.send_data(body, true).unwrap();
    }
}

fn h1() -> Upstream {
    Upstream::with(|request| match request.path() {
        "/big" => Reply::status(200, &"x".repeat(BIG)),
        _ => Reply::ok(),
    })
}

fn over(target: &str) -> Gateway {
    let gateway =
        gateway(format!("h2c: true\nlimits: {{ minRateGrace: 60s }}\nroutes: [{{ path: /, target: '{target}' }}]\n"));
    gateway.limit_files(8_192);
    gateway
}

/// A connection whose client has room for so much of each answer.
async fn connect(gateway: SocketAddr, window: u32) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (client, connection) = builder.initial_window_size(window).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ask(client: &SendRequest<Bytes>, path: &str) -> ResponseFuture {
    let request = Request::get(format!("http://gateway.test{path}")).body(()).unwrap();
    client.clone().ready().await.unwrap().send_request(request, true).unwrap().0
}

/// So many answers on each of so many connections, of which nothing is read but the heads.
async fn unread(gateway: SocketAddr, connections: usize, each: usize) -> Vec<Response<h2::RecvStream>> {
    let mut answers = Vec::new();
    for _ in 0..connections {
        let client = connect(gateway, 0).await;
        for _ in 0..each {
            answers.push(ask(&client, "/big").await);
        }
    }
    let mut unread = Vec::new();
    for answer in answers {
        unread.push(timeout(PATIENCE, answer).await.expect("a head").unwrap());
    }
    unread
}

/// The memory of a gateway in KiB, once it takes no more and gives none back.
async fn settled(gateway: &Gateway) -> u64 {
    let (mut held, mut alike) = (gateway.memory_kib("RssAnon:"), 0);
    let settles = async {
        while alike < 10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = gateway.memory_kib("RssAnon:");
            (held, alike) = if now.abs_diff(held) < 64 { (held, alike + 1) } else { (now, 0) };
        }
    };
    timeout(PATIENCE, settles).await.expect("it to settle");
    held
}

fn run<T>(act: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(act)
}

#[test]
fn an_answer_that_nobody_reads_holds_little_whatever_its_target_speaks() {
    const COUNT: usize = 400;
    let (plain, (h2c, _)) = (h1(), h2c());
    for (target, most) in [(plain.url(), 256), (h2c, 448)] {
        for each in [100, 1] {
            let gateway = over(&target);
            let held = run(async {
                drop(unread(gateway.address, 1, 20).await);
                let before = settled(&gateway).await;
                let _unread = unread(gateway.address, COUNT / each, each).await;
                settled(&gateway).await.saturating_sub(before)
            });
            let held = held / COUNT as u64;
            println!("{target}, {each} on a connection: {held} KiB each");
            assert!(held < most, "{target}, {each} on a connection: {held} KiB each");
        }
    }
}

/// A target's connection has a window for all of its answers. Eight that nobody read used it up, and the others stood still.
#[test]
fn answers_that_nobody_reads_keep_no_others_of_their_target_waiting() {
    let (target, connections) = h2c();
    let gateway = over(&target);
    run(async {
        let client = connect(gateway.address, 1 << 20).await;
        // One after another, so that they share a connection.
        let mut kept = Vec::new();
        for _ in 0..90 {
            kept.push(unread(gateway.address, 1, 1).await);
        }
        settled(&gateway).await;
        for path in ["/small", "/big", "/small"] {
            let answer = timeout(PATIENCE, ask(&client, path).await).await.expect("a head").unwrap();
            let (mut body, mut length) = (answer.into_body(), 0);
            while let Some(piece) = timeout(PATIENCE, body.data()).await.expect("it goes on") {
                let piece = piece.unwrap();
                body.flow_control().release_capacity(piece.len()).unwrap();
                length += piece.len();
            }
            assert_eq!(length, if path == "/big" { BIG } else { 2 });
        }
    });
    assert_eq!(connections.load(Ordering::SeqCst), 1, "they have shared a connection");
}
