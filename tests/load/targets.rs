//! What clients notice when one of three targets, or all of them, have troubles.

use std::time::{Duration, Instant};

use crate::fleet::Instance;
use crate::pace::{Load, Sample};
use crate::support::{Gateway, Reply, Upstream, eventually, gateway};
use crate::{PER_SECOND, alone};

const COOLDOWN: Duration = Duration::from_secs(2);
const FIRST_BYTE: Duration = Duration::from_millis(600);
/// Failures in a row that open a circuit.
const FAILURES: usize = 3;

fn over(targets: &[String], extra: &str) -> Gateway {
    gateway(format!(
        "trustedProxies: [127.0.0.1]\nroutes:\n  - path: /users\n    targets: [{}]\n    breaker: {{ failures: {FAILURES}, cooldown: {}s }}\n    \
         timeouts: {{ firstByte: {}ms }}\n{extra}",
        targets.join(", "),
        COOLDOWN.as_secs(),
        FIRST_BYTE.as_millis()
    ))
}

fn well(count: usize) -> Vec<Instance> {
    (0..count).map(|_| Instance::start()).collect()
}

fn urls(instances: &[Instance]) -> Vec<String> {
    instances.iter().map(Instance::url).collect()
}

/// A load that has been going on for half a second.
fn load(gateway: &Gateway) -> Load {
    let load = Load::start(gateway, "/users", PER_SECOND, 250);
    load.go_on_for(PER_SECOND as usize / 2);
    load
}

fn seconds(load: &Load, seconds: f64) {
    load.go_on_for((f64::from(PER_SECOND) * seconds) as usize);
}

/// The target that is first in the config gets its share again, a cooldown and a second after this at the latest.
fn gets_its_share_again(gateway: &Gateway, load: &Load) {
    let (back, succeeded) = (Instant::now(), || gateway.stats()[0]["succeeded"].as_u64().unwrap());
    eventually("the circuit to close", || (gateway.states()[0] == "CLOSED").then_some(()));
    assert!(back.elapsed() < COOLDOWN + Duration::from_secs(1), "{:?}", back.elapsed());
    let before = succeeded();
    load.go_on_for(300);
    let share = succeeded() - before;
    assert!((80..=130).contains(&share), "{share} of 300");
}

fn with_status(samples: &[Sample], status: u16) -> Vec<Sample> {
    samples.iter().copied().filter(|sample| sample.status == status).collect()
}

/// Nothing but `status` and 200 was answered, and of `status`, while a circuit stays open, no more than open it,
/// and those that were under way by then.
fn at_most_what_opens_it(samples: &[Sample], status: u16) -> usize {
    let failed = with_status(samples, status);
    let others: Vec<_> = samples.iter().filter(|sample| ![200, status].contains(&sample.status)).collect();
    assert!(others.is_empty(), "{others:?}");
    for first in &failed {
        let spell: Vec<_> = failed.iter().filter(|later| (first.at..first.at + COOLDOWN).contains(&later.at)).collect();
        let mut answers: Vec<Instant> = spell.iter().map(|failure| failure.until).collect();
        answers.sort();
        let known = answers.get(FAILURES - 1).copied();
        let late = spell.iter().filter(|failure| known.is_some_and(|known| failure.at > known)).count();
        assert!(late == 0 && spell.len() < 2 * FAILURES, "{late} late, {spell:?}");
    }
    failed.len()
}

fn slow(samples: &[Sample]) -> usize {
    samples.iter().filter(|sample| sample.took > Duration::from_millis(100)).count()
}

/// What became of all requests while one of three targets stood still for five seconds and went on.
fn while_one_of_three_is_stopped(extra: &str) -> Vec<Sample> {
    let instances = well(3);
    let gateway = over(&urls(&instances), extra);
    let load = load(&gateway);
    instances[0].stop();
    seconds(&load, 5.0);
    instances[0].go_on();
    gets_its_share_again(&gateway, &load);
    load.end()
}

#[test]
fn one_is_killed_and_nobody_notices() {
    let _turn = alone();
    let mut instances = well(3);
    let gateway = over(&urls(&instances), "");
    let load = load(&gateway);
    instances[0].kill();
    seconds(&load, 3.0);
    assert_eq!(gateway.states()[0], "OPEN");
    instances[0].restart();
    gets_its_share_again(&gateway, &load);
    let samples = load.end();
    assert_eq!((with_status(&samples, 200).len(), slow(&samples)), (samples.len(), 0));
}

#[test]
fn one_is_stopped_and_no_more_wait_than_open_its_circuit() {
    let _turn = alone();
    let samples = while_one_of_three_is_stopped("");
    // The three, and the probe that is sent after a cooldown.
    let (timed_out, slow) = (at_most_what_opens_it(&samples, 504), slow(&samples));
    assert!((1..=2 * FAILURES).contains(&timed_out) && slow < 10, "{timed_out} timed out, {slow} were slow");
}

#[test]
fn one_is_stopped_and_another_try_hides_it() {
    let _turn = alone();
    let retry = "    retry: { on: [connect, reset, timeout], perTryTimeout: 150ms }\n";
    let samples = while_one_of_three_is_stopped(retry);
    let slow = slow(&samples);
    assert!(with_status(&samples, 200).len() == samples.len() && (1..10).contains(&slow), "{slow} were slow");
}

#[test]
fn one_accepts_and_never_answers() {
    let _turn = alone();
    let silent = Upstream::with(|_| {
        Reply::Talk(Box::new(|stream| {
            let _ = std::io::Read::read_to_end(stream, &mut Vec::new());
        }))
    });
    let instances = well(2);
    let gateway = over(&[vec![silent.url()], urls(&instances)].concat(), "");
    let load = load(&gateway);
    seconds(&load, 5.0);
    let samples = load.end();
    let timed_out = at_most_what_opens_it(&samples, 504);
    let slow = slow(&samples);
    assert!(timed_out >= FAILURES && slow < 10, "{timed_out} timed out, {slow} were slow");
}

#[test]
fn one_answers_500_and_few_see_it() {
    let _turn = alone();
    let broken = Upstream::failing();
    let instances = well(2);
    let targets = [vec![broken.url()], urls(&instances)].concat();
    let gateway = over(&targets, "");
    let load = load(&gateway);
    seconds(&load, 5.0);
    let samples = load.end();
    assert!(at_most_what_opens_it(&samples, 500) >= FAILURES + 2, "three, and two probes");
    let gateway = over(&targets, "    retry: { on: [connect, reset, 500-504] }\n");
    let load = self::load(&gateway);
    seconds(&load, 3.0);
    let samples = load.end();
    assert_eq!(with_status(&samples, 200).len(), samples.len(), "nobody, where another target is tried");
    assert_eq!(gateway.states()[0], "OPEN");
}

#[test]
fn one_resets_within_its_answers() {
    let _turn = alone();
    let cut = Upstream::with(|_| Reply::Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec()));
    let instances = well(2);
    let gateway = over(&[vec![cut.url()], urls(&instances)].concat(), "");
    let load = load(&gateway);
    seconds(&load, 5.0);
    let samples = load.end();
    // Some resets overtake the head, in which case another target answers.
    assert!(at_most_what_opens_it(&samples, 0) > 0);
    assert_eq!(gateway.states()[0], "OPEN");
}

#[test]
fn all_three_die_and_come_back() {
    let _turn = alone();
    let mut instances = well(3);
    let gateway = over(&urls(&instances), "");
    let load = load(&gateway);
    instances.iter_mut().for_each(Instance::kill);
    let dead = Instant::now();
    seconds(&load, 3.0);
    assert_eq!(gateway.states(), ["OPEN"; 3]);
    let back = Instant::now();
    instances.iter_mut().for_each(Instance::restart);
    gets_its_share_again(&gateway, &load);
    seconds(&load, 1.0);
    let samples = load.end();
    let bad: Vec<_> = samples.iter().filter(|sample| !matches!(sample.status, 200 | 502 | 503)).collect();
    assert!(bad.is_empty(), "{bad:?}");
    let failed: Vec<Sample> = samples.iter().copied().filter(|sample| sample.status >= 500).collect();
    assert!(failed.iter().all(|sample| sample.at > dead - Duration::from_millis(20)));
    let last = failed.iter().map(|sample| sample.at).max().unwrap();
    assert!(last < back + COOLDOWN + Duration::from_secs(1), "{:?} after they were back", last - back);
    let mut refused: Vec<Duration> = with_status(&samples, 503).iter().map(|sample| sample.took).collect();
    refused.sort();
    assert!(
        refused.len() > 1_000 && refused[refused.len() / 2] < Duration::from_millis(2),
        "{:?}",
        refused[refused.len() / 2]
    );
}
