//! Looking up the names of a config, for `aegis check --resolve`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};

use crate::config::names::{Named, Way};
use crate::config::{Config, Problem};
use crate::upstream::discovery::dns::Dns;

/// After so long it is said what is waited for, and again as often as that is less.
const PATIENCE: Duration = Duration::from_secs(1);
/// The system has no bound of its own that is known here.
const SYSTEM_TIMEOUT: Duration = Duration::from_secs(10);
/// So many at once.
const MOST_AT_ONCE: usize = 64;
/// Names in one line.
const MOST_TOLD: usize = 5;

/// Looks all `names` up as the gateway would, and tells on standard error which are nowhere.
///
/// # Errors
/// Nothing can be looked up here.
pub fn resolve(file: &str, config: &Config, names: Vec<Named>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let missing = runtime.block_on(missing(Arc::new(Dns::new(&config.resolve)), names));
    for problem in missing {
        eprintln!("{file}:{problem}");
    }
    // Whom the system still asks is not waited for.
    runtime.shutdown_background();
    Ok(())
}

async fn missing(dns: Arc<Dns>, names: Vec<Named>) -> Vec<Problem> {
    let places = Arc::new(Semaphore::new(MOST_AT_ONCE));
    let mut waiting: Vec<String> = names.iter().map(Named::shown).collect();
    let mut lookups = JoinSet::new();
    for named in names {
        let (dns, places) = (dns.clone(), places.clone());
        lookups.spawn(async move {
            // Never closed.
            let _place = places.acquire_owned().await;
            let found = look_up(&dns, &named).await;
            (named, found)
        });
    }
    let mut problems = Vec::new();
    let mut ticks = interval_at(Instant::now() + PATIENCE, PATIENCE);
    let mut told = usize::MAX;
    loop {
        tokio::select! {
            next = lookups.join_next() => match next {
                Some(Ok((named, found))) => {
                    if let Some(place) = waiting.iter().position(|name| *name == named.shown()) {
                        waiting.remove(place);
                    }
                    problems.extend(found.err().map(|why| nowhere(&named, &why)));
                }
                Some(Err(_)) => {}
                None => break,
            },
            _ = ticks.tick(), if !waiting.is_empty() && waiting.len() < told => {
                eprintln!("{}", waits_for(&waiting));
                told = waiting.len();
            }
        }
    }
    problems.sort_by_key(|problem| problem.at);
    problems
}

async fn look_up(dns: &Dns, named: &Named) -> Result<(), String> {
    let name = named.name.as_str();
    match named.way {
        Way::Addresses => dns.addresses(name).await.map(drop),
        Way::Services => dns.services(name).await.map(drop),
        Way::System => {
            let wrong = |why: String| format!("cannot resolve \"{name}\": {why}");
            let lookup = tokio::time::timeout(SYSTEM_TIMEOUT, tokio::net::lookup_host((name, 0))).await;
            let mut found =
                lookup.map_err(|_| wrong("no answer".to_owned()))?.map_err(|error| wrong(error.to_string()))?;
            found.next().map(drop).ok_or_else(|| wrong("it has no address".to_owned()))
        }
    }
}

fn nowhere(named: &Named, why: &str) -> Problem {
    // The reason has the name in it.
    let why = if named.is_hidden { "its host cannot be resolved" } else { why };
    let right = match named.way {
        Way::Addresses | Way::Services => {
            "correct it, or resolve.nameservers, unless it is known where the gateway will run"
        }
        Way::System => "correct it, unless it is known where the gateway will run",
    };
    Problem::warning(named.at, named.path.clone(), format!("{why}; {right}"))
}

fn waits_for(waiting: &[String]) -> String {
    let told = waiting.iter().take(MOST_TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    match waiting.len().saturating_sub(MOST_TOLD) {
        0 => format!("waiting for {told}"),
        more => format!("waiting for {told} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_many_are_named() {
        let names = |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>();
        assert_eq!(waits_for(&names(2)), "waiting for n0, n1");
        assert_eq!(waits_for(&names(7)), "waiting for n0, n1, n2, n3, n4 and 2 more");
    }
}
