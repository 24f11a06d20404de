#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::thread;

use aegis::config::parse;
use aegis::server::{Ready, Start};
use aegis_fuzz::wire::{Recorder, config, run};

/// A gateway in this process, in front of `upstream`.
fn gateway(upstream: SocketAddr) -> SocketAddr {
    let text = format!("listen: 127.0.0.1:0\n{}", config(upstream));
    let config = parse("wire.yaml", &text, &|_| None).expect("a good config").config;
    let ready = Ready::new(&config, Start::default()).expect("it starts");
    let (address, _) = ready.addresses().next().expect("it listens");
    thread::spawn(move || ready.run());
    address
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static UPSTREAM: LazyLock<Recorder> = LazyLock::new(Recorder::start);
    static GATEWAY: LazyLock<SocketAddr> = LazyLock::new(|| gateway(UPSTREAM.address));
    run(data, *GATEWAY, &UPSTREAM);
});
