//! Connections to targets that wait for the next request: who gets them, and when they are closed.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{scope, spawn};

use pingora_core::protocols::SocketDigest;

use crate::support::client::head;
use crate::support::{Gateway, Reply, Upstream, aegis, eventually, gateway, over};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const OTHER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother";

/// A target, and how many connections it has had.
struct Target {
    url: String,
    made: Arc<AtomicUsize>,
    /// Those that the gateway has not closed.
    open: Arc<AtomicUsize>,
}

impl Target {
    /// One that does so with each request, all of which comes at once.
    fn start(reply: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + Clone + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let target = Target { url, made: Arc::default(), open: Arc::default() };
        let (made, open) = (target.made.clone(), target.open.clone());
        spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                made.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (reply, open) = (reply.clone(), open.clone());
                spawn(move || {
                    while stream.read(&mut [0; 4_096]).is_ok_and(|n| n > 0) && reply(&mut stream).is_ok() {}
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        target
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

fn answer(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(OK)
}

#[test]
fn a_connection_that_its_target_closes_is_closed() {
    let target = Target::start(|stream| {
        stream.write_all(OK)?;
        stream.shutdown(Shutdown::Write)
    });
    let gateway = over(std::slice::from_ref(&target.url), "");
    assert_eq!(gateway.get("/").status, 200);
    eventually("the gateway to close it, too", || (target.made() == 1 && target.open() == 0).then_some(()));
}

/// It would be the answer to somebody else's request.
#[test]
fn what_a_target_says_that_nobody_has_asked_goes_to_nobody() {
    let (now, waits) = channel();
    let waits = Arc::new(Mutex::new(waits));
    let target = Target::start(move |stream| {
        stream.write_all(OK)?;
        waits.lock().unwrap().recv().map_err(std::io::Error::other)?;
        stream.write_all(OTHER)
    });
    let gateway = over(std::slice::from_ref(&target.url), "");
    for number in 1..=3 {
        assert_eq!(gateway.get("/").text(), "ok");
        // The connection is kept once the request is over, a moment after its answer.
        gateway.settled_stats();
        now.send(()).unwrap();
        eventually("the connection to be closed", || (target.made() == number && target.open() == 0).then_some(()));
    }
}

#[test]
fn those_of_a_target_that_is_not_in_the_config_any_more_are_closed() {
    let (old, new) = (Target::start(answer), Target::start(answer));
    let to = |target: &Target| format!("routes: [{{ path: /, target: '{}' }}]\n", target.url);
    let gateway = gateway(to(&old));
    assert_eq!(gateway.get("/").status, 200);
    assert!(old.open() > 0);
    gateway.configure(to(&new));
    eventually("the new target to be asked", || {
        assert_eq!(gateway.get("/").status, 200);
        (new.made() > 0).then_some(())
    });
    eventually("the old one to be left alone", || (old.open() == 0).then_some(()));
    assert!(new.open() > 0);
}

/// Node.js keeps them for five seconds and says so; without, a POST would now and then be lost in the very moment they end.
#[test]
fn no_request_is_sent_on_a_connection_that_its_target_is_about_to_close() {
    let [patient, hasty] = ["max=100", "timeout=1"].map(|says| {
        let answer = format!("HTTP/1.1 200 OK\r\nkeep-alive: {says}\r\ncontent-length: 2\r\n\r\nok");
        Target::start(move |stream| stream.write_all(answer.as_bytes()))
    });
    let routes = [("/patient", &patient), ("/hasty", &hasty)];
    let routes = routes.map(|(path, target)| format!("{{ path: {path}, target: '{}' }}", target.url));
    let gateway = gateway(format!("routes: [{}]\n", routes.join(", ")));
    let ask = || ["/patient", "/hasty"].map(|path| gateway.request("POST", path, &[]).status);
    assert_eq!(ask(), [200; 2]);
    // Neither closes anything by itself.
    eventually("the gateway to leave it", || (hasty.open() == 0).then_some(()));
    assert_eq!(patient.open(), 1);
    assert_eq!(ask(), [200; 2]);
    assert_eq!((patient.made(), hasty.made()), (1, 2));
}

/// Where there may be 256 files, 32 are kept of those that go the short way.
#[test]
fn so_many_are_kept_and_the_oldest_make_place_for_those_that_are_in_use() {
    const MANY: usize = 60;
    let all = Arc::new(Barrier::new(MANY));
    let crowded = {
        let all = all.clone();
        Target::start(move |stream| {
            all.wait();
            answer(stream)
        })
    };
    let other = Target::start(answer);
    let config =
        format!("routes: [{{ path: /a, target: '{}' }}, {{ path: /b, target: '{}' }}]\n", crowded.url, other.url);
    let gateway = with_files(256, &config);
    scope(|scope| {
        (0..MANY).for_each(|_| drop(scope.spawn(|| assert_eq!(gateway.get("/a").status, 200))));
    });
    eventually("those that are too many to be closed", || (crowded.open() <= 32).then_some(()));
    assert_eq!(crowded.made(), MANY);
    assert!(crowded.open() > 16, "{}", crowded.open());
    eventually("a place for another target", || {
        let before = other.made();
        assert_eq!(gateway.get("/b").status, 200);
        (other.made() == before).then_some(())
    });
}

/// What Pingora sends has its own pool, whose size was that for each thread.
#[test]
fn as_many_are_kept_of_what_does_not_go_the_short_way_however_many_threads_there_are() {
    const MANY: usize = 60;
    let all = Arc::new(Barrier::new(MANY));
    let upstream = Upstream::with(move |_| {
        all.wait();
        Reply::ok()
    });
    let gateway = with_files(256, &format!("threads: 4\nroutes: [{{ path: /, target: '{}' }}]\n", upstream.url()));
    let upload = [head("POST", "/", &[("Content-Length", "20000")]).into_bytes(), vec![b'x'; 20_000]].concat();
    for _ in 0..2 {
        scope(|scope| {
            let send = || assert_eq!(gateway.connect().send(&upload).answer(false).status, 200);
            (0..MANY).for_each(|_| drop(scope.spawn(send)));
        });
        gateway.settled_stats();
    }
    let reused = 2 * MANY - upstream.connections();
    assert!((16..=32).contains(&reused), "{reused}");
}

fn with_files(most: u32, config: &str) -> Gateway {
    let plain = aegis(&["run", "-c", "aegis.yaml"]);
    let directory = plain.get_current_dir().unwrap();
    fs::write(directory.join("aegis.yaml"), format!("listen: 127.0.0.1:0\n{config}")).unwrap();
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={most}:{most}")).arg(plain.get_program()).args(plain.get_args());
    for (name, _) in plain.get_envs() {
        command.env_remove(name);
    }
    command.current_dir(directory);
    Gateway::spawn(command)
}

#[test]
fn a_short_body_goes_with_its_head() {
    let (came, packets) = channel();
    let target = Target::start(move |stream| {
        let info = SocketDigest::from_raw_fd(stream.as_raw_fd()).tcp_info().unwrap();
        came.send((info.tcpi_data_segs_in, info.tcpi_bytes_received)).unwrap();
        stream.write_all(OK)
    });
    let gateway = gateway(format!("routes: [{{ path: /, target: '{}' }}]\n", target.url));
    let mut client = gateway.connect();
    for (nth, length) in [1_000, 2, 3_000].into_iter().enumerate() {
        client.send([head("PUT", "/", &[("Content-Length", &length.to_string())]), "x".repeat(length)].concat());
        assert_eq!(client.next_answer(false).status, 200);
        let (packets, bytes) = packets.recv().unwrap();
        assert_eq!(packets as usize, nth + 1);
        assert!(bytes > length as u64, "{bytes}");
    }
}

/// A head that goes alone is the dearest half of most answers.
#[test]
fn an_answer_that_is_there_goes_at_once() {
    let long =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10000\r\n\r\n{}", "x".repeat(10_000));
    let chunks =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n{}\r\n0\r\n\r\n", "x".repeat(2_000));
    let target = Upstream::with(move |request| match request.path() {
        "/long" => Reply::Bytes(long.clone().into_bytes()),
        "/chunks" => Reply::Bytes(chunks.clone().into_bytes()),
        _ => Reply::Bytes(OK.to_vec()),
    });
    let url = target.url();
    let squeezed = "plugins: { compression: { algorithms: gzip } }";
    let gateway = gateway(format!(
        "routes:\n  - {{ path: /here, target: '{url}', stripPrefix: true }}\n  - {{ path: /squeezed, target: '{url}', stripPrefix: true, {squeezed} }}\n"
    ));
    let mut client = gateway.connect();
    let mut packets = 0;
    for (path, lengths) in [
        ("/here/long", 10_000..=10_000),
        ("/here/short", 2..=2),
        ("/here/chunks", 2_000..=2_000),
        ("/squeezed/long", 1..=100),
    ] {
        let answer = client.request("GET", path, &[("Accept-Encoding", "gzip")]);
        assert_eq!(answer.header("content-encoding"), path.starts_with("/squeezed").then_some("gzip"), "{path}");
        assert!(lengths.contains(&answer.body.len()), "{path}: {}", answer.body.len());
        let info = SocketDigest::from_raw_fd(client.stream.as_raw_fd()).tcp_info().unwrap();
        assert_eq!(info.tcpi_data_segs_in - packets, 1, "{path}");
        packets = info.tcpi_data_segs_in;
    }
    client.request("GET", "/nowhere", &[]).is_problem(404, "no_route");
    let info = SocketDigest::from_raw_fd(client.stream.as_raw_fd()).tcp_info().unwrap();
    assert_eq!(info.tcpi_data_segs_in - packets, 1, "an answer of the gateway's own");
}
