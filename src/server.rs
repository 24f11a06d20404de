//! The process: sockets, threads, background tasks, signals. The Pingora server is put together here.

mod listen;
mod shutdown;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::apps::{HttpServerOptions, ServerApp};
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{ListenFds, RunArgs, Server, ShutdownWatch};
use pingora_core::services::Service;
use pingora_core::services::listening;
use pingora_proxy::http_proxy;

pub use self::listen::{ListenError, Listening};
use crate::admin::Admin;
use crate::config::{Config, Redirect, Tls};
use crate::connection::Connections;
use crate::downstream::entrance::{Door, Doors};
use crate::gateway::Gateway;
use crate::observe::access_log::AccessLog;
use crate::plugin::rate_limit::Store;
use crate::plugin::rate_limit::redis::Redis;
use crate::reload::{Origin, Reloader};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::tls::keeper::Keeper;
use crate::tls::terminator::Terminator;
use crate::upstream::discovery::Lookout;

/// How long requests that are under way may go on after SIGTERM.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that wait unused for the next request, over all targets.
const KEPT_CONNECTIONS: usize = 1_024;
/// Read buffers of connections. Pingora's default of 64 KiB costs memory for every idle connection and
/// gains nothing measurable: bodies that are larger than the buffer bypass it.
const READ_BUFFER: usize = 4 * 1_024;

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
    terminator: Option<Arc<Terminator>>,
    keeper: Option<Keeper>,
    admin: Option<(Listening, Admin)>,
    config: Config,
    origin: Option<Origin>,
}

impl Ready {
    /// Opens the sockets and the log of what `config` describes, which is read again from its origin, if it has one.
    ///
    /// # Errors
    /// Why it cannot run here.
    pub fn new(config: &Config, origin: Option<Origin>) -> Result<Self, StartError> {
        let sockets = doors(config)?;
        let terminator = config.tls.as_ref().map(Tls::terminator).transpose()?.map(Arc::new);
        let access_log = AccessLog::open(&config.access_log)
            .map_err(|reason| StartError::AccessLog { file: config.access_log.file.clone(), reason })?;
        let redis = config.redis.as_ref().map(Redis::new).transpose()?.map(Arc::new);
        let now = Instant::now();
        let snapshot = Snapshot::new(config, Arc::new(Store::new(redis, now)), now);
        let shared = Arc::new(Shared::new(snapshot, access_log));
        let admin = config.admin.as_ref().map(|admin| {
            let socket = Listening::open(admin.listen, "admin.listen")?;
            let listens = socket.address;
            Ok::<_, ListenError>((socket, Admin::new(shared.clone(), listens)))
        });
        Ok(Ready {
            shared,
            sockets,
            keeper: config.tls.as_ref().zip(terminator.clone()).map(|(tls, terminator)| tls.keeper(terminator)),
            terminator,
            admin: admin.transpose()?,
            config: config.clone(),
            origin,
        })
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
        let door = shutdown::listen(self.shared.clone())?;
        let conf = ServerConf {
            threads: self.config.threads,
            upstream_keepalive_pool_size: KEPT_CONNECTIONS,
            // What ends the attempts of a request is `forward`, not this number.
            max_retries: usize::MAX,
            grace_period_seconds: Some(DRAIN_TIMEOUT.as_secs()),
            graceful_shutdown_timeout_seconds: Some(0),
            ..ServerConf::default()
        };
        let mut server = Server::new_with_opt_and_conf(None, conf);
        server.bootstrap();
        let mut proxy = http_proxy(&server.configuration, Gateway { shared: self.shared.clone() });
        let mut options = HttpServerOptions::default();
        // CONNECT is refused by us, in our own words.
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        let connections = Connections {
            proxy: Arc::new(proxy),
            shared: self.shared.clone(),
            doors: Doors::new(self.addresses()),
            terminator: self.terminator.clone(),
            crowd: Arc::default(),
        };
        let sockets = self.sockets.into_iter().map(|(socket, _)| socket).collect();
        let tasks = Tasks {
            shared: self.shared.clone(),
            config: self.config,
            origin: self.origin,
            tls: self.terminator.zip(self.keeper),
        };
        server.add_service(Front::new("gateway", connections, sockets, Some(tasks)));
        if let Some((socket, admin)) = self.admin {
            let mut front = Front::new("admin", admin, vec![socket], None);
            front.service.threads = Some(1);
            server.add_service(front);
        }
        shutdown::end_when_drained(&server, self.shared.clone())?;
        server.run(RunArgs { shutdown_signal: Box::new(door) });
        shutdown::exit(&self.shared)
    }
}

/// Opens the sockets for clients.
fn doors(config: &Config) -> Result<Vec<(Listening, Door)>, ListenError> {
    let mut sockets = Vec::new();
    let mut open = |address: SocketAddr, door| {
        let setting = if door == Door::Plain { "PORT (or listen:)" } else { "tls:" };
        let socket = Listening::open(address, setting)?;
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

/// A service with its own sockets.
struct Front<A> {
    service: listening::Service<A>,
    sockets: Vec<Listening>,
    tasks: Option<Tasks>,
}

impl<A> Front<A> {
    fn new(name: &str, app: A, sockets: Vec<Listening>, tasks: Option<Tasks>) -> Self {
        let mut service = listening::Service::new(name.to_owned(), app);
        for socket in &sockets {
            let buffers = L4BufferSettings::default().read(READ_BUFFER);
            service.add_listener(ListenerConfig::tcp(&socket.name).l4_buffer(buffers));
        }
        Front { service, sockets, tasks }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for Front<A> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let Some(fds) = &fds {
            self.sockets.drain(..).for_each(|socket| socket.hand_over(&mut fds.lock()));
        }
        if let Some(tasks) = self.tasks.take() {
            tasks.start().await;
        }
        Service::start_service(&mut self.service, fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Service::listen_addresses(&self.service)
    }
}

/// The tasks that belong on the threads of the proxy: a connection to Redis that is driven by another runtime
/// would cost every call two wake-ups.
struct Tasks {
    shared: Arc<Shared>,
    config: Config,
    origin: Option<Origin>,
    tls: Option<(Arc<Terminator>, Keeper)>,
}

impl Tasks {
    /// Begins all of them, and waits until most is there that requests need.
    async fn start(self) {
        let lookout = Arc::new(Lookout::new(&self.config.resolve));
        let tls = self.tls.map(|(terminator, keeper)| (terminator, tokio::spawn(keeper.keep()).abort_handle()));
        self.shared.snapshot.load_full().settle_in(&lookout).await;
        let reloader = Reloader::new(self.shared, lookout, (self.config, self.origin), tls);
        tokio::spawn(reloader.run());
    }
}
