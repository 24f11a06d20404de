//! What a head may be made of: its first line, the host, fields.

use super::Fate::{Answered, Passed, Refused};
use super::{HOST, Judge, get};

#[test]
fn a_request_line_is_three_words() {
    let mut judge = Judge::new();
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/0.9",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/1",
        "GET / HTTP/",
        "GET / HTTP",
        "GET /",
        "GET",
        "GET /a b HTTP/1.1",
        "GET /a\0b HTTP/1.1",
        "GET /a\u{7f}b HTTP/1.1",
        "GET /a\rb HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET /a\u{b}b HTTP/1.1",
        "GET /a\u{1}b HTTP/1.1",
        "GET /a#b HTTP/1.1",
        "GET /?a b HTTP/1.1",
        "GET /?a\0 HTTP/1.1",
        "GET /?a\r HTTP/1.1",
        "GET /?a\u{1f} HTTP/1.1",
        "GET /?#a HTTP/1.1",
        "G<T / HTTP/1.1",
        "GET\0 / HTTP/1.1",
        "(GET) / HTTP/1.1",
        "GET http://y/ HTTP/1.1",
        "GET http://x@y/ HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "GET http:/a HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET / XTTP/1.1",
        "GET /\u{b}HTTP/1.1",
        "GET / HTTP/1.1\u{b}",
        "GET / HTTP/1,1",
        "GET / HTTP/1.1x",
    ] {
        judge.case(format!("{line}\r\n{HOST}\r\n"), Refused);
    }
    for start in ["\n", "\r", "\0", " ", "\t", "\u{feff}"] {
        judge.case(format!("{start}{}", get("")), Refused);
    }
    for (line, status) in [
        ("GET * HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET x:80 HTTP/1.1", 400),
        ("GET ?x HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("CONNECT x:80 HTTP/1.1", 405),
        ("get / HTTP/1.1", 405),
        ("FOO / HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("GET /../../a HTTP/1.1", 400),
        ("GET /%00 HTTP/1.1", 400),
        ("GET /%zz HTTP/1.1", 400),
        ("GET /% HTTP/1.1", 400),
        ("GET /%2 HTTP/1.1", 400),
        ("GET /a\"b HTTP/1.1", 400),
        ("GET /a\\b HTTP/1.1", 400),
        ("GET /a/..%2f..%2fb HTTP/1.1", 400),
        ("GET /a%5c..%5cb HTTP/1.1", 400),
        ("GET /a/..;/b HTTP/1.1", 400),
        ("GET /a/..%00/b HTTP/1.1", 400),
        ("GET /a/.%2e%2fb HTTP/1.1", 400),
        ("GET /é HTTP/1.1", 400),
    ] {
        judge.case(format!("{line}\r\n{HOST}\r\n"), Answered(status));
    }
    for (line, arrives) in [
        ("GET /a/../b HTTP/1.1", "GET /b HTTP/1.1"),
        ("GET /a/%2e%2e/b HTTP/1.1", "GET /b HTTP/1.1"),
        ("GET /a/.%2E/b HTTP/1.1", "GET /b HTTP/1.1"),
        ("GET /%2e/a HTTP/1.1", "GET /a HTTP/1.1"),
        ("GET /a//b HTTP/1.1", "GET /a/b HTTP/1.1"),
        ("GET //x/a HTTP/1.1", "GET /x/a HTTP/1.1"),
        ("GET http://x/a?b HTTP/1.1", "GET /a?b HTTP/1.1"),
        ("GET HTTP://x HTTP/1.1", "GET / HTTP/1.1"),
        ("GET /a?b=/../c HTTP/1.1", "GET /a?b=/../c HTTP/1.1"),
        ("GET /%61 HTTP/1.1", "GET /a HTTP/1.1"),
        ("GET / HTTP/1.0", "GET / HTTP/1.1"),
    ] {
        judge.case(format!("{line}\r\n{HOST}\r\n"), Passed(arrives, ""));
    }
    judge.case(format!("\r\n\r\n{}", get("")), Passed("GET / HTTP/1.1", ""));
    judge.verdict(80);
}

#[test]
fn there_is_one_host_and_it_is_one() {
    let mut judge = Judge::new();
    let request = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    for host in [
        "", " ", "x, y", "x y", "x/y", "x:80:80", "x:", "x:99999", "x:a", "x:-1", "[::1", "::1]", "x#y", "x?y", "x\\y",
        "x%00", "http://x", "x\"", "x<y", "x{y", "x|y", "x^y", "x`y", "é", "x:80 ,y",
    ] {
        judge.case(request(&format!("Host: {host}\r\n")), Answered(400));
    }
    judge.case(request(""), Answered(400));
    for fields in [
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nHost: y\r\n",
        "host: x\r\nHOST: y\r\n",
        "Host: x@y\r\n",
        "Host : x\r\n",
        " Host: x\r\n",
        "\tHost: x\r\n",
        "Host: x\r\n y\r\n",
        "Host: x\0y\r\n",
        "Host: x\ry\r\n",
        "Host\0: x\r\n",
        "Host\r\n: x\r\n",
        "Host: x\n",
        "Ho st: x\r\n",
        "Host x\r\n",
    ] {
        judge.case(request(fields), Refused);
    }
    for host in ["x", "x:80", "[::1]", "[::1]:8000", "127.0.0.1:1", "\tx\t ", "X.Example", "x_y", "xn--e1aybc"] {
        judge.case(request(&format!("Host:{host}\r\n")), Passed("GET / HTTP/1.1", ""));
    }
    judge.verdict(49);
}

#[test]
fn fields_are_lines_of_a_name_and_a_value() {
    let mut judge = Judge::new();
    for fields in [
        "X: a\nY: b\r\n",
        "X: a\rY: b\r\n",
        "X: a\0b\r\n",
        "X\r\n",
        ": y\r\n",
        "X Y: z\r\n",
        "X\tY: z\r\n",
        "X\0: z\r\n",
        "X(: z\r\n",
        "X[: z\r\n",
        "X@: z\r\n",
        "X\u{7f}: z\r\n",
        "é: z\r\n",
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        "X: \u{7f}\r\n",
        "X: \u{1}\r\n",
        "X: \u{1b}[0m\r\n",
        "X :y\r\n",
        "X: a\r\r\n",
        "X: a\n",
        "X: a\n\r\n",
        "\rX: y\r\n",
        "X: \u{8}\r\n",
        "X: \u{c}\r\n",
        "X\u{c}: y\r\n",
        "X;: y\r\n",
        "X,Y: z\r\n",
        "X=Y\r\n",
        "\u{b}X: y\r\n",
        "X\u{b}: y\r\n",
    ] {
        judge.case(get(fields), Refused);
    }
    for (fields, status) in [
        ("Connection: host\r\n", 400),
        ("Connection: x-forwarded-for\r\n", 400),
        ("Connection: close, X-Forwarded-Proto\r\n", 400),
        ("Connection: \"x\"\r\n", 400),
        ("Connection: a,b,c,d,e,f,g,h,i,j\r\n", 400),
        ("Expect: 200-ok\r\n", 417),
        ("Expect: 100-continue, x\r\n", 417),
    ] {
        judge.case(get(fields), Answered(status));
    }
    for fields in [
        "X: é\r\n",
        "X:\r\n",
        "X:  a  b \t\r\n",
        "Connection: x-user-id\r\nX-User-Id: root\r\n",
        "x_user_id: root\r\n",
        "X_User-Id: root\r\n",
        "Content_Length: 5\r\n",
        "Transfer_Encoding: chunked\r\n",
        "X-Forwarded-For: 1.1.1.1\r\n",
        "Forwarded: for=1.1.1.1\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Keep-Alive: 5\r\n",
        "TE: chunked\r\n",
        "Trailer: X\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Cookie: a=1\r\nCookie: b=2\r\n",
    ] {
        judge.case(get(fields), Passed("GET / HTTP/1.1", ""));
    }
    for received in judge.upstream.received() {
        for name in [
            "x-user-id",
            "x_user_id",
            "x_user-id",
            "content_length",
            "transfer_encoding",
            "forwarded",
            "proxy-connection",
            "keep-alive",
            "te",
            "upgrade",
            "http2-settings",
            "connection",
        ] {
            assert_eq!(received.header(name), None, "{received:?}");
        }
        assert_eq!(received.header("x-forwarded-for"), Some("127.0.0.1"));
    }
    judge.verdict(54);
}
