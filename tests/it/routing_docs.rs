//! Every example of docs/routing.md does what the page says.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{Gateway, Received, Reply, Response, Upstream, gateway};

/// One line of a table in the docs.
struct Line {
    request: String,
    outcome: String,
}

/// The examples of the page: each config, and the lines of the table that follows it.
fn examples() -> Vec<(String, Vec<Line>)> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/routing.md")).unwrap();
    let mut examples = Vec::new();
    for part in page.split("```yaml\n").skip(1) {
        let (config, after) = part.split_once("```\n").unwrap();
        let table = after.trim_start().split("\n\n").find(|block| block.starts_with("| request |"));
        let cells = |line: &str| {
            let (request, outcome) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
            Some(Line { request: request.to_owned(), outcome: outcome.to_owned() })
        };
        let lines: Vec<Line> = table.iter().flat_map(|table| table.lines().skip(2)).filter_map(cells).collect();
        assert!(!lines.is_empty(), "no requests for\n{config}");
        examples.push((config.to_owned(), lines));
    }
    examples
}

/// The parts of a cell that are code.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The targets that a config names.
fn targets(config: &str) -> BTreeSet<String> {
    let urls = config.split("http://").skip(1);
    urls.map(|rest| format!("http://{}", rest.split([',', ' ', '}', ']', '\n']).next().unwrap())).collect()
}

#[test]
fn every_example_of_the_docs_does_what_its_table_says() {
    let mut count = 0;
    for (mut config, lines) in examples() {
        let upstreams: Vec<(String, Upstream)> =
            targets(&config).into_iter().map(|url| (url, Upstream::with(answer))).collect();
        for (url, upstream) in &upstreams {
            config = config.replace(url, &upstream.url());
        }
        let gateway = gateway(&config);
        for Line { request, outcome } in &lines {
            let before: Vec<usize> = upstreams.iter().map(|(_, upstream)| upstream.received().len()).collect();
            let answer = send(&gateway, request);
            let arrived = upstreams.iter().zip(before).find_map(|((url, upstream), before)| {
                let received = upstream.received();
                let received = received.get(before)?;
                let prefix =
                    received.header("x-forwarded-prefix").map(|told| format!(", `X-Forwarded-Prefix: {told}`"));
                let host = received.header("host").filter(|host| !request.contains(&format!("http://{host}/")));
                let own = upstream.address.to_string();
                let host = host.map(|host| if host == own { url.trim_start_matches("http://") } else { host });
                let host = host.map(|host| format!(", `Host: {host}`")).unwrap_or_default();
                Some(format!("`{url}{}`{}{host}", received.path(), prefix.unwrap_or_default()))
            });
            let said = arrived.unwrap_or_else(|| told(&answer));
            assert_eq!(&said, outcome, "{request} with\n{config}");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// Well, and no body to `HEAD`.
fn answer(request: &Received) -> Reply {
    match request.line.starts_with("HEAD ") {
        true => Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n".to_vec()),
        false => Reply::ok(),
    }
}

/// Sends what a cell of the table says: `GET http://host/path` with `name: value`.
fn send(gateway: &Gateway, request: &str) -> Response {
    let parts = code(request);
    let (method, url) = parts[0].split_once(" http://").unwrap();
    let (host, target) = url.split_at(url.find('/').unwrap());
    let fields: Vec<(&str, &str)> = parts[1..].iter().map(|field| field.split_once(": ").unwrap()).collect();
    gateway.request(method, target, &[&[("Host", host)], &fields[..]].concat())
}

/// An answer of the gateway's own, as the table has it.
fn told(answer: &Response) -> String {
    let code = answer.header("x-gateway-error").map_or_else(String::new, |code| format!(" {code}"));
    let mut told = format!("`{}{code}`", answer.status);
    for name in ["Allow", "Location", "Content-Type"] {
        let value = answer.header(&name.to_lowercase()).filter(|value| *value != "application/problem+json");
        told += &value.map_or_else(String::new, |value| format!(", `{name}: {value}`"));
    }
    told
}
