//! What it takes to choose a target, at 3 and at 1,000 of them: `cargo bench --bench pick`.
//!
//! One thread picks and gives back, without a socket. Rounds of all rows are interleaved, so a machine whose speed
//! drifts favours none; shown are medians, and how much dearer the choice among a thousand is.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use aegis::breaker::Hold;
use aegis::config;
use aegis::plugin::rate_limit::Store;
use aegis::snapshot::{Route, Snapshot};
use aegis::upstream::pool::Wish;

const SIZES: [usize; 2] = [3, 1_000];
const ROUNDS: usize = 15;
const PICKS: u32 = 100_000;

/// The words of the table, and what a route says for them.
const ROWS: [(&str, &str); 7] = [
    ("roundRobin", "balance: roundRobin"),
    ("roundRobin, weights 1 to 5", "balance: roundRobin, weights"),
    ("leastRequest", "balance: leastRequest"),
    ("peakEwma", "balance: peakEwma"),
    ("random", "balance: random"),
    ("consistentHash", "balance: { algorithm: consistentHash, key: ip }"),
    ("roundRobin, all circuits open", "balance: roundRobin, held"),
];

fn main() {
    let mut rows: Vec<[Row; 2]> = ROWS.iter().map(|(_, block)| SIZES.map(|size| Row::new(block, size))).collect();
    for _ in 0..ROUNDS {
        rows.iter_mut().flatten().for_each(Row::measure);
    }
    println!("| balance | ns a pick, of 3 | of 1,000 | x |\n|---|--:|--:|--:|");
    for ((name, _), [few, many]) in ROWS.iter().zip(&rows) {
        let (few, many) = (few.median(), many.median());
        println!("| {name} | {few:.0} | {many:.0} | {:.2} |", many / few);
    }
}

struct Row {
    route: Arc<Route>,
    picks: u32,
    nanos: Vec<f64>,
}

impl Row {
    fn new(block: &str, size: usize) -> Self {
        let (is_weighted, is_held) = (block.contains("weights"), block.contains("held"));
        let targets: Vec<String> = (0..size)
            .map(|at| match is_weighted {
                true => format!("{{ url: 'http://10.0.{}.{}:1', weight: {} }}", at / 250, at % 250 + 1, at % 5 + 1),
                false => format!("'http://10.0.{}.{}:1'", at / 250, at % 250 + 1),
            })
            .collect();
        let block = block.trim_end_matches(", weights").trim_end_matches(", held");
        let text = format!("routes:\n  - path: /\n    targets: [{}]\n    {block}\n", targets.join(", "));
        let loaded = config::parse("bench", &text, &|_| None).unwrap_or_else(|errors| panic!("{errors:?}"));
        let start = Instant::now();
        let snapshot = Snapshot::new(&loaded.config, Arc::new(Store::new(None, start)), start);
        let route = snapshot.routes[0].clone();
        if is_held {
            snapshot.registry.all().iter().for_each(|target| target.circuit.hold(Hold::Open, start));
        }
        // Where nobody takes it, all were asked.
        let picks = if is_held { PICKS / size as u32 } else { PICKS };
        Row { route, picks, nanos: Vec::new() }
    }

    fn measure(&mut self) {
        let begun = Instant::now();
        for pick in 0..self.picks {
            let hash = u64::from(pick).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            if let Ok(mut attempt) =
                black_box(self.route.split.pick(0, Wish { hash, tried: &[], now: begun }, &mut |_, _| {}))
            {
                attempt.withdraw(begun);
            }
        }
        self.nanos.push(begun.elapsed().as_nanos() as f64 / f64::from(self.picks));
    }

    fn median(&self) -> f64 {
        let mut sorted = self.nanos.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}
