//! Signals: SIGTERM drains, a second one does not wait; SIGINT ends at once; SIGHUP has the config read again; SIGQUIT hands the
//! sockets to a new process.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use super::handover::{HandoverError, hand_over};
use crate::drain::Stage;
use crate::reload::report::Cause;
use crate::shared::Shared;

/// When the door is closed, a connection that was taken last has so long to show its request.
const LATECOMERS: Duration = Duration::from_millis(100);
/// How often the requests under way are looked at.
const LOOK: Duration = Duration::from_millis(10);
/// Without a request under way, connections have so long to be closed in good order.
const FAREWELL: Duration = Duration::from_secs(1);

/// Tells Pingora when to close the door.
pub struct Door(Arc<Notify>);

#[async_trait]
impl ShutdownSignalWatch for Door {
    async fn recv(&self) -> ShutdownSignal {
        self.0.notified().await;
        ShutdownSignal::GracefulTerminate
    }
}

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is told to.
    Told,
    /// Another one takes its connections.
    Relieved,
}

/// What hears signals, and ends the process.
struct Ears {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    quit: Signal,
    shared: Arc<Shared>,
    close: Arc<Notify>,
    sockets: Arc<Vec<TcpListener>>,
}

/// Listens to signals from now on, on a thread of its own: Pingora's blocks while it drains, and the
/// second signal has to be heard then. The `sockets` are what another process is handed.
///
/// # Errors
/// The system gives no thread, or no signals.
pub fn listen(shared: Arc<Shared>, sockets: Vec<TcpListener>) -> std::io::Result<Door> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let close = Arc::new(Notify::new());
    let ears = {
        let _within = runtime.enter();
        Ears {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            shared,
            close: close.clone(),
            sockets: Arc::new(sockets),
        }
    };
    thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(ears.hear()))?;
    Ok(Door(close))
}

impl Ears {
    /// Hears signals until the process ends.
    async fn hear(mut self) {
        let end = self.serve().await;
        let shared = self.shared.clone();
        let orderly = leave(end, self.shared, self.close, self.sockets);
        tokio::select! {
            () = orderly => {}
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        exit(&shared)
    }

    /// Serves until it is to end.
    async fn serve(&mut self) -> End {
        let mut handing: Option<JoinHandle<Result<(), HandoverError>>> = None;
        loop {
            let handed = async {
                match &mut handing {
                    Some(handing) => handing.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.terminate.recv() => return End::Told,
                _ = self.interrupt.recv() => exit(&self.shared),
                // What comes of it is told in the log.
                _ = self.hang_up.recv() => drop(self.shared.reloads.request(Cause::Signal)),
                handed = handed => match handed {
                    Ok(Ok(())) => return End::Relieved,
                    Ok(Err(error)) => {
                        log::warn!("this process goes on: {error}");
                        handing = None;
                    }
                    Err(error) => {
                        log::error!("this process goes on: {error}");
                        handing = None;
                    }
                },
                _ = self.quit.recv() => {
                    let sockets = self.sockets.clone();
                    handing.get_or_insert_with(|| spawn_blocking(move || hand_over(&sockets)));
                }
            }
        }
    }
}

/// Sends clients away, closes the door, and waits for what is under way.
async fn leave(end: End, shared: Arc<Shared>, close: Arc<Notify>, sockets: Arc<Vec<TcpListener>>) {
    let pace = shared.snapshot.load().shutdown;
    let under_way = || shared.in_flight.load(Ordering::Acquire);
    log::info!(
        "{}: {} requests are under way",
        if end == End::Told { "draining" } else { "another process is ready, draining" },
        under_way()
    );
    shared.drain.advance(Stage::Draining);
    // Those who are told by `readyz` need a while until they send nobody any more; when another process takes
    // connections, there is no need for ours.
    if end == End::Told {
        sleep(pace.drain).await;
    }
    drop(sockets);
    close.notify_one();
    sleep(if end == End::Told { LATECOMERS } else { pace.drain }).await;
    shared.drain.advance(Stage::Closing);
    let until = Instant::now() + pace.timeout;
    let mut quiet = None;
    while Instant::now() < until {
        sleep(LOOK).await;
        quiet = if under_way() == 0 { quiet.or_else(|| Some(Instant::now())) } else { None };
        // What has been written may still be on its way through a connection.
        if quiet.is_some_and(|since| shared.crowd.count() == 0 || since.elapsed() >= FAREWELL) {
            return;
        }
    }
}

/// Writes what the access log still holds and ends the process.
pub fn exit(shared: &Shared) -> ! {
    match shared.in_flight.load(Ordering::Acquire) {
        0 => log::info!("ended"),
        left => log::warn!("ended with {left} requests under way"),
    }
    shared.access_log.close();
    std::process::exit(0)
}
