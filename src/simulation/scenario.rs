//! What is configured in a history, and what its weather is like.

use std::time::Duration;

use crate::rng::Rng;

/// What a seed decides beforehand.
pub struct Scenario {
    /// The config, as YAML.
    pub config: String,
    /// Failures in a row that open a circuit, where nothing else does.
    pub failures: Option<u32>,
    /// How long a probe may take before another takes its place.
    pub lease: Duration,
    /// The least time that a circuit stays open.
    pub shortest_cooldown: Duration,
    /// And the longest.
    pub longest_cooldown: Duration,
    /// Whether requests go out although all circuits are open.
    pub tries_anyway: bool,
    /// How many requests a target may have under way.
    pub limit: u32,
    /// The share of requests, and how many more, that may go out again in ten seconds.
    pub budget: (f64, u64),
    /// How often a request is sent in all.
    pub attempts: u32,
    /// Requests a second, on average.
    pub rate: f64,
    /// How long a target mostly stays as it is.
    pub spell: Duration,
    /// How many of the clients leave before they are answered.
    pub leaving: f64,
}

/// Requests of a history, before all targets are well again for good.
pub const REQUESTS: u64 = 2_500;
/// In milliseconds.
pub const CONNECT: u64 = 1_000;
/// In milliseconds.
pub const FIRST_BYTE: u64 = 3_000;

impl Scenario {
    /// The one of a seed.
    pub fn draw(rng: &mut Rng) -> Self {
        let targets = 2 + rng.below(5) as usize;
        let (breaker, failures, [shortest, longest]) = breaker(rng);
        let lease = Duration::from_millis(4_000 + rng.below(8_000));
        let tries_anyway = rng.below(4) == 0;
        let limit = [u32::MAX, u32::MAX, 3, 20][rng.below(4) as usize];
        let attempts = 1 + rng.below(targets.min(4) as u64) as u32;
        let (share, floor) = (rng.below(60), rng.below(20));
        let per_try = pick(rng, &["", ", perTryTimeout: 800ms"]);
        let on =
            pick(rng, &["[connect, reset]", "[connect, reset, timeout, 500-599]", "[timeout, 503]", "[reset, 500]"]);
        let methods = pick(rng, &["[GET]", "[GET, PUT]"]);
        let algorithm = pick(
            rng,
            &["roundRobin", "leastRequest", "peakEwma", "random", "{ algorithm: consistentHash, key: { header: k } }"],
        );
        let weights: Vec<String> = (0..targets)
            .map(|number| format!("{{ url: 'http://t{number}:1', weight: {} }}", 1 + rng.below(4)))
            .collect();
        let config = format!(
            "defaults: {{ slowStart: {} }}\n\
             routes:\n  - path: /\n    targets: [{}]\n    balance: {algorithm}\n    onAllOpen: {}\n    \
             concurrency: {}\n    timeouts: {{ connect: {CONNECT}ms, firstByte: {FIRST_BYTE}ms }}\n    \
             breaker: {{ {breaker}, probeTimeout: {}ms }}\n    \
             retry: {{ attempts: {attempts}, on: {on}, methods: {methods}, idempotencyKey: {}{per_try}, budget: {{ share: {share}%, min: {floor} }} }}\n",
            pick(rng, &["off", "10s"]),
            weights.join(", "),
            if tries_anyway { "tryAnyway" } else { "fail" },
            if limit == u32::MAX { "off".to_owned() } else { limit.to_string() },
            lease.as_millis(),
            pick(rng, &["true", "false"]),
        );
        Scenario {
            config,
            failures,
            lease,
            shortest_cooldown: shortest,
            longest_cooldown: longest,
            tries_anyway,
            limit,
            budget: (share as f64 / 100.0, floor),
            attempts,
            rate: [0.3, 1.0, 5.0, 20.0, 60.0][rng.below(5) as usize],
            spell: Duration::from_secs([5, 30, 120][rng.below(3) as usize]),
            leaving: [0.0, 0.02, 0.2][rng.below(3) as usize],
        }
    }
}

/// The block, the failures in a row where these alone open the circuit, and how long it stays
/// open, at the least and at the most.
fn breaker(rng: &mut Rng) -> (String, Option<u32>, [Duration; 2]) {
    let cooldown = 1 + rng.below(60);
    let (backoff, shortest, longest) = match rng.below(3) {
        0 => (", backoff: { factor: 2, max: 90s, jitter: 20% }", 800 * cooldown, 108_000),
        _ => ("", 1_000 * cooldown, 1_000 * cooldown),
    };
    let (block, failures) = match rng.below(4) {
        0 => ("failureRatio: 50%, window: 10s, minRequests: 5".to_owned(), None),
        1 => ("failures: 4, failureRatio: 30%, minRequests: 5, mode: any".to_owned(), None),
        2 => ("slowerThan: 500ms, slowRatio: 60%, window: 20s, minRequests: 5".to_owned(), None),
        _ => {
            let failures = 1 + rng.below(5) as u32;
            (format!("failures: {failures}"), Some(failures))
        }
    };
    (format!("{block}, cooldown: {cooldown}s{backoff}"), failures, [shortest, longest].map(Duration::from_millis))
}

fn pick<'t>(rng: &mut Rng, from: &[&'t str]) -> &'t str {
    from[rng.below(from.len() as u64) as usize]
}
