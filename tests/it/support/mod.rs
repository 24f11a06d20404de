//! What tests read as sentences: `gateway(config).get("/users").status`.

pub mod browser;
pub mod client;
pub mod cluster;
pub mod curl;
pub mod dns;
pub mod front;
pub mod gateway;
pub mod grpc;
pub mod issuer;
pub mod redis;
pub mod sentinels;
pub mod tls;
pub mod upstream;
pub mod validator;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

pub use client::{Connection, Response};
pub use cluster::Cluster;
pub use curl::curl;
pub use gateway::{Gateway, SECRET, aegis, gateway, over};
pub use redis::Redis;
pub use sentinels::{Sentinels, tls_sentinel};
pub use tls::Certificates;
pub use upstream::{Received, Reply, Upstream};

/// As long as anything here may take before the test gives up; far beyond what it takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `done` gives something, looking every few milliseconds; panics with `what` after a long time.
pub fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An address of the loopback where nobody listens: connecting to it is refused.
pub fn nobody() -> SocketAddr {
    // Bound and let go: the system hands out others first.
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A token for `user`, good for an hour.
pub fn token(user: &str) -> String {
    signed(&serde_json::json!({ "userId": user, "exp": now() + 3_600 }))
}

/// A token of these claims.
pub fn signed(claims: &serde_json::Value) -> String {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// Seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
