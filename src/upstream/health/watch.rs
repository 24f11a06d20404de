//! The loop in which a target is asked: one for each target, however many routes name it.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pingora::{Error, ErrorType};
use pingora_load_balancing::Backend;
use tokio::time::timeout;

use super::Checks;
use crate::rng::Rng;
use crate::upstream::target::Target;

/// So many addresses of a target are asked side by side.
const MOST_AT_ONCE: usize = 32;

/// Asks a target for as long as it is in use and to be asked in this way, unless somebody does so already.
pub fn begin(target: &Arc<Target>) {
    if let Some(checks) = target.checks().filter(|checks| checks.begins()) {
        tokio::spawn(watch(Arc::downgrade(target), Arc::downgrade(&checks), Rng::random()));
    }
}

async fn watch(target: Weak<Target>, checks: Weak<Checks>, mut rng: Rng) {
    loop {
        let (pause, over) = {
            let Some((target, checks)) = target.upgrade().zip(checks.upgrade()) else { return };
            if target.checks().is_none_or(|current| !Arc::ptr_eq(&current, &checks)) {
                return;
            }
            look(&target, &checks).await;
            (jittered(&checks, rng.unit()), checks.over.clone())
        };
        // Who is gone after an hour need not be remembered for that long: whichever comes first.
        let _ = timeout(pause, over.notified()).await;
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
    let addresses = target.addresses.turns()?;
    // Each has at least half of the time for itself.
    let pause = checks.plan.timeout / 2 / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let answers = addresses.map(|mut address| async move {
        address.set_port(checks.plan.port.unwrap_or(address.port()));
        let backend = Backend::new(&address.to_string()).map_err(|error| reason(&error))?;
        checks.ask.check(&backend).await.map_err(|error| reason(&error))
    });
    first_good(answers, pause).await
}

/// The first good one of these `answers`, or why the last was bad. Each is asked for when the one before was bad or has
/// taken so long as `pause`: mostly one is enough, and none can keep the others from being asked.
async fn first_good<A>(mut answers: impl Iterator<Item = A>, pause: Duration) -> Result<(), String>
where
    A: Future<Output = Result<(), String>>,
{
    let (mut awaited, mut why) = (FuturesUnordered::new(), "it has no address".to_owned());
    loop {
        if awaited.len() < MOST_AT_ONCE {
            awaited.extend(answers.next());
        }
        match timeout(pause, awaited.next()).await {
            Ok(Some(Ok(()))) => return Ok(()),
            Ok(Some(Err(bad))) => why = bad,
            Ok(None) => return Err(why),
            Err(_) => {}
        }
    }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What comes of answers that take so long and are good or bad, how many were asked for, and after how long.
    async fn asked(answers: &[(u32, bool)]) -> (Result<(), String>, usize, u128) {
        let (begun, start) = (Cell::new(0), Instant::now());
        let answer = |(after, good): &(u32, bool)| {
            begun.set(begun.get() + 1);
            let (after, result) = (*after * MS, good.then_some(()).ok_or_else(|| format!("{after}")));
            async move {
                tokio::time::sleep(after).await;
                result
            }
        };
        let result = first_good(answers.iter().map(answer), 10 * MS).await;
        (result, begun.get(), start.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn another_address_is_asked_when_one_is_bad_or_takes_long_and_the_first_good_one_decides() {
        assert_eq!(asked(&[]).await, (Err("it has no address".to_owned()), 0, 0));
        assert_eq!(asked(&[(5, true), (0, true)]).await, (Ok(()), 1, 5), "one is enough");
        assert_eq!(asked(&[(5, false), (3, true), (0, true)]).await, (Ok(()), 2, 8));
        assert_eq!(asked(&[(9_000, true), (8_000, true), (3, true)]).await, (Ok(()), 3, 23), "two hang");
        assert_eq!(asked(&[(15, true), (9_000, true)]).await, (Ok(()), 2, 15), "it was only slow");
        assert_eq!(asked(&[(40, false), (3, false)]).await, (Err("40".to_owned()), 2, 40), "the last one tells why");
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_addresses_at_once_and_no_more() {
        let mut hang = vec![(1_000, false); MOST_AT_ONCE];
        hang.push((0, true));
        let (result, begun, took) = asked(&hang).await;
        assert!(result.is_ok() && begun == MOST_AT_ONCE + 1 && took >= 1_000, "{result:?} {begun} {took}");
    }
}
