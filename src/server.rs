//! The process: sockets, threads, background tasks, signals. The Pingora server is put together here.

mod descriptors;
mod front;
pub mod handover;
mod listen;
mod shutdown;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_core::apps::HttpServerOptions;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_proxy::http_proxy;
use tokio::sync::Notify;

use self::front::{Before, Front, Tasks};
use self::handover::{Estate, Inheritance};
pub use self::listen::{ListenError, Listening};
use self::shutdown::Signals;
use crate::admin::Admin;
use crate::config::{Config, Redirect};
use crate::connection::Connections;
use crate::downstream::entrance::{Door, Doors};
use crate::gateway::Gateway;
use crate::observe::access_log::AccessLog;
use crate::plugin::rate_limit::Store;
use crate::plugin::rate_limit::redis::Redis;
use crate::reload::Origin;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::upstream::keepalive::Keepalive;

/// Pingora's own end, which comes never: ours comes before.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);
/// A process that is about to end has let its sockets go by then.
const ENDING: Duration = Duration::from_secs(2);

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The access log cannot be written.
    #[error("cannot open the access log {file}: {reason}")]
    AccessLog {
        /// The file's name.
        file: String,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start: {0}")]
    System(#[from] std::io::Error),
    /// TLS cannot be set up.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
    /// Redis cannot even be tried.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
}

/// A gateway whose sockets are open: from here on nothing can fail but the machine.
pub struct Ready {
    shared: Arc<Shared>,
    sockets: Vec<(Listening, Door)>,
    admin: Option<(Listening, Admin)>,
    config: Config,
    start: Start,
    signals: Signals,
}

/// From where a gateway begins.
#[derive(Default)]
pub struct Start {
    /// Where its config is from, to be read there again.
    pub origin: Option<Origin>,
    /// What it has from the process before, which is to end when it is ready.
    pub inheritance: Option<Inheritance>,
}

impl Ready {
    /// Opens the sockets and the log of what `config` describes.
    ///
    /// # Errors
    /// Why it cannot run here.
    pub fn new(config: &Config, mut start: Start) -> Result<Self, StartError> {
        let signals = Signals::catch()?;
        let patience = match &start.inheritance {
            Some(inheritance) if inheritance.is_ending => ENDING,
            _ => Duration::ZERO,
        };
        let mut open = |address: SocketAddr, setting| {
            let inherited = start.inheritance.as_mut().and_then(|sockets| sockets.take(address));
            inherited.map_or_else(
                || Listening::open_within(patience, address, setting),
                |socket| Ok(Listening::inherited(address, socket)),
            )
        };
        let sockets = doors(config, &mut open)?;
        let terminator = config.tls.as_ref().map(|tls| tls.terminator(None)).transpose()?.map(Arc::new);
        let access_log = AccessLog::open(&config.access_log)
            .map_err(|reason| StartError::AccessLog { file: config.access_log.file.clone(), reason })?;
        let redis = config.redis.as_ref().map(Redis::new).transpose()?.map(Arc::new);
        let now = Instant::now();
        let snapshot = Snapshot::new(config, Arc::new(Store::new(redis, now)), now).ending_tls_by(terminator);
        let shared = Arc::new(Shared::new(snapshot, access_log));
        shared.reloads.begin(start.origin.as_ref().map(|origin| origin.warnings.clone()).unwrap_or_default());
        let admin = config.admin.as_ref().map(|admin| {
            let socket = open(admin.listen, "admin.listen")?;
            let listens = socket.address;
            Ok::<_, ListenError>((socket, Admin::new(shared.clone(), listens)))
        });
        let admin = admin.transpose()?;
        if let Some(inheritance) = &mut start.inheritance {
            inheritance.leave_rest();
        }
        Ok(Ready { shared, sockets, admin, config: config.clone(), start, signals })
    }

    /// Where it listens, ports that were left to the system filled in, and for what.
    pub fn addresses(&self) -> impl Iterator<Item = (SocketAddr, Door)> {
        self.sockets.iter().map(|(socket, door)| (socket.address, *door))
    }

    /// Where operators find it, if anywhere.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(socket, _)| socket.address)
    }

    /// Serves until a signal ends the process.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn run(self) -> Result<std::convert::Infallible, StartError> {
        let listening =
            self.sockets.iter().map(|(socket, _)| socket).chain(self.admin.iter().map(|(socket, _)| socket));
        let shared_out = listening.map(Listening::share).collect::<Result<Vec<_>, _>>()?;
        let estate = Arc::new(Estate::new(shared_out));
        let door = shutdown::listen(self.signals, self.shared.clone(), estate.clone())?;
        let doors = Doors::new(self.sockets.iter().map(|(socket, door)| (socket.address, *door)));
        let kept = descriptors::kept(descriptors::raise());
        let conf = ServerConf {
            threads: self.config.threads,
            // Of one thread nobody can steal, and tokio's runtime for one is cheaper.
            work_stealing: self.config.threads > 1,
            // It is told for one thread.
            upstream_keepalive_pool_size: kept.div_ceil(self.config.threads.max(1)),
            // What ends the attempts of a request is `forward`, not this number.
            max_retries: usize::MAX,
            grace_period_seconds: Some(NEVER.as_secs()),
            graceful_shutdown_timeout_seconds: Some(0),
            ..ServerConf::default()
        };
        let mut server = Server::new_with_opt_and_conf(None, conf);
        server.bootstrap();
        let keepalive = Arc::new(Keepalive::new(kept));
        let gateway = Gateway { shared: self.shared.clone(), keepalive: keepalive.clone() };
        let mut proxy = http_proxy(&server.configuration, gateway);
        let mut options = HttpServerOptions::default();
        // CONNECT is refused by us, in our own words.
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        let connections = Connections { proxy: Arc::new(proxy), shared: self.shared.clone(), doors };
        let sockets = self.sockets.into_iter().map(|(socket, _)| socket).collect();
        let settled = Arc::<Notify>::default();
        let tasks = Tasks {
            shared: self.shared.clone(),
            keepalive,
            config: self.config,
            start: self.start,
            estate,
            settled: settled.clone(),
        };
        server.add_service(Front::new("gateway", connections, sockets, Before::Tasks(Box::new(tasks))));
        if let Some((socket, admin)) = self.admin {
            let mut front = Front::new("admin", admin, vec![socket], Before::Settled(settled));
            front.service.threads = Some(1);
            server.add_service(front);
        }
        server.run(RunArgs { shutdown_signal: Box::new(door) });
        shutdown::exit(&self.shared)
    }
}

/// The sockets for clients, each opened by `open`, which is told what setting says so.
fn doors(
    config: &Config,
    open: &mut impl FnMut(SocketAddr, &'static str) -> Result<Listening, ListenError>,
) -> Result<Vec<(Listening, Door)>, ListenError> {
    let mut sockets = Vec::new();
    let mut open = |address: SocketAddr, door| {
        let socket = open(address, if door == Door::Plain { "PORT (or listen:)" } else { "tls:" })?;
        let port = socket.address.port();
        sockets.push((socket, door));
        Ok(port)
    };
    config.listen.iter().try_for_each(|address| open(*address, Door::Plain).map(drop))?;
    let Some(tls) = &config.tls else { return Ok(sockets) };
    let ports = tls.listen.iter().map(|address| open(*address, Door::Tls)).collect::<Result<Vec<_>, _>>()?;
    if let Some(Redirect { listen, port }) = tls.redirect {
        // Where that was left to the system, it is known now.
        let port = if port == 0 { ports.first().copied().unwrap_or(443) } else { port };
        open(listen, Door::ToHttps(port))?;
    }
    Ok(sockets)
}
