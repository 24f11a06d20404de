//! Copies of requests.

use std::io::Read;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::dns::Dns;
use crate::support::{Gateway, Reply, Upstream, eventually, gateway, nobody, token};

fn copying(target: &str, shadow: &str, extra: &str) -> Gateway {
    gateway(format!("routes: [{{ path: /, target: {target}, mirror: {{ target: {shadow}{extra} }} }}]\n"))
}

/// The counts of copies once none is under way.
fn settled(gateway: &Gateway) -> [u64; 3] {
    eventually("no copy is under way", || {
        let mirror = gateway.stats()[0]["route"]["mirror"].clone();
        (mirror["inFlight"] == 0).then(|| ["sent", "failed", "dropped"].map(|name| mirror[name].as_u64().unwrap()))
    })
}

#[test]
fn a_copy_is_the_request_as_the_target_gets_it() {
    let (target, shadow) = (Upstream::start(), Upstream::with(|_| Reply::status(404, "not your business")));
    let gateway = gateway(format!(
        "routes: [{{ path: /, target: {}, plugins: {{ auth: true }}, mirror: {{ target: {} }} }}]\n",
        target.url(),
        shadow.url()
    ));
    let bearer = format!("Bearer {}", token("ann"));
    let mut connection = gateway.connect();
    connection.send(format!(
        "POST /a?b=c HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nX-User-Id: eve\r\nContent-Length: 5\r\n\r\nhello"
    ));
    assert_eq!((connection.answer(false).status, connection.request("GET", "/x", &[]).status), (200, 401));
    connection.send(format!(
        "PUT /chunks HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    ));
    assert_eq!(connection.answer(false).status, 200);
    assert_eq!(settled(&gateway), [2, 0, 0]);
    let (sent, copied) = (target.received(), shadow.received());
    assert_eq!((sent.len(), copied.len()), (2, 2));
    for sent in &sent {
        let copy = copied.iter().find(|copy| copy.line == sent.line).unwrap();
        assert_eq!((&copy.body, copy.header("x-user-id")), (&sent.body, Some("ann")));
        for name in ["x-request-id", "x-forwarded-for", "host", "content-length"] {
            assert_eq!(copy.header(name), sent.header(name), "{name}");
        }
    }
}

#[test]
fn a_share_is_copied() {
    let (target, shadow) = (Upstream::start(), Upstream::start());
    let gateway = copying(&target.url(), &shadow.url(), ", share: 25%");
    let mut connection = gateway.connect();
    (0..400).for_each(|_| assert_eq!(connection.request("GET", "/", &[]).status, 200));
    let [sent, failed, dropped] = settled(&gateway);
    // Six standard deviations to either side of 100.
    assert!((48..=152).contains(&sent) && failed == 0 && dropped == 0, "{sent} {failed} {dropped}");
    assert_eq!(shadow.received().len() as u64, sent);
}

#[test]
fn nobody_waits_for_a_shadow_that_hangs_and_its_copies_are_bounded() {
    let target = Upstream::start();
    let hung = Upstream::with(|_| {
        Reply::Talk(Box::new(|stream| {
            let _ = stream.read_to_end(&mut Vec::new());
        }))
    });
    let gateway = copying(&target.url(), &hung.url(), ", concurrency: 5");
    let body = "x".repeat(1 << 20);
    let mut connection = gateway.connect();
    let began = Instant::now();
    for _ in 0..20 {
        connection.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()));
        connection.send(&body);
        assert_eq!(connection.answer(false).status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let mirror = gateway.stats()[0]["route"]["mirror"].clone();
    assert!(mirror["inFlight"].as_u64().unwrap() <= 5 && mirror["dropped"].as_u64().unwrap() >= 15, "{mirror}");
    assert!(hung.received().len() <= 5);
}

/// What it does not take within a moment is not kept for it. When it reads at last, there is a part of the copy.
#[test]
fn a_shadow_that_does_not_read_neither_slows_a_large_upload_nor_has_it_kept() {
    const SIZE: usize = 100 << 20;
    let (target, shadow) = (Upstream::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let gateway = copying(&target.url(), &format!("http://{}", shadow.local_addr().unwrap()), "");
    let (over, is_over) = mpsc::channel();
    let copied = thread::spawn(move || {
        is_over.recv().unwrap();
        shadow.set_nonblocking(true).unwrap();
        // On a busy machine a moment may be over before there is a connection.
        let Ok((mut stream, _)) = shadow.accept() else { return 0 };
        stream.set_nonblocking(false).unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap()
    });
    let (memory, began) = (gateway.memory_kib("VmHWM:"), Instant::now());
    let mut connection = gateway.connect();
    connection.send(format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"));
    let piece = vec![b'x'; SIZE / 100];
    for _ in 0..100 {
        connection.send(&piece);
    }
    assert_eq!(connection.answer(false).status, 200);
    // Whoever waits for the shadow does so for thirty seconds.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let held = gateway.memory_kib("VmHWM:") - memory;
    assert!(held < 32 * 1_024, "the gateway took {held} KiB more: it keeps what it copies");
    assert_eq!((target.only().body.len(), gateway.stats()[0]["failed"].clone()), (SIZE, 0.into()));
    over.send(()).unwrap();
    assert_eq!(settled(&gateway), [0, 0, 1]);
    let copied = copied.join().unwrap() as usize;
    assert!(copied < SIZE, "{copied} bytes");
}

/// 64 pieces of a body waited for it, 4 MiB, and did so half a minute after the copy had been given up.
#[test]
fn a_shadow_that_takes_nothing_costs_little_and_its_copies_are_over_at_once() {
    let (target, deaf) = (Upstream::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let gateway = copying(&target.url(), &format!("http://{}", deaf.local_addr().unwrap()), "");
    let body = "x".repeat(6 << 20);
    let mut connection = gateway.connect();
    let mut post = |count: u64| {
        for _ in 0..count {
            connection.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()));
            connection.send(&body);
            assert_eq!(connection.answer(false).status, 200);
        }
    };
    post(1);
    let before = gateway.memory_kib("VmHWM:");
    post(20);
    assert_eq!(settled(&gateway), [0, 0, 21]);
    let more = gateway.memory_kib("VmHWM:").saturating_sub(before);
    assert!(more < 20 << 10, "{more} KiB");
}

#[test]
fn a_shadow_that_is_gone_or_fails_is_counted_and_nothing_else() {
    let target = Upstream::start();
    let failing = Upstream::failing();
    for (shadow, sent) in [(format!("http://{}", nobody()), 0), (failing.url(), 10)] {
        let gateway = copying(&target.url(), &shadow, "");
        (0..10).for_each(|_| assert_eq!(gateway.get("/").status, 200));
        assert_eq!(settled(&gateway), [sent, 10, 0]);
        assert_eq!((gateway.states().len(), &gateway.stats()[0]["failed"]), (1, &0.into()));
    }
}

/// Two copies of three were lost: one address was tried, and the next copy began with the next.
#[test]
fn a_shadow_with_several_addresses_gets_its_copies_by_the_one_that_is_well() {
    let (target, shadow) = (Upstream::start(), Upstream::start());
    let dns = Dns::start(60, &["127.0.0.7", "127.0.0.1", "127.0.0.9"].map(|address| ("shadow.test", address)), &[]);
    let gateway = gateway(format!(
        "{}routes: [{{ path: /, target: {}, mirror: {{ target: 'http://shadow.test:{}' }} }}]\n",
        dns.config(),
        target.url(),
        shadow.address.port()
    ));
    for _ in 0..6 {
        assert_eq!(gateway.get("/").status, 200);
        settled(&gateway);
    }
    assert_eq!((settled(&gateway), shadow.received().len()), ([6, 0, 0], 6));
}

/// Asked for the body of such an answer, Pingora panics, and the copy was under way for ever.
#[test]
fn informational_answers_of_a_shadow_are_passed_over() {
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let hints = |count| format!("{}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", hint.repeat(count)).into_bytes();
    let (target, early) = (Upstream::start(), Upstream::with(move |_| Reply::Bytes(hints(2))));
    let without_end = Upstream::with(move |_| Reply::Bytes(hints(100)));
    for (shadow, totals) in [(&early, [5, 0, 0]), (&without_end, [0, 5, 0])] {
        let gateway = copying(&target.url(), &shadow.url(), "");
        for _ in 0..5 {
            assert_eq!(gateway.get("/").status, 200);
            settled(&gateway);
        }
        assert_eq!(settled(&gateway), totals);
    }
    assert_eq!(early.connections(), 1, "the connection is kept");
}

#[test]
fn what_is_sent_again_is_copied_once() {
    let (resets, well) = (Upstream::with(|_| Reply::Reset(Vec::new())), Upstream::start());
    let shadow = Upstream::start();
    let gateway = gateway(format!(
        "routes: [{{ path: /, targets: [{}, {}], retry: {{ methods: [PUT] }}, mirror: {{ target: {} }} }}]\n",
        resets.url(),
        well.url(),
        shadow.url()
    ));
    let mut connection = gateway.connect();
    connection.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(connection.answer(false).status, 200);
    assert_eq!(well.received().len(), 1);
    assert_eq!(settled(&gateway), [1, 0, 0]);
    assert_eq!(shadow.only().body, b"hello");
}

/// A kept connection that the target closes as the request arrives: the request goes out on another one.
#[test]
fn what_is_sent_again_on_another_connection_is_copied_once() {
    let came = AtomicUsize::new(0);
    let target = Upstream::with(move |_| match came.fetch_add(1, Ordering::SeqCst) {
        1 => Reply::Close(Vec::new()),
        _ => Reply::ok(),
    });
    let shadow = Upstream::start();
    let gateway = copying(&target.url(), &shadow.url(), "");
    let mut connection = gateway.connect();
    for path in ["/first", "/second"] {
        connection.send(format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"));
        assert_eq!(connection.answer(false).status, 200);
    }
    assert_eq!(target.received().len(), 3, "the second one came twice");
    assert_eq!(settled(&gateway), [2, 0, 0]);
    let paths: Vec<String> = shadow.received().iter().map(|copy| copy.path().to_owned()).collect();
    assert!(paths.len() == 2 && paths.contains(&"/second".to_owned()), "{paths:?}");
}

#[test]
fn a_client_that_leaves_within_a_body_leaves_no_whole_copy() {
    let (target, shadow) = (Upstream::start(), Upstream::start());
    let gateway = copying(&target.url(), &shadow.url(), "");
    let mut connection = gateway.connect();
    connection.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    eventually("the copy has begun", || (gateway.stats()[0]["route"]["mirror"]["inFlight"] == 1).then_some(()));
    drop(connection);
    assert_eq!(settled(&gateway), [0, 0, 1]);
    assert_eq!(shadow.received().len(), 0);
}

#[test]
fn tunnels_are_not_copied() {
    let (target, shadow) = (Upstream::with(|_| Reply::status(426, "no")), Upstream::start());
    let gateway = copying(&target.url(), &shadow.url(), "");
    let upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
    assert_eq!(gateway.request("GET", "/", &upgrade).status, 426);
    assert_eq!((settled(&gateway), shadow.received().len()), ([0, 0, 0], 0));
}
