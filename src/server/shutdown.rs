//! Signals: SIGTERM drains, a second one does not wait; SIGINT ends at once; SIGHUP has the config read again; SIGQUIT says
//! whether a new process has the sockets, which needs no signal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::handover::Estate;
use crate::drain::Stage;
use crate::observe::diagnostics;
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

/// Signals, which from here on end the process only when it says so.
pub struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    quit: Signal,
}

impl Signals {
    /// To be called before anybody can see that there is a process: one that is asked to read its config again must not end
    /// for it.
    ///
    /// # Errors
    /// The system gives no signals.
    pub fn catch() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _within = runtime.enter();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (hang_up, quit) = (signal(SignalKind::hangup())?, signal(SignalKind::quit())?);
        drop(_within);
        Ok(Signals { runtime, terminate, interrupt, hang_up, quit })
    }
}

/// What hears signals, and ends the process.
struct Ears {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    quit: Signal,
    shared: Arc<Shared>,
    close: Arc<Notify>,
    estate: Arc<Estate>,
}

/// Listens to signals from now on, on a thread of its own: Pingora's blocks while it drains, and the
/// second signal has to be heard then. The `estate` is what another process is handed.
///
/// # Errors
/// The system gives no thread.
pub fn listen(signals: Signals, shared: Arc<Shared>, estate: Arc<Estate>) -> std::io::Result<Door> {
    let close = Arc::new(Notify::new());
    let Signals { runtime, terminate, interrupt, hang_up, quit } = signals;
    let ears = Ears { terminate, interrupt, hang_up, quit, shared, close: close.clone(), estate };
    thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(ears.hear()))?;
    Ok(Door(close))
}

impl Ears {
    /// Hears signals until the process ends.
    async fn hear(mut self) {
        let end = self.serve().await;
        let shared = self.shared.clone();
        let orderly = leave(end, self.shared, self.close, self.estate);
        let told_again = async {
            // Whoever was relieved has not been told yet.
            if end == End::Relieved {
                self.terminate.recv().await;
            }
            self.terminate.recv().await;
        };
        let reopens = async {
            while self.hang_up.recv().await.is_some() {
                shared.access_log.reopen();
            }
            std::future::pending().await
        };
        tokio::select! {
            () = orderly => {}
            () = told_again => {}
            () = reopens => {}
            _ = self.interrupt.recv() => {}
        }
        exit(&shared)
    }

    /// Serves until it is to end.
    async fn serve(&mut self) -> End {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return End::Told,
                _ = self.interrupt.recv() => exit(&self.shared),
                () = self.estate.relieved.notified() => return End::Relieved,
                // What comes of it is told in the log.
                _ = self.hang_up.recv() => drop(self.shared.reloads.request(Cause::Signal)),
                _ = self.quit.recv() => match self.estate.is_claimed() {
                    true => log::info!("a new process has the sockets, and is not ready yet"),
                    false => log::warn!("this process goes on: no process asks for its sockets; start one with `aegis run --upgrade`"),
                },
            }
        }
    }
}

/// Sends clients away, closes the door, and waits for what is under way.
async fn leave(end: End, shared: Arc<Shared>, close: Arc<Notify>, estate: Arc<Estate>) {
    let pace = shared.snapshot.load().shutdown;
    let under_way = || shared.in_flight.load(Ordering::Acquire);
    log::info!(
        "{}: {} requests are under way",
        if end == End::Told { "draining" } else { "another process is ready, draining" },
        under_way()
    );
    if end == End::Relieved {
        shared.drain.hand_on();
    }
    shared.drain.advance(Stage::Draining);
    // Those who are told by `readyz` need a while until they send nobody any more; when another process takes
    // connections, there is no need for ours.
    if end == End::Told {
        sleep(pace.drain).await;
    }
    estate.close();
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
    if let Some(tracer) = &shared.snapshot.load().tracer {
        tracer.close();
    }
    shared.access_log.close();
    diagnostics::close();
    std::process::exit(0)
}
