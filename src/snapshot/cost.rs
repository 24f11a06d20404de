//! What a config costs grows with what is written, and not with its square: as it is read, as it is built, and in place of another.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::Snapshot;
use super::before::Before;
use crate::config::{self, Config, changes::changes};
use crate::plugin::rate_limit::Store;

/// How often something stands in the smaller config, and how much more often in the larger one.
const FEW: usize = 250;
const TIMES: usize = 16;
/// So much more the larger one may cost: what is square costs 256 times as much.
const MOST: f64 = 96.0;

/// Nanoseconds that this thread has been given a processor for.
fn spent() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("proc(5)");
    stat.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

fn compiled(text: &str) -> Config {
    config::parse("test.yaml", text, &|_| None).expect("a valid config").config
}

fn cost(text: &str) -> u64 {
    let (begun, now) = (spent(), Instant::now());
    let store = Arc::new(Store::new(None, now));
    let (first, other) = (compiled(text), compiled(&format!("trustedProxies: 10.0.0.0/8\n{text}")));
    let snapshot = Snapshot::new(&first, store.clone(), now);
    assert_eq!(changes(&first, &other), ["trustedProxies"]);
    drop(Snapshot::after(Before::new(&first, &snapshot), &other, store, now));
    drop(snapshot);
    spent() - begun
}

fn lines(before: &str, count: usize, line: fn(&mut String, usize), after: &str) -> String {
    let mut text = before.to_owned();
    (1..=count).for_each(|nth| line(&mut text, nth));
    text + after
}

/// One line, whose number is `n`.
macro_rules! line {
    ($($format:tt)*) => { |text: &mut String, n: usize| writeln!(text, $($format)*, n = n).expect("room") };
}

/// How much more the larger one costs. Whoever else is there takes the caches, now and then.
fn times(write: fn(usize) -> String) -> f64 {
    let (small, large) = (write(FEW), write(FEW * TIMES));
    let once = || cost(&large) as f64 / cost(&small) as f64;
    let first = once();
    if first < MOST { first } else { first.min(once()).min(once()) }
}

#[test]
fn a_config_costs_what_is_written_and_not_the_square_of_it() {
    let mut told = Vec::new();
    let mut grows_as_it_does = |what: &str, write| told.push((times(write), what.to_owned()));
    grows_as_it_does("routes", |count| {
        lines(
            "routes:\n",
            count,
            line!("- {{ path: /r{n}, targets: ['http://127.0.0.1:{n}', 'http://127.0.0.2:{n}'] }}"),
            "",
        )
    });
    grows_as_it_does("routes of one path", |count| {
        let line = line!(
            "- {{ path: /, methods: GET, matchHeaders: {{ x-a: t{n}, x-b: '*' }}, target: http://127.0.0.1:{n} }}"
        );
        lines("routes:\n", count, line, "")
    });
    grows_as_it_does("routes with fields of their own", |count| {
        let line = line!(
            "- {{ path: /r{n}, matchHeaders: {{ x-t{n}: a }}, target: http://127.0.0.1:{n}, plugins: {{ headers: {{ request: {{ set: {{ x-s{n}: b }} }} }}, forwardAuth: {{ url: 'https://a', responseHeaders: x-r{n} }} }} }}"
        );
        lines("routes:\n", count, line, "")
    });
    grows_as_it_does("routes to one source", |count| {
        lines("routes:\n", count, line!("- {{ path: /r{n}, target: dns://a:1 }}"), "")
    });
    grows_as_it_does("sources", |count| {
        lines("routes:\n", count, line!("- {{ path: /r{n}, target: dns://a{n}:1 }}"), "")
    });
    grows_as_it_does("targets", |count| {
        lines("routes:\n- path: /\n  targets:\n", count, line!("  - http://127.0.0.1:{n}"), "")
    });
    grows_as_it_does("groups", |count| {
        let line = line!("  - {{ name: g{n}, weight: 1, target: http://127.0.0.1:{n} }}");
        lines("routes:\n- path: /\n  groups:\n", count, line, "")
    });
    grows_as_it_does("hosts", |count| {
        lines("routes:\n- path: /\n  target: http://127.0.0.1:1\n  host:\n", count, line!("  - h{n}.example"), "")
    });
    grows_as_it_does("clients with limits of their own", |count| {
        let before = "routes:\n- path: /\n  target: http://127.0.0.1:1\n  plugins:\n    rateLimit: { max: 1, window: 1, overrides: {\n";
        lines(before, count, line!("      k{n}: {{ max: 1 }},"), "    } }\n")
    });
    let said: Vec<String> = told.iter().map(|(times, what)| format!("{what}: {times:.0}")).collect();
    assert!(
        told.iter().all(|(times, _)| *times < MOST),
        "{TIMES} times as many cost so many times as much: {}",
        said.join(", ")
    );
}
