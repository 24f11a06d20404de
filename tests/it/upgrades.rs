//! Requests to speak another protocol.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use crate::support::front::front;
use crate::support::gateway::open;
use crate::support::{Certificates, Gateway, Reply, Upstream, gateway};

/// A server that switches to a protocol in which it says back whatever it hears.
fn echo() -> Upstream {
    Upstream::with(|request| match request.path() {
        "/users/refused" => Reply::status(426, "not here"),
        _ => Reply::Talk(Box::new(|stream| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            let mut chunk = [0; 1024];
            while let Ok(n @ 1..) = stream.read(&mut chunk) {
                stream.write_all(&chunk[..n]).unwrap();
            }
        })),
    })
}

const UPGRADE: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];
const FRAME: [u8; 11] = [0x81, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9];

#[test]
fn an_upgrade_becomes_a_tunnel() {
    let upstream = echo();
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    connection.send(crate::support::client::head("GET", "/users/ws", &UPGRADE));
    let response = connection.next_answer(false);
    assert_eq!((response.status, response.header("upgrade")), (101, Some("websocket")));
    for _ in 0..100 {
        connection.send(FRAME);
        assert_eq!(connection.take(11), FRAME);
    }
    let received = upstream.only();
    assert_eq!((received.header("upgrade"), received.header("connection")), (Some("websocket"), Some("Upgrade")));
    drop(connection);
    gateway.log_line("/users/ws → 101 (");
    let row = &gateway.stats()[0];
    assert_eq!((&row["succeeded"], &row["failed"]), (&1.into(), &0.into()), "{row}");
}

/// Pingora 0.9.1 closes the tunnel if the 101 is there before it has seen that the request has no body
/// (cloudflare/pingora 946): under load that is every few hundredth upgrade.
#[test]
fn upgrades_become_tunnels_however_fast_the_upstream_answers() {
    let upstream = echo();
    become_tunnels(&open(&upstream));
    let certificates = Certificates::make();
    let address = front(&certificates, &["http/1.1"], None, upstream.address);
    let ca = certificates.ca.display();
    become_tunnels(&gateway(format!(
        "routes: [{{ path: /users, target: 'https://{address}', upstreamTls: {{ caFile: {ca} }} }}]\n"
    )));
}

/// All of many at once.
fn become_tunnels(gateway: &Gateway) {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..60 {
                    let mut connection = gateway.connect();
                    connection.send(crate::support::client::head("GET", "/users/ws", &UPGRADE));
                    assert_eq!(connection.next_answer(false).status, 101);
                    assert_eq!(connection.send(FRAME).take(11), FRAME);
                }
            });
        }
    });
}

#[test]
fn an_upgrade_that_is_not_passed_on_costs_no_connection() {
    let upstream = Upstream::start();
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    for _ in 0..20 {
        let headers = [("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMA")];
        assert_eq!(connection.request("GET", "/users", &headers).status, 200);
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(upstream.received()[0].header("upgrade"), None);
}

#[test]
fn an_upgrade_that_the_upstream_refuses_is_an_ordinary_answer() {
    let upstream = echo();
    let gateway = open(&upstream);
    let mut connection = gateway.connect();
    for _ in 0..3 {
        let response = connection.request("GET", "/users/refused", &UPGRADE);
        assert_eq!((response.status, response.text()), (426, "not here"));
    }
}

#[test]
fn switching_protocols_unasked_is_a_bad_answer() {
    let upstream = Upstream::with(|_| {
        Reply::Close(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nraw".to_vec())
    });
    let gateway = open(&upstream);
    gateway.get("/users").is_problem(502, "upstream_bad_answer");
}

/// Pingora's sessions end after a minute in which the client says nothing, whatever the config says.
#[test]
fn who_may_be_silent_for_longer_than_a_minute_is_not_cut_off_after_one() {
    // That minute is told by no clock that could be set.
    const LONG: Duration = Duration::from_secs(62);
    let upstream = echo();
    let other = Upstream::start();
    let (a, b) = (upstream.url(), other.url());
    let gateway = gateway(format!(
        "limits: {{ minRate: off }}\ndefaults: {{ timeouts: {{ read: 5m }} }}\nroutes: [{{ path: /users/ws, target: {a} }}, {{ path: /, target: {b} }}]\n"
    ));
    let (mut tunnel, mut upload) = (gateway.connect(), gateway.connect());
    tunnel.send(crate::support::client::head("GET", "/users/ws", &UPGRADE));
    assert_eq!(tunnel.next_answer(false).status, 101);
    upload.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    thread::sleep(LONG);
    assert_eq!(tunnel.send(FRAME).take(11), FRAME);
    assert_eq!(upload.send("world").answer(false).status, 200);
    assert_eq!(other.only().body, b"helloworld");
}
