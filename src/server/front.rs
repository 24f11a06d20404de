//! What serves: a service with its own sockets, which takes connections once everything is there that requests need.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use pingora_core::services::listening;
use tokio::sync::Notify;

use super::handover::{Estate, Inheritance};
use super::{Listening, Start};
use crate::config::Config;
use crate::observe::diagnostics;
use crate::reload::Reloader;
use crate::shared::Shared;
use crate::upstream::discovery::Lookout;
use crate::upstream::keepalive::Keepalive;

/// A service with its own sockets.
pub struct Front<A> {
    /// What it is to Pingora.
    pub service: listening::Service<A>,
    sockets: Vec<Listening>,
    before: Option<Before>,
}

/// What comes before a service takes connections.
pub enum Before {
    /// Tasks are begun.
    Tasks(Box<Tasks>),
    /// Somebody else has begun them: two processes must not answer side by side.
    Settled(Arc<Notify>),
}

impl<A> Front<A> {
    /// That of `app`, at `sockets`.
    pub fn new(name: &str, app: A, sockets: Vec<Listening>, before: Before) -> Self {
        let mut service = listening::Service::new(name.to_owned(), app);
        for socket in &sockets {
            // Whoever reads or writes has a buffer of its own meanwhile. Those of Pingora, of 64 KiB and 1,460 bytes, are kept for
            // every connection that waits.
            let buffers = L4BufferSettings::unbuffered();
            service.add_listener(ListenerConfig::tcp(&socket.name).l4_buffer(buffers));
        }
        Front { service, sockets, before: Some(before) }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for Front<A> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let Some(fds) = &fds {
            self.sockets.drain(..).for_each(|socket| socket.hand_over(&mut fds.lock()));
        }
        match self.before.take() {
            Some(Before::Tasks(tasks)) => tasks.start().await,
            Some(Before::Settled(settled)) => settled.notified().await,
            None => {}
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
pub struct Tasks {
    /// What requests ask.
    pub shared: Arc<Shared>,
    /// Connections to targets, which are looked after.
    pub keepalive: Arc<Keepalive>,
    /// What it begins with.
    pub config: Config,
    /// From where it begins.
    pub start: Start,
    /// Offered as soon as the place is its own.
    pub estate: Arc<Estate>,
    /// Rung when requests are served.
    pub settled: Arc<Notify>,
}

impl Tasks {
    /// Begins all of them, and waits until most is there that requests need.
    async fn start(self) {
        let Start { origin, inheritance } = self.start;
        let inheritance = inheritance.filter(Inheritance::is_from_somebody);
        if inheritance.is_none() {
            self.estate.clone().offer();
        }
        let lookout = Arc::new(Lookout::new(&self.config.resolve));
        self.shared.snapshot.load_full().settle_in(&lookout).await;
        // Told to end already, it takes nobody's place.
        if let Some(inheritance) = inheritance.filter(|_| !self.shared.drain.is_begun()) {
            if let Ok(Err(error)) = tokio::task::spawn_blocking(move || inheritance.relieve()).await {
                log::error!("this process ends: {error}");
                diagnostics::close();
                std::process::exit(1);
            }
            self.estate.offer();
        }
        // From here on requests are served, and whoever connects waits for a moment at most.
        tokio::spawn(self.keepalive.tend());
        tokio::spawn(Reloader::new(self.shared, lookout, self.config, origin).run());
        self.settled.notify_one();
    }
}
