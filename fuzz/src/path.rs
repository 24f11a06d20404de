//! A path: its normal form is its own normal form, and however loosely a server reads what it is sent, it ends up where the
//! gateway's routes are that were asked.

use std::sync::LazyLock;

use aegis::routing::matcher::Matcher;
use aegis::routing::path::{normalise, other_readings};
use aegis::routing::pattern::Pattern;
use aegis::routing::rewrite::{Replacement, Rewrite};
use aegis::routing::table::{Asked, Table};
use http::{HeaderMap, Method};

const PREFIXES: [&str; 6] = ["/", "/users", "/users/admin", "/admin", "/a/b", "/a/b/c.d"];

static TABLE: LazyLock<Table<&str>> =
    LazyLock::new(|| Table::new(PREFIXES[1..].iter().map(|prefix| (Matcher::path(*prefix), *prefix))));

/// What cuts a path in two at any place, turns it around, or leaves something out.
static REWRITES: LazyLock<Vec<Rewrite>> = LazyLock::new(|| {
    let all =
        [("[a-f0-9]", ""), ("/", ""), ("^/(.*)(.)$", "/$2/$1"), ("(.)(.)", "$2$1"), ("[^/]+", "$0."), ("%(..)", "$1")];
    let rewrite = |(regex, with): (&str, &str)| {
        let regex: Pattern = regex.parse().expect("a regular expression");
        Rewrite::Regex { replacement: Replacement::new(with, &regex).expect("a replacement"), regex }
    };
    let prefixes = [Rewrite::Strip, Rewrite::Prefix("/v2".to_owned())];
    all.into_iter().map(rewrite).chain(prefixes).collect()
});

pub fn run(data: &[u8]) {
    let Ok(normal) = normalise(data) else { return };
    assert_eq!(normalise(normal.as_bytes()).as_deref(), Ok(&*normal));
    assert!(normal.starts_with('/') && normal.bytes().all(|byte| byte.is_ascii_graphic()), "{normal}");
    assert!(!normal.contains("//") && !normal.contains(['\\', '?', '#']), "{normal}");
    assert!(normal.split('/').all(|segment| segment != "." && segment != ".."), "{normal}");
    for rewrite in REWRITES.iter() {
        if let Ok(sent) = rewrite.apply(&normal, "/") {
            assert_eq!(normalise(sent.as_bytes()).as_deref(), Ok(&*sent), "{normal} by {rewrite:?}");
        }
    }
    let route = find(&normal);
    assert_eq!(route, longest(&normal), "{normal}");
    // As the gateway does: what another server could take for another route's goes nowhere.
    if other_readings(&normal).iter().any(|other| find(other) != route) {
        return;
    }
    for loose in [loose(&normal, Order::CutFirst), loose(&normal, Order::DecodeFirst)] {
        assert_eq!(longest(&loose), route, "{normal} is {loose} to somebody");
    }
}

/// What the gateway finds.
fn find(path: &str) -> Option<&'static str> {
    TABLE.find(&Asked { authority: None, path, method: &Method::GET, headers: &HeaderMap::new() }).ok().copied()
}

/// The longest prefix on whole segments, by looking at each.
fn longest(path: &str) -> Option<&'static str> {
    let takes = |prefix: &&str| path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    PREFIXES[1..].iter().copied().filter(takes).max_by_key(|prefix| prefix.len())
}

/// When `;parameters` are cut off.
#[derive(PartialEq)]
enum Order {
    CutFirst,
    DecodeFirst,
}

/// How the loosest servers read a path: all escapes decoded once, a backslash for a slash, parameters cut off, and then dot
/// segments resolved.
fn loose(path: &str, order: Order) -> String {
    let cut = |path: &str| {
        path.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect::<Vec<_>>().join("/")
    };
    let path = if order == Order::CutFirst { cut(path) } else { path.to_owned() };
    let decoded = decode(&path).replace('\\', "/");
    let path = if order == Order::DecodeFirst { cut(&decoded) } else { decoded };
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn decode(path: &str) -> String {
    let bytes = path.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
