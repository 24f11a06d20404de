//! Pingora that only forwards: the floor that every gateway built on it stands on.
//!
//! Environment: `GATEWAY_PORT`, `UPSTREAM_PORT_1` to `_3`; `READ_BUFFER`, bytes that a connection reads at
//! a time (Pingora's default: 65536); `LOG_BUFFER`, bytes of log lines to gather before they are written
//! (default 0: each line at once, as the usual loggers do); `WORK_STEALING=0` for tokio's runtime of one thread in
//! place of that of many. The log is `access.log` in the working directory.

use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pingora::lb::selection::RoundRobin;
use pingora::listeners::ListenerConfig;
use pingora::prelude::*;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::RunArgs;
use pingora::server::configuration::ServerConf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Log = Arc<Mutex<BufWriter<File>>>;

struct Forward {
    targets: LoadBalancer<RoundRobin>,
    log: Log,
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        let target = self.targets.select(b"", 16).ok_or_else(|| Error::new_str("no target"))?;
        Ok(Box::new(HttpPeer::new(target, false, String::new())))
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, _: &mut ()) {
        let request = session.req_header();
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let line = format!("[{}] {} -> {status}\n", request.method, request.uri.path());
        self.log.lock().expect("nothing panics with the log").write_all(line.as_bytes()).expect("the log is writable");
    }
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

fn port(name: &str) -> u16 {
    number(name).unwrap_or_else(|| panic!("{name} is a port"))
}

fn main() -> io::Result<()> {
    let file = File::create("access.log")?;
    let log = Arc::new(Mutex::new(BufWriter::with_capacity(number("LOG_BUFFER").unwrap_or(0), file)));
    let targets = [1, 2, 3].map(|n| format!("127.0.0.1:{}", port(&format!("UPSTREAM_PORT_{n}"))));
    let targets = LoadBalancer::try_from_iter(targets)?;

    let conf = ServerConf {
        threads: 1,
        work_stealing: number("WORK_STEALING") != Some(0),
        upstream_keepalive_pool_size: 1_024,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, Forward { targets, log: log.clone() });
    let buffers = L4BufferSettings::default();
    let buffers = number("READ_BUFFER").map_or(buffers.clone(), |bytes| buffers.read(bytes));
    proxy.add_listener(ListenerConfig::tcp(format!("127.0.0.1:{}", port("GATEWAY_PORT"))).l4_buffer(buffers));
    server.add_service(proxy);
    server.run(RunArgs::default());
    log.lock().expect("nothing panics with the log").flush()
}
