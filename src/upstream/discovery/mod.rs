//! Where targets are: their names looked up (`names`), and those that the config does not name asked from whoever
//! knows them ([`source`], by [`dns`] or from a `file`).
//!
//! What cannot be found stops nobody: a target that the config names fails until it is found, and one that a source
//! names is not used until then. When a later look-up fails, what was known so far stays in use.

mod answer;
pub mod dns;
mod file;
mod names;
pub mod source;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use self::dns::Dns;
use self::source::Source;
use super::health;
use super::target::Target;
use crate::config::Resolve;

/// After a look-up that failed; no longer than names may be known, and no sooner than they are asked again.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// So many names are looked up side by side: each takes sockets, and maybe a thread.
const MOST_AT_ONCE: usize = 64;

/// What looks out for all targets of a process.
pub struct Lookout {
    ways: ArcSwap<Ways>,
    /// For names of targets. Sources do not wait for those.
    places: Semaphore,
}

/// How things are looked up.
struct Ways {
    dns: Dns,
    timing: Timing,
}

/// How often something is looked up.
#[derive(Clone, Copy, Debug)]
struct Timing {
    min: Duration,
    max: Duration,
}

impl Timing {
    /// How long an answer is good that says of itself that it `lasts` so long.
    fn after(&self, lasts: Option<Duration>) -> Duration {
        let lasts = lasts.unwrap_or(AFTER_FAILURE);
        lasts.clamp(self.min, self.max)
    }

    /// Waits until the next look-up is due, or somebody doubts what was found; but not less than there has to be
    /// between two of them.
    async fn pause(&self, lasts: Option<Duration>, doubted: &Notify) {
        let (begun, pause) = (Instant::now(), self.after(lasts));
        if tokio::time::timeout(pause, doubted.notified()).await.is_ok() {
            sleep_until(begun + self.min).await;
        }
    }
}

impl Ways {
    fn new(resolve: &Resolve) -> Self {
        Ways { dns: Dns::new(resolve), timing: Timing { min: resolve.min, max: resolve.max } }
    }
}

impl Lookout {
    /// One that looks names up as the config says.
    pub fn new(resolve: &Resolve) -> Self {
        Lookout { ways: ArcSwap::from_pointee(Ways::new(resolve)), places: Semaphore::new(MOST_AT_ONCE) }
    }

    /// Looks names up as this config says from now on.
    pub fn look_as(&self, resolve: &Resolve) {
        self.ways.store(Arc::new(Ways::new(resolve)));
    }

    fn ways(&self) -> Arc<Ways> {
        self.ways.load_full()
    }

    /// Has each looked up from now on, for as long as it is in use and by one task of its own, so that no older answer
    /// comes after a newer one; and has targets checked. Those that are already need nothing more.
    pub fn begin(self: &Arc<Self>, targets: &[Arc<Target>], sources: &[Arc<Source>]) -> FirstLooks {
        let (first, all) = mpsc::channel(1);
        for target in targets {
            if target.is_watched() {
                health::watch::begin(target);
            } else if names::is_name(target) {
                tokio::spawn(names::watch(self.clone(), Arc::downgrade(target), first.clone()));
            } else {
                names::here(target);
                health::watch::begin(target);
            }
        }
        for source in sources.iter().filter(|source| !source.is_watched()) {
            tokio::spawn(source::watch(self.clone(), Arc::downgrade(source), first.clone()));
        }
        FirstLooks(all)
    }
}

/// Held by whoever has not looked yet. Nothing is sent.
type First = mpsc::Sender<Infallible>;

/// The first look-up of each.
pub struct FirstLooks(mpsc::Receiver<Infallible>);

impl FirstLooks {
    /// Comes back when each is over, whatever was found.
    pub async fn over(mut self) {
        while self.0.recv().await.is_some() {}
    }
}

/// Waits for what is looked at every second.
async fn tick() {
    sleep(Duration::from_secs(1)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_kept_within_bounds() {
        let timing = Timing { min: Duration::from_secs(1), max: Duration::from_secs(30) };
        let seconds = |lasts: Option<u64>| timing.after(lasts.map(Duration::from_secs)).as_secs();
        assert_eq!([Some(0), Some(7), Some(600), None].map(seconds), [1, 7, 30, 5]);
        let often = Timing { min: Duration::from_millis(100), max: Duration::from_millis(100) };
        assert_eq!(often.after(None), Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn who_doubts_is_heard_but_not_all_the_time() {
        let timing = Timing { min: Duration::from_secs(1), max: Duration::from_secs(30) };
        let (doubted, start) = (Notify::new(), Instant::now());
        timing.pause(Some(Duration::from_secs(20)), &doubted).await;
        assert_eq!(start.elapsed().as_secs(), 20);
        doubted.notify_one();
        timing.pause(Some(Duration::from_secs(20)), &doubted).await;
        assert_eq!(start.elapsed().as_secs(), 21);
    }
}
