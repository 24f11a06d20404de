//! What it takes to find the route of a request, at 1, 100 and 10,000 routes: `cargo bench --bench route`.
//!
//! One thread looks up, without a socket, each time another route's request. Rounds of all rows are interleaved, so a machine whose
//! speed drifts favours none; shown are medians, and how much dearer it is among 10,000.

use std::hint::black_box;
use std::time::Instant;

use aegis::routing::fields::{FieldMatch, Test};
use aegis::routing::host::HostPattern;
use aegis::routing::matcher::Matcher;
use aegis::routing::methods::Methods;
use aegis::routing::table::{Asked, Table};
use http::{HeaderMap, HeaderName, Method};

const SIZES: [usize; 3] = [1, 100, 10_000];
const ROUNDS: usize = 15;
const LOOKUPS: usize = 100_000;
/// Different requests, so that neither caches nor predictors know the next one, and few enough to be made beforehand.
const REQUESTS: usize = 1_024;

/// What the routes of a row are told apart by.
#[derive(Clone, Copy)]
enum Kind {
    Path,
    Deep,
    Host,
    Below,
    Methods,
    Fields,
    Nothing,
}

const ROWS: [(&str, Kind); 7] = [
    ("path", Kind::Path),
    ("path of 4 segments, 4 more in the request", Kind::Deep),
    ("host", Kind::Host),
    ("wildcard, two labels above it", Kind::Below),
    ("path and methods", Kind::Methods),
    ("path and two fields", Kind::Fields),
    ("no route", Kind::Nothing),
];

fn main() {
    let mut rows: Vec<[Row; 3]> = ROWS.iter().map(|(_, kind)| SIZES.map(|size| Row::new(*kind, size))).collect();
    for _ in 0..ROUNDS {
        rows.iter_mut().flatten().for_each(Row::measure);
    }
    println!("| by | ns a lookup, of 1 | of 100 | of 10,000 | x |\n|---|--:|--:|--:|--:|");
    for ((name, _), row) in ROWS.iter().zip(&rows) {
        let [one, hundred, many] = row.each_ref().map(Row::median);
        println!("| {name} | {one:.0} | {hundred:.0} | {many:.0} | {:.2} |", many / one);
    }
}

struct Row {
    table: Table<usize>,
    requests: Vec<(String, String)>,
    headers: HeaderMap,
    is_found: bool,
    nanos: Vec<f64>,
}

impl Row {
    fn new(kind: Kind, size: usize) -> Self {
        let table = Table::new((0..size).map(|at| (matcher(kind, at), at)));
        let requests = (0..REQUESTS).map(|turn| request(kind, turn * 7_919 % size)).collect();
        let headers =
            ["x-version", "x-tenant"].map(|name| (HeaderName::from_static(name), "2".parse().expect("a value")));
        let is_found = !matches!(kind, Kind::Nothing);
        Row { table, requests, headers: headers.into_iter().collect(), is_found, nanos: Vec::new() }
    }

    fn measure(&mut self) {
        let begun = Instant::now();
        for turn in 0..LOOKUPS {
            let (host, path) = &self.requests[turn % REQUESTS];
            let asked = Asked { authority: Some(host.as_bytes()), path, method: &Method::GET, headers: &self.headers };
            assert_eq!(black_box(self.table.find(black_box(&asked))).is_ok(), self.is_found);
        }
        self.nanos.push(begun.elapsed().as_nanos() as f64 / LOOKUPS as f64);
    }

    fn median(&self) -> f64 {
        let mut sorted = self.nanos.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

fn matcher(kind: Kind, at: usize) -> Matcher {
    let plain = Matcher::path(format!("/service-{at}"));
    let test = || Test::Exact("2".into());
    let field = |name| FieldMatch { name: HeaderName::from_static(name), test: test(), is_hidden: false };
    match kind {
        Kind::Path | Kind::Nothing => plain,
        Kind::Deep => Matcher::path(format!("/api/v1/teams/service-{at}")),
        Kind::Host => {
            Matcher { hosts: vec![HostPattern::Exact(format!("service-{at}.example.com"))], ..Matcher::path("/") }
        }
        Kind::Below => {
            Matcher { hosts: vec![HostPattern::Below(format!("service-{at}.example.com"))], ..Matcher::path("/") }
        }
        Kind::Methods => Matcher { methods: Some(Methods::GET), ..plain },
        Kind::Fields => Matcher { fields: vec![field("x-tenant"), field("x-version")], ..plain },
    }
}

fn request(kind: Kind, at: usize) -> (String, String) {
    let (host, path) = ("api.example.com".to_owned(), format!("/service-{at}/7"));
    match kind {
        Kind::Path | Kind::Methods | Kind::Fields => (host, path),
        Kind::Deep => (host, format!("/api/v1/teams/service-{at}/a/b/c/d")),
        Kind::Host => (format!("service-{at}.example.com:8443"), "/".to_owned()),
        Kind::Below => (format!("a.b.service-{at}.example.com"), "/".to_owned()),
        Kind::Nothing => (host, format!("/other-{at}/7")),
    }
}
