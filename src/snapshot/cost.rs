//! What a config costs grows with what is written, and not with its square: as it is read, as it is built, and in place of another.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::Snapshot;
use super::before::Before;
use crate::config::{self, Config, changes::changes};
use crate::plugin::rate_limit::Store;

/// How often something stands in the smaller config, and how much more often in the larger one.
const FEW: usize = 250;
const TIMES: usize = 16;
const ROUNDS: usize = 3;
/// So much more the larger one may cost: what is square costs 256 times as much.
const MOST: f64 = 32.0;

/// How long this thread has been given a processor.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("not negative")
}

fn compiled(text: &str) -> Config {
    config::parse("test.yaml", text, &|_| None).expect("a valid config").config
}

fn cost(text: &str) -> Duration {
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
    let mut least = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        least = (least.0.min(cost(&small)), least.1.min(cost(&large)));
    }
    least.1.div_duration_f64(least.0)
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
    grows_as_it_does("routes under those that ask who it is", |count| {
        let before = "auth: { jwt: { secret: '0123456789abcdef0123456789abcdef' } }\nroutes:\n";
        let line = line!(
            "- {{ path: /r{n}, target: http://127.0.0.1:{n}, plugins: {{ auth: true }} }}\n- {{ path: /r{n}/a, target: http://127.0.0.1:{n} }}"
        );
        lines(before, count, line, "")
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
    let said: Vec<String> = told.iter().map(|(times, what)| format!("{what}: {times:.1}")).collect();
    assert!(
        told.iter().all(|(times, _)| *times < MOST),
        "{TIMES} times as many cost so many times as much: {}",
        said.join(", ")
    );
}
