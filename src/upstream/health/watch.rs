//! The loop in which a target is asked: one for each target, however many routes name it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use pingora::{Error, ErrorType};
use pingora_load_balancing::Backend;
use tokio::time::{sleep, timeout};

use super::Checks;
use crate::rng::Rng;
use crate::upstream::target::Target;

/// Asks a target for as long as it is in use, if it is to be asked.
pub fn begin(target: &Arc<Target>) {
    if target.checks.is_some() {
        tokio::spawn(watch(Arc::downgrade(target), Rng::random()));
    }
}

async fn watch(target: Weak<Target>, mut rng: Rng) {
    loop {
        let pause = {
            let Some(target) = target.upgrade() else { return };
            let Some(checks) = &target.checks else { return };
            look(&target, checks).await;
            jittered(checks, rng.unit())
        };
        sleep(pause).await;
    }
}

/// The pause until the next look; `chance` is from 0 to 1.
fn jittered(checks: &Checks, chance: f64) -> Duration {
    checks.plan.interval.mul_f64(checks.plan.jitter.jitter(chance))
}

/// Asks once.
async fn look(target: &Target, checks: &Checks) {
    let within = checks.plan.timeout;
    let result = timeout(within, ask(target, checks)).await;
    let result = result.unwrap_or_else(|_| Err(format!("no answer within {} ms", within.as_millis())));
    let now = Instant::now();
    let trips = target.view(now).trips;
    if checks.note(result, trips, target.url.as_str(), now) {
        target.circuit.reconsider(now);
    }
}

/// Asks the addresses of a target, of which one has to be well: as with requests, which go on to the next when one
/// cannot be connected to.
async fn ask(target: &Target, checks: &Checks) -> Result<(), String> {
    let mut why = "it has no address".to_owned();
    for mut address in target.addresses.turns()? {
        if let Some(port) = checks.plan.port {
            address.set_port(port);
        }
        let Ok(backend) = Backend::new(&address.to_string()) else { continue };
        match checks.ask.check(&backend).await {
            Ok(()) => return Ok(()),
            Err(error) => why = reason(&error),
        }
    }
    Err(why)
}

/// In a few words: what the answer was, where there was one, and what kind of error else.
fn reason(error: &Error) -> String {
    match (error.etype(), &error.context) {
        (ErrorType::HTTPStatus(_) | ErrorType::Custom(_), Some(what)) => what.as_str().to_owned(),
        (
            ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError,
            _,
        ) => {
            format!("cannot connect: {}", error.etype().as_str())
        }
        (kind, _) => kind.as_str().to_owned(),
    }
}
