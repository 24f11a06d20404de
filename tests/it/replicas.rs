//! Several gateways as processes, one Redis: what all of them together let pass.

use std::process::Command;

use crate::limits::passed;
use crate::support::{Gateway, Redis, Upstream, aegis, gateway};

const CONNECTIONS: usize = 16;
const REQUESTS: usize = 50;

/// Replicas with one limit of 1,000 that nothing of comes back while a test runs.
struct Fleet {
    redis: Redis,
    gateways: Vec<Gateway>,
}

impl Fleet {
    fn start(upstream: &Upstream, replicas: usize, limit: &str) -> Self {
        let redis = Redis::start();
        let config = format!(
            "threads: 2\nredis: {{ url: '{}', timeout: 5s }}\nroutes: [{{ path: /users, target: '{}', plugins: {{ rateLimit: {{ {limit} }} }} }}]\n",
            redis.url(),
            upstream.url()
        );
        Fleet { redis, gateways: (0..replicas).map(|_| gateway(&config)).collect() }
    }

    /// How many of the requests on 16 connections to each gateway pass, while all are busy.
    fn admitted(&self) -> usize {
        std::thread::scope(|scope| {
            let connections = self.gateways.iter().flat_map(|gateway| (0..CONNECTIONS).map(move |_| gateway));
            let clients: Vec<_> =
                connections.map(|gateway| scope.spawn(|| crate::limits::statuses(gateway, REQUESTS))).collect();
            clients.into_iter().map(|client| passed(&client.join().unwrap())).sum()
        })
    }

    fn requests(&self) -> usize {
        self.gateways.len() * CONNECTIONS * REQUESTS
    }
}

const LIMITS: [&str; 3] = [
    "max: 1000, window: 7d",
    "max: 1000, window: 7d, algorithm: slidingWindow",
    "max: 1, window: 7d, algorithm: tokenBucket, burst: 1000",
];

#[test]
fn two_and_four_replicas_let_exactly_the_limit_pass() {
    let upstream = Upstream::start();
    for replicas in [2, 4] {
        for limit in LIMITS {
            let fleet = Fleet::start(&upstream, replicas, limit);
            assert_eq!(fleet.admitted(), 1_000, "{replicas} replicas, {limit}");
            let calls = fleet.redis.calls("evalsha") as usize;
            assert!(calls < fleet.requests() / 2, "{calls} calls: requests did not go together");
        }
    }
}

#[test]
fn leases_let_no_more_than_the_limit_pass_and_no_less_than_they_promise() {
    let upstream = Upstream::start();
    for replicas in [2, 4] {
        for (limit, whole) in LIMITS.iter().zip([1_000.0, 1_000.0, 875.0_f64]) {
            let fleet = Fleet::start(&upstream, replicas, &format!("{limit}, sync: leased"));
            let least = whole * 0.875_f64.powi(replicas as i32 - 1);
            let admitted = fleet.admitted();
            assert!(admitted <= 1_000 && admitted as f64 >= least, "{replicas} replicas, {limit}: {admitted}");
            let calls = fleet.redis.calls("evalsha") as usize;
            assert!(calls < fleet.requests() / 5, "{calls} calls: nothing was leased");
        }
    }
}

/// The wall clocks of the two are ten minutes apart; all time is that of Redis.
#[test]
fn clocks_that_are_minutes_apart_change_nothing() {
    let upstream = Upstream::start();
    let started_at = |config: &str, shift: &str| {
        let plain = aegis(&["run", "-c", "aegis.yaml"]);
        std::fs::write(plain.get_current_dir().unwrap().join("aegis.yaml"), config).unwrap();
        let mut command = Command::new("faketime");
        command.current_dir(plain.get_current_dir().unwrap()).args(["-m", "--exclude-monotonic", "-f", shift]);
        command.arg(plain.get_program()).args(plain.get_args());
        // It waits for its child, and hands no signal on.
        Gateway::spawn_group(command)
    };
    let limits = ["max: 10, window: 60s", "max: 10, window: 60s, algorithm: slidingWindow", LIMITS[2], LIMITS[1]];
    for (limit, most) in limits.iter().zip([10, 10, 1_000, 1_000]) {
        let redis = Redis::start();
        let config = format!(
            "listen: 127.0.0.1:0\naccessLog: {{ format: json }}\nredis: {{ url: '{}', timeout: 5s }}\n\
             routes: [{{ path: /users, target: '{}', plugins: {{ rateLimit: {{ {limit} }} }} }}]\n",
            redis.url(),
            upstream.url()
        );
        let gateways = [started_at(&config, "-5m"), started_at(&config, "+5m")];
        let turns = (0..most * 2).map(|turn| crate::limits::statuses(&gateways[turn % 2], 1)[0]);
        assert_eq!(passed(&turns.collect::<Vec<_>>()), most, "{limit}");
        let hours: Vec<String> = gateways.iter().map(|gateway| gateway.log_line("/users")).collect();
        let at = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["time"].clone();
        assert_ne!(at(&hours[0]).as_str().unwrap()[..16], at(&hours[1]).as_str().unwrap()[..16], "they are apart");
    }
}

/// One replica is busy, and others hold what they were granted for a few requests.
#[test]
fn what_idle_replicas_hold_is_bounded() {
    let upstream = Upstream::start();
    let fleet = Fleet::start(&upstream, 4, "max: 1000, window: 7d, sync: leased");
    let idle = fleet.gateways[1..].iter().map(|gateway| passed(&crate::limits::statuses(gateway, 8))).sum::<usize>();
    assert_eq!(idle, 24);
    let busy = passed(&crate::limits::statuses(&fleet.gateways[0], 1_100));
    let held = 1_000 - idle - busy;
    // A replica asks for no more than twice what it has used up before: 1, 2, 4 and at last 8, of which it holds 7.
    assert!((1..=3 * 8).contains(&held), "{held} held");
    let afterwards: usize =
        fleet.gateways[1..].iter().map(|gateway| passed(&crate::limits::statuses(gateway, 20))).sum();
    assert_eq!(afterwards, held, "what is held is not lost");
}
