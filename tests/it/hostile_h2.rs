//! Requests of HTTP/2 that would be something else in HTTP/1.1: each ends its stream, its connection or in a refusal, or
//! arrives as one request that reads in one way. Frames are written by hand, since no library would.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Gateway, Received, Upstream, eventually, gateway};

type Fields<'f> = Vec<(&'f [u8], &'f [u8])>;

/// A field of HPACK, never indexed and not compressed (RFC 7541, section 6.2.3).
fn literal(block: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        short @ 0..127 => block.push(short as u8),
        long => {
            block.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                block.push((rest % 128 + 128) as u8);
                rest /= 128;
            }
            block.push(rest as u8);
        }
    }
    block.extend_from_slice(text);
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        literal(&mut block, name);
        literal(&mut block, value);
    }
    block
}

/// A request with this head, and a body if there is one.
fn request(fields: &Fields<'_>, body: Option<&[u8]>) -> Vec<u8> {
    let block = block(fields);
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let mut bytes = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
    bytes.extend(frame(1, if body.is_some() { 4 } else { 5 }, &block));
    bytes.extend(body.map(|body| frame(0, 1, body)).unwrap_or_default());
    bytes
}

fn exchange(gateway: &Gateway, bytes: &[u8]) {
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
    let _ = stream.write_all(bytes);
    let mut chunk = [0; 4_096];
    while stream.read(&mut chunk).is_ok_and(|n| n > 0) {}
}

/// Whether a request reads in one way.
fn is_plain(received: &Received) -> bool {
    let count = |name: &str| received.headers.iter().filter(|(known, _)| known == name).count();
    let mut words = received.line.split(' ');
    let line = (words.next(), words.next().is_some_and(|path| path.starts_with('/')), words.next(), words.next());
    matches!(line, (Some("GET" | "POST"), true, Some("HTTP/1.1"), None))
        && count("host") == 1
        && count("cookie") <= 1
        && count("content-length") + count("transfer-encoding") <= 1
        && !["connection", "upgrade", "te", "keep-alive", "x-user-id", "smuggled"].iter().any(|name| count(name) > 0)
        && received.headers.iter().all(|(name, value)| {
            !name.starts_with(':')
                && !name.contains([' ', '\t'])
                && value.bytes().all(|byte| byte >= 0x20 || byte == b'\t')
        })
}

const PLAIN: [(&[u8], &[u8]); 4] =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/a")];

/// The plain head with one field changed, or without it.
fn with<'f>(name: &'f [u8], value: Option<&'f [u8]>) -> Fields<'f> {
    let changed = |(known, plain): (&'f [u8], &'f [u8])| {
        if known == name { value.map(|value| (known, value)) } else { Some((known, plain)) }
    };
    PLAIN.into_iter().filter_map(changed).collect()
}

/// The plain head with more fields after it.
fn and<'f>(more: &[(&'f [u8], &'f [u8])]) -> Fields<'f> {
    PLAIN.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn what_would_be_something_else_in_http_1_does_not_get_there() {
    let upstream = Upstream::start();
    let gateway = gateway(format!("h2c: true\nroutes: [{{ path: /, target: {}, breaker: off }}]\n", upstream.url()));
    exchange(&gateway, &request(&PLAIN.to_vec(), None));
    assert_eq!(upstream.only().line, "GET /a HTTP/1.1");
    let mut hostile: Vec<(Fields<'_>, Option<&[u8]>)> = Vec::new();
    for bad in [
        &b"\r\n"[..],
        b"\r",
        b"\n",
        b"\0",
        b"\x01",
        b"\x1f",
        b"\x7f",
        b" ",
        b"\t",
        b"\x0b",
        b"\xff",
        b"\r\nsmuggled: 1",
        b" HTTP/1.1\r\nsmuggled: 1\r\nx: ",
    ] {
        let inside = |before: &[u8], after: &[u8]| -> &'static [u8] {
            Box::leak([before, bad, after].concat().into_boxed_slice())
        };
        for (name, before, after) in [
            (&b":method"[..], &b"GE"[..], &b"T"[..]),
            (b":path", b"/a", b"b"),
            (b":path", b"/?a", b"b"),
            (b":authority", b"x", b"y"),
            (b":scheme", b"ht", b"tp"),
        ] {
            hostile.push((with(name, Some(inside(before, after))), None));
        }
        hostile.push((and(&[(inside(b"a", b"b"), b"c")]), None));
        if !matches!(bad, b" " | b"\t" | b"\xff") {
            hostile.push((and(&[(b"a", inside(b"b", b"c"))]), None));
        }
    }
    for (name, value) in [
        (&b"connection"[..], &b"close"[..]),
        (b"connection", b"x-user-id"),
        (b"keep-alive", b"5"),
        (b"proxy-connection", b"x"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"te", b"gzip"),
        (b"Upper", b"case"),
        (b"", b"empty"),
        (b":path", b"/b"),
        (b":method", b"POST"),
        (b":authority", b"y"),
        (b":status", b"200"),
        (b":unknown", b"x"),
        (b"host", b"y"),
        (b"host", b"x, x"),
        (b"content-length", b"5"),
        (b"content-length", b"-1"),
        (b"content-length", b"0, 5"),
        (b"content-length", b"x"),
        (b"a:b", b"c"),
        (b"a b", b"c"),
    ] {
        hostile.push((and(&[(name, value)]), None));
    }
    for (name, value) in [
        (&b":method"[..], None),
        (b":path", None),
        (b":scheme", None),
        (b":path", Some(&b""[..])),
        (b":path", Some(b"a")),
        (b":path", Some(b"*")),
        (b":path", Some(b"http://y/")),
        (b":path", Some(b"/%00")),
        (b":path", Some(b"/a/..%2fb")),
        (b":path", Some(b"/a\\b")),
        (b":method", Some(b"")),
        (b":method", Some(b"get")),
        (b":method", Some(b"TRACE")),
        (b":method", Some(b"CONNECT")),
        (b":authority", Some(b"")),
        (b":authority", Some(b"u@x")),
        (b":authority", Some(b"x:a")),
        (b":authority", Some(b"x/y")),
        (b":authority", Some(b"x:99999")),
        (b":authority", Some(b"x, y")),
        (b":authority", None),
    ] {
        hostile.push((with(name, value), None));
    }
    for (lengths, body) in [
        (&[&b"4"[..]][..], &b"abcde"[..]),
        (&[b"6"], b"abcde"),
        (&[b"5", b"6"], b"abcde"),
        (&[b"5, 6"], b"abcde"),
        (&[b"+5"], b"abcde"),
        (&[b"18446744073709551621"], b"abcde"),
    ] {
        let mut fields = with(b":method", Some(b"POST"));
        fields.extend(lengths.iter().map(|length| (&b"content-length"[..], *length)));
        hostile.push((fields, Some(body)));
    }
    let cases = hostile.len();
    let mut wrong = Vec::new();
    for (fields, body) in hostile {
        let before = upstream.received().len();
        exchange(&gateway, &request(&fields, body));
        let arrived = upstream.received().split_off(before);
        if !arrived.is_empty() {
            let shown: Vec<_> =
                fields.iter().map(|(name, value)| [name, value].map(|it| String::from_utf8_lossy(it))).collect();
            wrong.push(format!("{shown:?} arrived as {arrived:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases >= 135, "{cases} cases");
    assert_eq!(gateway.settled_stats()[0]["failed"], 0, "nobody is blamed for it");
}

#[test]
fn what_may_pass_arrives_in_one_form() {
    let upstream = Upstream::start();
    let gateway = gateway(format!("h2c: true\nroutes: [{{ path: /, target: {} }}]\n", upstream.url()));
    let cases: Vec<(Fields<'_>, Option<&[u8]>)> = vec![
        (and(&[(b"host", b"x")]), None),
        (and(&[(b"cookie", b"a=1"), (b"cookie", b"b=2")]), None),
        (and(&[(b"te", b"trailers")]), None),
        (and(&[(b"x-user-id", b"root"), (b"x_user_id", b"root")]), None),
        (and(&[(b"content-length", b"0")]), None),
        (and(&[(b"transfer_encoding", b"chunked"), (b"content_length", b"7")]), None),
        (with(b":path", Some(b"/a/../b")), None),
        (with(b":path", Some(b"/%2e/b")), None),
        (with(b":path", Some(b"//b")), None),
        (with(b":scheme", Some(b"https")), None),
        (with(b":authority", Some(b"X:80")), None),
        (with(b":method", Some(b"POST")), Some(b"abcde")),
        // The library leaves a fragment out before anybody sees it, and a body out that was said not to come.
        (with(b":path", Some(b"/#a")), None),
        (and(&[(b"content-length", b"0")]), Some(b"abcde")),
    ];
    for (at, (fields, body)) in cases.iter().enumerate() {
        exchange(&gateway, &request(fields, *body));
        let received = upstream.received();
        assert_eq!(received.len(), at + 1, "{fields:?}");
        assert!(is_plain(&received[at]), "{:?}", received[at]);
        assert_eq!(received[at].header("transfer_encoding").or(received[at].header("content_length")), None);
    }
}

/// Where the length said what was to come, it was read for ever: each read said at once that there was no more, and none that all had come.
#[test]
fn a_body_that_trailers_end_arrives_and_keeps_nobody_waiting() {
    let upstream = Upstream::start();
    let routes = format!("routes: [{{ path: /, target: {} }}]\n", upstream.url());
    let gateway = gateway(format!("threads: 1\nh2c: true\n{routes}"));
    for (at, (length, body)) in
        [(Some(&b"5"[..]), &b"hello"[..]), (Some(b"00"), b""), (Some(b"0"), b""), (None, b"hello"), (None, b"")]
            .into_iter()
            .enumerate()
    {
        let mut fields = with(b":method", Some(b"POST"));
        fields.extend(length.map(|length| (&b"content-length"[..], length)));
        let head = request(&fields, Some(body));
        // Neither the head nor the body is the last of it.
        let data = frame(0, 1, body);
        let mut bytes = head.strip_suffix(&data[..]).unwrap().to_vec();
        if !body.is_empty() {
            bytes.extend(frame(0, 0, body));
        }
        bytes.extend(frame(1, 5, &block(&[(b"x-sum", b"1")])));
        exchange(&gateway, &bytes);
        assert_eq!(gateway.get("/gateway/livez").status, 200, "{length:?}");
        let received = eventually("the request", || upstream.received().get(at).cloned());
        assert_eq!(received.body, body, "{length:?}");
        assert!(is_plain(&received), "{received:?}");
    }
    let stats = gateway.settled_stats();
    assert_eq!(stats[0]["failed"], 0, "{stats:?}");
}
