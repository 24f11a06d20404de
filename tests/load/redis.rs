//! What clients notice while Redis has troubles.

use std::time::{Duration, Instant};

use crate::pace::{Load, Sample};
use crate::support::{Cluster, Gateway, Redis, Sentinels, Upstream, eventually, gateway};
use crate::{PER_SECOND, alone};

const TIMEOUT: Duration = Duration::from_millis(50);
/// What a request may take beyond the time-out, and beyond what it takes while all is well.
const GRACE: Duration = Duration::from_millis(10);
const CLIENTS: usize = 5;
/// For each client, in an hour: more than come before an outage, fewer than during one.
const MAX: usize = 400;

fn start(upstream: &Upstream, redis: &str) -> Gateway {
    let gateway = gateway(format!(
        "redis: {{ {redis}, timeout: {}ms }}\ntrustedProxies: [127.0.0.1]\n\
         routes: [{{ path: /users, target: '{}', plugins: {{ rateLimit: {{ max: {MAX}, window: 1h }} }} }}]\n",
        TIMEOUT.as_millis(),
        upstream.url()
    ));
    await_shared(&gateway);
    gateway
}

fn store(gateway: &Gateway) -> String {
    gateway.stats()[0]["rateLimit"]["store"].as_str().unwrap().to_owned()
}

/// Waits until limits are shared, and says how long that took.
fn await_shared(gateway: &Gateway) -> Duration {
    let start = Instant::now();
    eventually("limits to be shared", || (store(gateway) == "redis").then_some(()));
    start.elapsed()
}

/// A load that has been going on for a second with all well.
struct Watch {
    load: Load,
    trouble: Instant,
}

impl Watch {
    fn start(gateway: &Gateway) -> Self {
        let load = Load::start(gateway, "/users", PER_SECOND, CLIENTS);
        load.go_on_for(PER_SECOND as usize);
        Watch { load, trouble: Instant::now() }
    }

    /// Ends it. No request has failed, none was late, and those before the trouble tell what late is here.
    fn end(self) -> Vec<Sample> {
        let samples = self.load.end();
        assert!(samples.iter().all(|sample| matches!(sample.status, 200 | 429)), "{samples:?}");
        let slowest = |samples: &[Sample]| samples.iter().map(|sample| sample.took).max().unwrap();
        let calm: Vec<Sample> = samples.iter().copied().filter(|sample| sample.at < self.trouble).collect();
        let calm = slowest(&calm);
        let late: Vec<_> = samples
            .iter()
            .filter(|sample| sample.took > TIMEOUT + GRACE + calm)
            .map(|s| (s.at - self.trouble, s.took))
            .collect();
        assert!(late.is_empty(), "later than {TIMEOUT:?} and what it takes in calm times, {calm:?}: {late:?}");
        samples
    }
}

/// How many passed of those that were sent in a stretch of time.
fn passed(samples: &[Sample], from: Instant, until: Instant) -> usize {
    let sent = samples.iter().filter(|sample| (from..until).contains(&sample.at));
    sent.filter(|sample| sample.status == 200).count()
}

#[test]
fn redis_is_killed_and_comes_back() {
    let _turn = alone();
    let (upstream, mut redis) = (Upstream::start(), Redis::start());
    let gateway = start(&upstream, &format!("url: '{}'", redis.url()));
    let watch = Watch::start(&gateway);
    let killed = Instant::now();
    redis.kill();
    watch.load.go_on_for(6 * PER_SECOND as usize);
    let restarted = Instant::now();
    redis.restart();
    let shared_again = await_shared(&gateway);
    watch.load.go_on_for(PER_SECOND as usize);
    let samples = watch.end();
    let local = passed(&samples, killed, restarted);
    assert!((CLIENTS * MAX - 20..=CLIENTS * MAX).contains(&local), "{local} passed while each had {MAX} here");
    assert!(shared_again < Duration::from_secs(1), "{shared_again:?}");
    assert!(redis.count("aegis:rl:{203.0.113.1}:/users") >= 50);
}

#[test]
fn redis_hangs_and_goes_on() {
    let _turn = alone();
    let (upstream, redis) = (Upstream::start(), Redis::start());
    let gateway = start(&upstream, &format!("url: '{}'", redis.url()));
    let watch = Watch::start(&gateway);
    redis.hang();
    let hung = Instant::now();
    watch.load.go_on_for(3 * PER_SECOND as usize);
    assert_eq!(store(&gateway), "memory");
    redis.go_on();
    let shared_again = await_shared(&gateway);
    watch.load.go_on_for(PER_SECOND as usize);
    let waited = |sample: &&Sample| sample.at >= hung && sample.took >= TIMEOUT;
    let samples = watch.end();
    let slow = samples.iter().filter(waited).count();
    // Three round trips fail before the breaker opens; whatever came meanwhile waited in vain as well.
    assert!(slow < PER_SECOND as usize / 4, "{slow} requests waited for Redis");
    assert!(shared_again < Duration::from_secs(2), "{shared_again:?}");
    let row = &gateway.stats()[0]["rateLimit"]["redis"][0];
    assert!(row["state"] == "CLOSED" && row["trips"].as_u64() >= Some(1), "{row}");
    assert_eq!(gateway.stderr().matches("limits are not shared").count(), 1, "said once: {}", gateway.stderr());
}

#[test]
fn redis_is_restarted_and_its_scripts_are_flushed() {
    let _turn = alone();
    let (upstream, mut redis) = (Upstream::start(), Redis::start());
    let gateway = start(&upstream, &format!("url: '{}'", redis.url()));
    let watch = Watch::start(&gateway);
    assert_eq!(redis.run(&["SCRIPT", "FLUSH"]), "OK");
    watch.load.go_on_for(PER_SECOND as usize / 2);
    assert_eq!(store(&gateway), "redis");
    for _ in 0..2 {
        redis.kill();
        redis.restart();
        watch.load.go_on_for(PER_SECOND as usize / 2);
        assert!(await_shared(&gateway) < Duration::from_secs(1));
    }
    watch.load.go_on_for(PER_SECOND as usize / 2);
    watch.end();
}

#[test]
fn sentinels_replace_the_primary() {
    let _turn = alone();
    let upstream = Upstream::start();
    let mut set = Sentinels::start();
    let gateway = start(&upstream, &format!("url: '{}'", set.url()));
    let watch = Watch::start(&gateway);
    let dead = set.kill_primary();
    let promoted = eventually("another primary", || {
        let primary = set.primary().address;
        (primary != set.nodes[dead].address).then_some(primary)
    });
    let shared_again = await_shared(&gateway);
    watch.load.go_on_for(PER_SECOND as usize / 2);
    watch.end();
    assert!(shared_again < Duration::from_secs(1), "{shared_again:?} after {promoted} was promoted");
    assert!(set.primary().count("aegis:rl:{203.0.113.1}:/users") >= 20);
}

#[test]
fn a_slot_of_a_cluster_is_moved_and_a_primary_dies() {
    let _turn = alone();
    let upstream = Upstream::start();
    let mut cluster = Cluster::start();
    let gateway = start(&upstream, &format!("cluster: ['{}']", cluster.nodes[0].url()));
    let watch = Watch::start(&gateway);
    let key = "aegis:rl:{203.0.113.1}:/users";
    let from = cluster.primary_of(key);
    let to = (from + 1) % 3;
    let before = cluster.nodes[from].count(key);
    let slot = cluster.slot_of(key);
    cluster.begin_move(slot, from, to);
    watch.load.go_on_for(PER_SECOND as usize / 4);
    cluster.move_keys(slot, from, to);
    watch.load.go_on_for(PER_SECOND as usize / 4);
    cluster.finish_move(slot, from, to);
    watch.load.go_on_for(PER_SECOND as usize / 2);
    assert!(cluster.nodes[to].count(key) >= before + 20, "nothing was lost on the way");
    assert_eq!(store(&gateway), "redis");
    cluster.nodes[to].kill();
    eventually("the replica to take over", || (cluster.primary_of(key) != to).then_some(()));
    let shared_again = await_shared(&gateway);
    watch.load.go_on_for(PER_SECOND as usize / 2);
    watch.end();
    assert!(shared_again < Duration::from_secs(1), "{shared_again:?}");
}
