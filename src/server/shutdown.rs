//! Signals: SIGTERM drains, a second one does not wait; SIGINT ends at once; SIGHUP has the config read again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::{ExecutionPhase, Server, ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::DRAIN_TIMEOUT;
use crate::reload::report::Cause;
use crate::shared::Shared;

/// While draining, connections are taken this much longer: whoever asks `readyz` meanwhile learns to go
/// elsewhere, instead of running into a closed door.
const LAME_DUCK: Duration = Duration::from_millis(500);
/// How often the requests under way are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Tells Pingora when to close the door.
pub struct Door(Arc<Notify>);

#[async_trait]
impl ShutdownSignalWatch for Door {
    async fn recv(&self) -> ShutdownSignal {
        self.0.notified().await;
        ShutdownSignal::GracefulTerminate
    }
}

/// Listens to signals from now on, on a thread of its own: Pingora's blocks while it drains, and the
/// second signal has to be heard then.
///
/// # Errors
/// The system gives no thread, or no signals.
pub fn listen(shared: Arc<Shared>) -> std::io::Result<Door> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let close = Arc::new(Notify::new());
    let door = Door(close.clone());
    let (mut terminate, mut interrupt, mut hang_up) = {
        let _within = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)
    };
    let hear = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => exit(&shared),
                // What comes of it is told in the log.
                _ = hang_up.recv() => drop(shared.reloads.request(Cause::Signal)),
            }
        }
        shared.draining.store(true, Ordering::Release);
        log::info!("draining: {} requests are under way", shared.in_flight.load(Ordering::Acquire));
        let later = async {
            tokio::time::sleep(LAME_DUCK).await;
            close.notify_one();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = later => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        exit(&shared)
    };
    thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(hear))?;
    Ok(door)
}

/// Ends the process as soon as nothing is under way any more. Pingora alone would wait for the whole
/// drain time-out, whether anything is left to be waited for or not.
///
/// # Errors
/// The system gives no thread.
pub fn end_when_drained(server: &Server, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut phases = server.watch_execution_phase();
    let wait = move || {
        while !matches!(phases.blocking_recv(), Ok(ExecutionPhase::GracefulTerminate)) {}
        let end = Instant::now() + DRAIN_TIMEOUT;
        // Twice in a row: a connection that was accepted last may not have shown its request yet.
        let mut calm = 0;
        while calm < 2 && Instant::now() < end {
            thread::sleep(LOOK);
            calm = if shared.in_flight.load(Ordering::Acquire) == 0 { calm + 1 } else { 0 };
        }
        exit(&shared)
    };
    thread::Builder::new().name("drain".into()).spawn(wait)?;
    Ok(())
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
