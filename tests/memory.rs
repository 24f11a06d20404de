//! What limits in memory cost at a million clients, in a process of its own: what is resident is the process's.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use aegis::plugin::rate_limit::fingerprint::Hasher;
use aegis::plugin::rate_limit::memory::Memory;
use aegis::plugin::{Notes, Request};
use aegis::snapshot::Snapshot;

const CLIENTS: u32 = 1_000_000;

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

#[test]
fn a_million_clients_are_counted_exactly_in_a_hundred_bytes_each() {
    let config = "routes: [{ path: /, target: http://a:1, plugins: { rateLimit: { max: 2, window: 1h } } }]";
    let loaded = aegis::config::parse("test.yaml", config, &|_| None).unwrap();
    let now = Instant::now();
    let store = Arc::new(aegis::plugin::rate_limit::Store::new(None, now));
    let snapshot = Snapshot::new(&loaded.config, store, Instant::now());
    let limits = snapshot.routes[0].limits.clone().unwrap();
    let (memory, hasher, headers) = (Memory::new(now), Hasher::default(), http::HeaderMap::new());
    let allowed = |n: u32| {
        let request = Request {
            id: &http::HeaderValue::from_static("id"),
            scheme: "http",
            method: &http::Method::GET,
            path: "/",
            query: None,
            certificate: None,
            headers: &headers,
            client_ip: Ipv4Addr::from(n).into(),
            now,
            wall: SystemTime::UNIX_EPOCH,
            notes: &mut Notes::default(),
        };
        memory.take(&limits.ask(&request, &hasher).unwrap(), now).allowed
    };
    let before = resident_bytes();
    assert!((0..CLIENTS).all(allowed));
    let each = (resident_bytes() - before) as f64 / f64::from(CLIENTS);
    assert!(each <= 100.0, "{each:.1} bytes a client");
    assert!((0..CLIENTS).all(allowed));
    assert!(!(0..CLIENTS).any(allowed));
    println!("{each:.1} bytes a client");
}
