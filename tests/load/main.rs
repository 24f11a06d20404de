//! What clients notice while Redis or targets have troubles: 500 requests a second, each timed. One test at a time, on a
//! machine that does nothing else meanwhile.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what other tests are helped by")]
mod support;

mod changes;
mod fleet;
mod mixed;
mod pace;
mod probes;
mod redis;
mod replicas;
mod targets;

use std::sync::{Mutex, MutexGuard};

const PER_SECOND: u32 = 500;

fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // Whoever failed before has nothing to do with this one.
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
