//! One server: the link to it, and the requests that are decided there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc, oneshot};

use super::calls::{self, Redirected};
use super::endpoint::Endpoint;
use super::lease::Leases;
use super::link::Link;
use super::queue::{Queue, Request};
use super::script::Scripts;
use crate::config::Redis as Config;

/// What all servers of a Redis have in common.
#[derive(Clone)]
pub struct Common {
    /// How they are reached.
    pub config: Arc<Config>,
    /// What is run there.
    pub scripts: Arc<Scripts>,
    /// What they have granted for later.
    pub leases: Arc<Leases>,
    /// Rung when one of them goes down.
    pub changed: Arc<Notify>,
    /// Takes what they send elsewhere.
    pub redirects: mpsc::UnboundedSender<Redirected>,
}

/// One server.
pub struct Server {
    /// The link to it.
    pub link: Arc<Link>,
    common: Common,
    queue: Arc<Queue>,
    started: AtomicBool,
}

/// Nobody waits for what nobody serves.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Server {
    /// A server that is not connected to until [`Server::start`].
    pub fn new(endpoint: Endpoint, common: Common) -> Self {
        let link = Link::new(endpoint, common.config.timeout, common.scripts.clone(), common.changed.clone());
        Server { link: Arc::new(link), common, queue: Arc::default(), started: AtomicBool::new(false) }
    }

    /// Connects, keeps connected and decides, on tasks of this runtime that end with the last handle to
    /// this server. Returns when connecting has been tried once.
    pub async fn start(&self) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        let (link, common, queue) = (self.link.clone(), self.common.clone(), Closing(self.queue.clone()));
        tokio::spawn(async move { calls::serve(&link, &common.leases, &common.redirects, &queue.0).await });
        let (link, (tried, first_try)) = (self.link.clone(), oneshot::channel());
        tokio::spawn(async move {
            // A breaker that has seen nothing yet lets anybody try.
            let _ = link.connect().await;
            // Whoever started it may have run out of patience.
            let _ = tried.send(());
            let link = Arc::downgrade(&{ link });
            Link::maintain(link).await;
        });
        // The task answers, or has panicked and told so.
        let _ = first_try.await;
    }

    /// Has a request be decided, unless the link turns out to be down; gives it back if nobody serves any more.
    pub fn send(&self, request: Request) -> Option<Request> {
        self.queue.arrive(request)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.queue.close();
    }
}
