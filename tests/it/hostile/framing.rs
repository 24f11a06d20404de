//! Where a body ends, and the next request begins.

use super::Fate::{Passed, Refused};
use super::{HOST, Judge, exchange, get, post, statuses};
use crate::support::{Upstream, gateway};

#[test]
fn a_length_is_told_once_and_in_digits() {
    let mut judge = Judge::new();
    for length in [
        "6",
        "5, 5",
        "5,6",
        "+5",
        "-5",
        "0x5",
        "",
        " ",
        "5;",
        "5 5",
        "\"5\"",
        "5.0",
        "1e1",
        "٥",
        "5\u{b}",
        "\u{b}5",
        "18446744073709551616",
        "99999999999999999999999",
        "5a",
        "a5",
        "5,",
        ",5",
        "5\t5",
        "½",
        "5\u{a0}",
        "_5",
        "5_0",
        "0b1",
        "0o5",
        "∞",
    ] {
        if length != "6" {
            judge.case(post(&format!("Content-Length: {length}\r\n"), "abcde"), Refused);
        }
        // Beside a good one, before it and after it.
        judge.case(post(&format!("Content-Length: {length}\r\nContent-Length: 5\r\n"), "abcde"), Refused);
        judge.case(post(&format!("Content-Length: 5\r\nContent-Length: {length}\r\n"), "abcde"), Refused);
    }
    judge.case(post("Content-Length: 5\r\nContent-Length: 5\r\n", "abcde"), Refused);
    judge.case(post("Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\n", "abcde"), Refused);
    for name in [
        "Content-Length ",
        " Content-Length",
        "Content-Length\t",
        "\tContent-Length",
        "Content Length",
        "Content-Length\0",
        "Content\0-Length",
        "Content-Length\u{b}",
        "(Content-Length)",
        "Content-Length\r",
        "\u{feff}Content-Length",
    ] {
        judge.case(post(&format!("{name}: 5\r\n"), "abcde"), Refused);
    }
    for value in ["5", "5 ", "\t5", "  5\t", "05"] {
        judge.case(post(&format!("Content-Length:{value}\r\n"), "abcde"), Passed("POST / HTTP/1.1", "abcde"));
    }
    judge.verdict(100);
}

#[test]
fn a_coding_is_told_once_and_is_chunked() {
    let mut judge = Judge::new();
    const BODY: &str = "5\r\nabcde\r\n0\r\n\r\n";
    for coding in [
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "identity",
        "identity, chunked",
        "chunked, chunked",
        "gzip, chunked",
        "gzip",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\u{b}",
        "\u{b}chunked",
        "\0chunked",
        "chunk",
        ",chunked",
        "chunked,",
        "chunked ,",
        "",
        " ",
        "chunked chunked",
        "cow",
        "deflate",
        "compress, chunked",
        "chunked; a",
        "'chunked'",
        "[chunked]",
        "chun\tked",
        "x, chunked",
        "chunked\0",
        "\u{a0}chunked",
        "chunked\u{7f}",
        "=chunked",
        "chunked=",
        "CHUNKED, IDENTITY",
    ] {
        judge.case(post(&format!("Transfer-Encoding: {coding}\r\n"), BODY), Refused);
        judge.case(post(&format!("Transfer-Encoding: chunked\r\nTransfer-Encoding: {coding}\r\n"), BODY), Refused);
        judge.case(post(&format!("Content-Length: 5\r\nTransfer-Encoding: {coding}\r\n"), BODY), Refused);
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 15\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "\tTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "Transfer-Encoding\0: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked\r\nX: y\n",
        "Transfer-Encoding: chunked\n",
        "Transfer-Encoding: chunked\r",
        "Transfer Encoding: chunked\r\n",
        "Transfer-Encoding\r\n: chunked\r\n",
    ] {
        judge.case(post(fields, BODY), Refused);
    }
    judge.case(format!("POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{BODY}"), Refused);
    for fields in [
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding:\tCHUNKED \r\n",
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
    ] {
        judge.case(post(fields, BODY), Passed("POST / HTTP/1.1", "abcde"));
    }
    judge.verdict(110);
}

#[test]
fn chunks_are_as_long_as_they_say_in_hexadecimal() {
    let mut judge = Judge::new();
    for body in [
        "5\nabcde\r\n0\r\n\r\n",
        "5\r\nabcde\n0\r\n\r\n",
        "5\r\nabcde\r\n0\n\r\n",
        "5\r\nabcde\r\n0\r\n\n",
        "5\nabcde\n0\n\n",
        "5\rabcde\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "\r\n5\r\nabcde\r\n0\r\n\r\n",
        "5\r\nabcdefg\r\n0\r\n\r\n",
        "5\r\nabc\r\n0\r\n\r\n",
        "5\r\nabcde0\r\n\r\n",
        "5\r\nabcdeXX0\r\n\r\n",
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "+5\r\nabcde\r\n0\r\n\r\n",
        "-5\r\nabcde\r\n0\r\n\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n",
        "5 \r\nabcde\r\n0\r\n\r\n",
        "5\t\r\nabcde\r\n0\r\n\r\n",
        "5_\r\nabcde\r\n0\r\n\r\n",
        "g\r\nabcde\r\n0\r\n\r\n",
        "5;\nabcde\r\n0\r\n\r\n",
        "5;a\rb\r\nabcde\r\n0\r\n\r\n",
        "5;a\0\r\nabcde\r\n0\r\n\r\n",
        "5\0\r\nabcde\r\n0\r\n\r\n",
        "5,5\r\nabcde\r\n0\r\n\r\n",
        "5.0\r\nabcde\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
        "10000000000000005\r\nabcde\r\n0\r\n\r\n",
        "8000000000000000\r\nabcde\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF\r\nabcde\r\n0\r\n\r\n",
        "100000005\r\nabcde\r\n0\r\n\r\n ".trim_end_matches(' '),
        "5\r\nabcde\r\n-0\r\n\r\n",
        "5\r\nabcde\r\n0x0\r\n\r\n",
        "5\r\nabcde\r\n0 \r\n\r\n",
        "5\r\nabcde\r\n0\r\nX y\r\n\r\n",
        "5\r\nabcde\r\n0\r\n X: y\r\n\r\n",
        "5\r\nabcde\r\n0\r\nX : y\r\n\r\n",
        "5\r\nabcde\r\n0\r\nX: y\n\r\n",
        "5\r\nabcde\r\n0\r\nX: \u{1}\r\n\r\n",
        "5\r\nabcde\r\n0\r\n: y\r\n\r\n",
        "٥\r\nabcde\r\n0\r\n\r\n",
    ] {
        // One that is longer than what comes is waited for.
        if !body.starts_with("100000005") {
            judge.case(post("Transfer-Encoding: chunked\r\n", body), Refused);
        }
    }
    let long = format!("5;{}\r\nabcde\r\n0\r\n\r\n", "a".repeat(9_000));
    judge.case(post("Transfer-Encoding: chunked\r\n", &long), Refused);
    let trailers = format!("5\r\nabcde\r\n0\r\n{}\r\n", "X: y\r\n".repeat(9_000));
    judge.case(post("Transfer-Encoding: chunked\r\n", &trailers), Refused);
    for body in [
        "5\r\nabcde\r\n0\r\n\r\n",
        "05\r\nabcde\r\n000\r\n\r\n",
        "5;a=b\r\nabcde\r\n0;c\r\n\r\n",
        "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
        "5\r\nabcde\r\n0\r\nX: y\r\n\r\n",
        "5\r\nabcde\r\n0\r\nContent-Length: 9\r\n\r\n",
    ] {
        judge.case(post("Transfer-Encoding: chunked\r\n", body), Passed("POST / HTTP/1.1", "abcde"));
    }
    judge.verdict(45);
}

#[test]
fn what_follows_a_request_is_the_next_one() {
    let upstream = Upstream::start();
    let gateway = gateway(format!("routes: [{{ path: /, target: {} }}]\n", upstream.url()));
    const NEXT: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
    for first in [
        post("Content-Length: 5\r\n", "abcde"),
        post("Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n0\r\n\r\n"),
        post("", ""),
        get(""),
        get("Content-Length: 0\r\n"),
    ] {
        let before = upstream.received().len();
        let (answer, _) = exchange(&gateway, format!("{first}{NEXT}").as_bytes());
        assert_eq!(statuses(&answer), [200, 200], "{first}");
        let lines: Vec<String> =
            upstream.received().split_off(before).into_iter().map(|received| received.line).collect();
        assert_eq!(lines[1], "GET /next HTTP/1.1", "{first}");
    }
}
