//! Answers in a coding that the client takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, mpsc};

use bytes::Bytes;
use http::HeaderMap;

use crate::support::client::head;
use crate::support::{Connection, Gateway, PATIENCE, Received, Reply, Response, Upstream, curl, gateway, nobody};

fn compressing(upstream: &str, block: &str) -> Gateway {
    gateway(format!(
        "h2c: true\ndefaults: {{ breaker: off }}\nroutes:\n  - {{ path: /, target: '{upstream}', plugins: {{ compression: {block} }} }}\n  - {{ path: /plain, target: '{upstream}' }}\n"
    ))
}

fn text() -> Vec<u8> {
    (0..8_000_u32)
        .flat_map(|i| format!("{{\"id\":{},\"state\":\"open\"}}\n", i.wrapping_mul(7_919)).into_bytes())
        .collect()
}

/// One that answers what the path asks for.
fn various() -> Upstream {
    Upstream::with(|request: &Received| {
        let answer = |status: &str, fields: &str, body: &[u8]| {
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{fields}\r\n", body.len());
            Reply::Bytes([head.as_bytes(), body].concat())
        };
        let body = if request.line.starts_with("HEAD") { Vec::new() } else { text() };
        match request.path() {
            "/head" => Reply::Bytes(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\netag: \"a\"\r\ncontent-length: 5000\r\n\r\n".to_vec(),
            ),
            "/small" => answer("200 OK", "content-type: text/plain\r\n", b"few"),
            "/image" => answer("200 OK", "content-type: image/png\r\n", &body),
            "/encoded" => answer("200 OK", "content-type: text/plain\r\ncontent-encoding: br\r\n", &body),
            "/as-it-is" => answer("200 OK", "content-type: text/plain\r\ncache-control: no-transform\r\n", &body),
            "/part" => answer(
                "206 Partial Content",
                "content-type: text/plain\r\ncontent-range: bytes 0-9/20\r\n",
                b"0123456789",
            ),
            "/none" => Reply::Bytes(b"HTTP/1.1 204 No Content\r\ncontent-type: text/plain\r\n\r\n".to_vec()),
            "/empty" => Reply::Bytes(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            ),
            "/known" => Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n".to_vec()),
            _ => answer(
                "200 OK",
                "Content-Type: application/json; charset=utf-8\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\nVary: Origin\r\n",
                &body,
            ),
        }
    })
}

fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        _ => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out),
    }
    .unwrap_or_else(|e| panic!("{coding}: {e} after {} bytes", out.len()));
    out
}

fn ask(connection: &mut Connection, method: &str, path: &str, accepted: &str) -> Response {
    connection.request(method, path, &[("Accept-Encoding", accepted)])
}

#[test]
fn answers_come_in_the_coding_that_is_liked_best_and_are_the_same() {
    let upstream = various();
    for level in ["fast", "balanced", "small"] {
        let gateway = compressing(&upstream.url(), &format!("{{ level: {level} }}"));
        let mut connection = gateway.connect();
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", "zstd"),
            ("gzip, br", "br"),
            ("gzip;q=1, br;q=0.5", "gzip"),
            ("*;q=0.1, zstd;q=0, br;q=0", "gzip"),
        ] {
            let answer = ask(&mut connection, "GET", "/a", accepted);
            assert_eq!((answer.status, answer.header("content-encoding")), (200, Some(coding)), "{level} {accepted}");
            assert!(answer.body.len() * 3 < text().len(), "{level} {coding}: {}", answer.body.len());
            assert!(decoded(coding, &answer.body) == text(), "{level} {coding}");
            for (name, value) in [
                ("content-length", None),
                ("transfer-encoding", Some("chunked")),
                ("accept-ranges", None),
                ("etag", Some("W/\"a\"")),
                ("vary", Some("Origin, Accept-Encoding")),
                ("content-type", Some("application/json; charset=utf-8")),
            ] {
                assert_eq!(answer.header(name), value, "{name}");
            }
        }
        for accepted in ["", "identity", "deflate", "gzip;q=0, br;q=0, zstd;q=0", "gzip;q=0.5, identity"] {
            let answer = ask(&mut connection, "GET", "/a", accepted);
            assert_eq!((answer.header("content-encoding"), answer.header("etag")), (None, Some("\"a\"")), "{accepted}");
            assert!(answer.header("vary") == Some("Origin, Accept-Encoding") && answer.body == text(), "{accepted}");
        }
    }
    assert!(upstream.received().iter().all(|request| request.header("accept-encoding").is_some()));
}

#[test]
fn what_is_better_left_alone_is() {
    let upstream = various();
    let gateway = compressing(&upstream.url(), "true");
    let mut connection = gateway.connect();
    for (path, vary) in [
        ("/small", None),
        ("/image", None),
        ("/encoded", None),
        ("/as-it-is", None),
        ("/part", None),
        ("/none", None),
        ("/plain/a", Some("Origin")),
    ] {
        let (with, without) = (ask(&mut connection, "GET", path, "gzip"), ask(&mut connection, "GET", path, ""));
        assert_eq!((with.status, &with.body), (without.status, &without.body), "{path}");
        assert_eq!(with.header("content-encoding"), without.header("content-encoding"), "{path}");
        assert_eq!(
            (with.header("vary"), with.header("content-length")),
            (vary, without.header("content-length")),
            "{path}"
        );
    }
    // That there is nothing shows after the head: it is nothing, compressed.
    let empty = ask(&mut connection, "GET", "/empty", "gzip");
    assert_eq!((empty.header("content-encoding"), decoded("gzip", &empty.body)), (Some("gzip"), Vec::new()));
    let no = [("Accept-Encoding", "gzip"), ("Cache-Control", "no-transform")];
    assert_eq!(connection.request("GET", "/a", &no).header("content-encoding"), None);
    let old = gateway.raw("GET /a HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n");
    assert!(old.header("content-encoding").is_none() && old.body == text());
    // The head is the same as that of a GET.
    let head = ask(&mut connection, "HEAD", "/head", "br");
    assert_eq!((head.header("content-encoding"), head.header("content-length")), (Some("br"), None));
    assert_eq!((head.header("etag"), head.header("vary")), (Some("W/\"a\""), Some("Accept-Encoding")));
    let known = connection.request("GET", "/known", &[("Accept-Encoding", "br"), ("If-None-Match", "W/\"a\"")]);
    assert_eq!((known.status, known.header("etag")), (304, Some("W/\"a\"")));
    let known = connection.request("GET", "/known", &[("Accept-Encoding", "br"), ("If-None-Match", "\"a\"")]);
    assert_eq!((known.status, known.header("etag")), (304, Some("\"a\"")));
    // What the gateway says itself is short, and the connection is of use after all of that.
    ask(&mut connection, "GET", "/gateway/nothing", "gzip").is_problem(404, "no_route");
}

#[test]
fn clients_that_are_not_ours_read_it_over_both_protocols() {
    let upstream = various();
    let gateway = compressing(&upstream.url(), "{ algorithms: gzip }");
    let url = format!("http://{}/a", gateway.address);
    for (args, version) in [(&["--http1.1"][..], "1.1"), (&["--http2-prior-knowledge"], "2")] {
        let answer = curl(&[args, &["--compressed", &url]].concat());
        assert_eq!((answer.status, answer.version.as_str()), (200, version), "{}", answer.error);
        assert_eq!(answer.header("content-encoding"), Some("gzip"));
        assert!(answer.header("content-length").is_none() && answer.body.as_bytes() == text());
        assert_eq!(answer.header("transfer-encoding").is_some(), version == "1.1");
    }
}

/// What can be read of the first part of an answer.
pub fn so_far(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut reader: Box<dyn Read + '_> = match coding {
        "identity" => Box::new(bytes),
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
    };
    let (mut out, mut byte) = (Vec::new(), [0]);
    while reader.read(&mut byte).is_ok_and(|n| n > 0) {
        out.push(byte[0]);
    }
    out
}

#[test]
fn a_stream_is_not_kept_back() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let upstream = Upstream::with(move |request| {
        let kind = if request.path() == "/events" { "text/event-stream" } else { "application/x-ndjson" };
        let begin = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{{\"a\":1}}\n\r\n"
        );
        let wait = wait.clone();
        Reply::Talk(Box::new(move |stream| {
            stream.write_all(begin.as_bytes()).unwrap();
            // The rest comes when the client says that it has had the first part.
            wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            stream.write_all(b"8\r\n{\"a\":2}\n\r\n0\r\n\r\n").unwrap();
        }))
    });
    let listed = compressing(&upstream.url(), "{ types: text/event-stream, minSize: 0 }");
    let gateway = compressing(&upstream.url(), "true");
    for (gateway, path, accepted, coding) in [
        (&gateway, "/lines", "gzip", "gzip"),
        (&gateway, "/lines", "br", "br"),
        (&gateway, "/lines", "zstd", "zstd"),
        (&gateway, "/events", "br", ""),
        (&listed, "/events", "br", "br"),
    ] {
        let mut connection = gateway.connect();
        connection.send(head("GET", path, &[("Accept-Encoding", accepted)]));
        let mut reader = BufReader::new(connection.stream.try_clone().unwrap());
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            line.trim_end().to_ascii_lowercase()
        };
        let fields: Vec<String> = std::iter::from_fn(|| Some(line()).filter(|line| !line.is_empty())).collect();
        let said = format!("content-encoding: {coding}");
        assert_eq!(fields.contains(&said), !coding.is_empty(), "{path} {accepted}: {fields:?}");
        let (mut body, mut told) = (Vec::new(), false);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let begin = body.len();
            body.resize(begin + size, 0);
            reader.read_exact(&mut body[begin..]).unwrap();
            reader.read_exact(&mut [0; 2]).unwrap();
            let got = if coding.is_empty() { body.clone() } else { so_far(coding, &body) };
            if !told {
                assert_eq!(String::from_utf8_lossy(&got), "{\"a\":1}\n", "{path} {accepted}");
                go.send(()).unwrap();
                told = true;
            }
            if size == 0 {
                assert_eq!(String::from_utf8_lossy(&got), "{\"a\":1}\n{\"a\":2}\n", "{path} {accepted}");
                break;
            }
        }
        if !coding.is_empty() {
            assert_eq!(decoded(coding, &body).len(), 16);
        }
    }
}

#[test]
fn half_an_answer_has_no_end() {
    let upstream = Upstream::with(|request| {
        let length = if request.path() == "/told" { "content-length: 1000000" } else { "transfer-encoding: chunked" };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n{length}\r\n\r\n");
        Reply::Close([head.as_bytes(), b"186A0\r\n", &text()[..100_000]].concat())
    });
    let gateway = compressing(&upstream.url(), "{ algorithms: [gzip, br] }");
    for (path, coding) in [("/told", "gzip"), ("/chunks", "gzip"), ("/told", "br"), ("/chunks", "br")] {
        let mut connection = gateway.connect();
        connection.send(head("GET", path, &[("Accept-Encoding", coding)]));
        let got = connection.rest();
        assert!(got.starts_with(b"HTTP/1.1 200") && !got.ends_with(b"0\r\n\r\n"), "{path} {coding}");
        let url = format!("http://{}{path}", gateway.address);
        let cut = curl(&["--http2-prior-knowledge", "-H", &format!("Accept-Encoding: {coding}"), &url]);
        assert!(!cut.error.is_empty(), "{path} {coding}: {cut:?}");
    }
}

#[test]
fn tunnels_are_left_alone() {
    let upstream = Upstream::with(|_| {
        Reply::Talk(Box::new(|stream| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Type: text/plain\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(b"as it is").unwrap();
        }))
    });
    let gateway = compressing(&upstream.url(), "true");
    let mut connection = gateway.connect();
    let fields = [
        ("Accept-Encoding", "gzip"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    connection.send(head("GET", "/", &fields));
    let switched = connection.next_answer(false);
    assert_eq!((switched.status, switched.header("content-encoding"), switched.header("vary")), (101, None, None));
    assert_eq!(connection.take(8), b"as it is");
}

/// A target of HTTP/2 that says something after the body, without having told so.
fn with_trailers() -> String {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        runtime.block_on(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        let is_bare = request.uri().path() == "/bare";
                        let answer = http::Response::builder().header("content-type", "text/plain").body(()).unwrap();
                        let mut body = respond.send_response(answer, is_bare).unwrap();
                        if !is_bare {
                            body.send_data(Bytes::from(text()), false).unwrap();
                            let mut trailers = HeaderMap::new();
                            trailers.insert("x-sum", "1".parse().unwrap());
                            body.send_trailers(trailers).unwrap();
                        }
                    }
                });
            }
        });
    });
    url
}

#[test]
fn an_answer_of_http_2_is_whole_whatever_comes_after_it() {
    let gateway = compressing(&with_trailers(), "true");
    for coding in ["zstd", "br", "gzip"] {
        let mut connection = gateway.connect();
        let answer = ask(&mut connection, "GET", "/a", coding);
        assert_eq!(answer.header("content-encoding"), Some(coding), "{answer:?}");
        assert!(decoded(coding, &answer.body) == text(), "{coding}");
        let bare = ask(&mut connection, "GET", "/bare", coding);
        assert_eq!((bare.status, bare.header("content-encoding"), bare.body.len()), (200, None, 0));
        let url = format!("http://{}/a", gateway.address);
        let by_h2 =
            curl(&["--http2-prior-knowledge", "--compressed", "-H", &format!("Accept-Encoding: {coding}"), &url]);
        assert!(by_h2.status == 200 && by_h2.body.as_bytes() == text(), "{coding}: {}", by_h2.error);
    }
}

#[test]
fn what_the_gateway_says_in_place_of_a_target_is_read_as_well() {
    let gateway =
        compressing(&format!("http://{}", nobody()), "{ minSize: 0, algorithms: gzip, types: application/*+json }");
    let mut connection = gateway.connect();
    for method in ["GET", "HEAD"] {
        let mut answer = ask(&mut connection, method, "/a", "gzip");
        assert_eq!((answer.status, answer.header("content-encoding")), (502, Some("gzip")), "{answer:?}");
        if method == "GET" {
            answer.body = decoded("gzip", &answer.body);
            answer.is_problem(502, "upstream_connect_failed");
        }
        connection = gateway.connect();
    }
}

#[test]
fn what_a_route_answers_by_itself_is_compressed_as_well() {
    let gateway = gateway(
        "routes:\n  - path: /\n    respond: { status: 503, body: 'Back soon.', contentType: text/plain }\n    plugins: { compression: { minSize: 0, algorithms: gzip } }\n",
    );
    let mut connection = gateway.connect();
    let answer = ask(&mut connection, "GET", "/", "gzip");
    assert_eq!((answer.status, answer.header("content-encoding")), (503, Some("gzip")), "{answer:?}");
    assert_eq!(decoded("gzip", &answer.body), b"Back soon.");
    let head = ask(&mut connection, "HEAD", "/", "gzip");
    assert_eq!((head.header("content-encoding"), head.body.len()), (Some("gzip"), 0), "{head:?}");
    let plain = ask(&mut connection, "GET", "/", "identity");
    assert_eq!((plain.header("content-encoding"), &*plain.body), (None, &b"Back soon."[..]), "{plain:?}");
}
