//! What looks as if a target had failed, and is the fault of somebody else.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::support::{Gateway, PATIENCE, Reply, Upstream, eventually, over};

/// A hundred clients of each kind that break their own requests.
fn clients_at_fault(misbehave: impl Fn(&Gateway, usize)) {
    // Answers only whole requests, and slowly when asked: some clients leave before.
    let upstream = Upstream::with(|request| {
        if request.path() == "/slow" {
            std::thread::sleep(Duration::from_millis(20));
        }
        Reply::ok()
    });
    let gateway = over(&[upstream.url(), upstream.url().replace("127.0.0.1", "localhost")], "");
    for i in 0..100 {
        misbehave(&gateway, i);
    }
    for row in gateway.settled_stats() {
        assert_eq!(
            (&row["state"], &row["failures"], &row["failed"]),
            (&"CLOSED".into(), &0.into(), &0.into()),
            "{row}"
        );
    }
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn clients_that_send_bad_chunks_open_no_circuit() {
    clients_at_fault(|gateway, i| {
        let chunk = ["zz\r\nhello\r\n", "5\r\nhel", "-1\r\nx\r\n", "5\r\nhello world\r\n"][i % 4];
        let mut connection = gateway.connect();
        connection.send(format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n{chunk}"));
        drop(connection);
    });
}

#[test]
fn clients_that_cut_their_uploads_open_no_circuit() {
    clients_at_fault(|gateway, i| {
        let mut connection = gateway.connect();
        connection.send(format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(i * 50)));
        if i % 2 == 0 {
            socket2::SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(connection);
    });
}

#[test]
fn clients_that_leave_before_the_answer_open_no_circuit() {
    clients_at_fault(|gateway, i| {
        let mut connection = gateway.connect();
        connection.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
        if i % 2 == 0 {
            socket2::SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(connection);
    });
}

#[test]
fn clients_that_stall_their_uploads_open_no_circuit() {
    let upstream = Upstream::start();
    let gateway = over(&[upstream.url()], ", timeouts: { read: 200ms }");
    for _ in 0..4 {
        let mut connection = gateway.connect();
        connection.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
        connection.answer(false).is_problem(408, "request_timeout");
    }
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failed"], &row["neutral"]), (&"CLOSED".into(), &0.into(), &4.into()), "{row}");
}

#[test]
fn tunnels_that_end_open_no_circuit_however_they_end() {
    let upstream = Upstream::with(|request| match request.path() {
        "/" => Reply::ok(),
        path => {
            let reset = path == "/reset";
            Reply::Talk(Box::new(move |stream| {
                let head = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
                stream.write_all(head.as_bytes()).unwrap();
                // Silence, until the gateway or the client has had enough; or the hammer.
                let _ = std::io::Read::read(stream, &mut [0; 1]);
                if reset {
                    let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                }
            }))
        }
    });
    let gateway = over(&[upstream.url()], ", timeouts: { read: 200ms }");
    for target in ["/silent", "/reset", "/silent", "/reset", "/silent"] {
        let mut connection = gateway.connect();
        let headers = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
        connection.send(crate::support::client::head("GET", target, &headers));
        assert_eq!(connection.next_answer(false).status, 101);
        if target == "/reset" {
            connection.send("x");
        }
        assert!(connection.is_closed());
    }
    assert_eq!(gateway.get("/").status, 200);
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failed"], &row["succeeded"]), (&"CLOSED".into(), &0.into(), &6.into()), "{row}");
}

/// The upstream waits for the client, too, and at some time gives up: that is no fault of the upstream's.
#[test]
fn clients_that_read_too_slowly_open_no_circuit() {
    const SIZE: usize = 32 * 1024 * 1024;
    let (give_up, given_up) = mpsc::channel();
    let upstream = Upstream::with(move |request| match request.path() {
        "/large" => {
            let give_up = give_up.clone();
            Reply::Talk(Box::new(move |stream| {
                stream.set_write_timeout(Some(Duration::from_millis(600))).unwrap();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
                let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![b'x'; SIZE]));
                let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
                give_up.send(sent.is_err()).unwrap();
            }))
        }
        _ => Reply::ok(),
    });
    let gateway = over(&[upstream.url()], "");
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut connection = gateway.connect();
            connection.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
            connection
        })
        .collect();
    for _ in 0..4 {
        assert!(given_up.recv_timeout(PATIENCE).unwrap(), "the client has read everything");
    }
    // What they do not take for a second is their fault.
    std::thread::sleep(Duration::from_millis(1_000));
    for mut connection in clients {
        let got = connection.rest().len();
        assert!((1..SIZE).contains(&got), "{got} bytes");
    }
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failed"], &row["neutral"]), (&"CLOSED".into(), &0.into(), &4.into()), "{row}");
}

/// For want of files, no connection to the target comes about.
#[test]
fn a_gateway_that_runs_out_of_files_opens_no_circuit_and_decides_no_probe() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = well.clone();
    let upstream = Upstream::with(move |_| match is_well.load(Ordering::SeqCst) {
        true => Reply::ok(),
        false => Reply::Close(b"HTTP/1.1 500 Reason\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()),
    });
    let gateway = over(&[upstream.url()], ", breaker: { failures: 1, cooldown: 100ms }");
    let run_out = || {
        let mut clients: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.request("GET", "/gateway/livez", &[]).status, 200));
        gateway.limit_files(3);
        for client in &mut clients {
            client.request("GET", "/", &[]).is_problem(500, "internal_error");
        }
        gateway.limit_files(1_024);
    };
    run_out();
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["failed"], &row["neutral"]), (&"CLOSED".into(), &0.into(), &3.into()), "{row}");
    eventually("it to be told", || gateway.stderr().contains("a fault of our own").then_some(()));
    assert_eq!(gateway.get("/").status, 500);
    eventually("the cooldown to be over", || (gateway.states() == ["HALF_OPEN"]).then_some(()));
    run_out();
    let row = &gateway.settled_stats()[0];
    assert_eq!((&row["state"], &row["trips"], &row["neutral"]), (&"HALF_OPEN".into(), &1.into(), &6.into()), "{row}");
    well.store(true, Ordering::SeqCst);
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(gateway.states(), ["CLOSED"]);
}
