//! What knows targets, and what it has said last.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::answer::{self, Named};
use super::{First, Lookout, tick};
use crate::config::units::{SourceKind, SourceUrl};
use crate::stamp::Stamp;
use crate::upstream::registry::{Blueprint, Registry};
use crate::upstream::roster::Roster;
use crate::upstream::target::Target;

/// So long targets that are new are waited for, so that most are taken into use together.
const SOON: Duration = Duration::from_millis(500);

/// One source, however many routes name it.
pub struct Source {
    /// As the config spells it.
    pub url: SourceUrl,
    /// What its targets are made by.
    blueprint: Mutex<Blueprint>,
    registry: Arc<Registry>,
    /// The targets that it named last, in an order that does not depend on that of the answer.
    named: Mutex<Vec<Found>>,
    /// Those that are in use.
    found: ArcSwap<Vec<Found>>,
    status: Mutex<Status>,
    /// Rung when a target of it cannot be connected to. One waits for it.
    pub doubted: Arc<Notify>,
    rosters: Mutex<Vec<Weak<Roster>>>,
    is_watched: AtomicBool,
}

/// One target of a source.
#[derive(Clone, Debug)]
pub struct Found {
    /// The target.
    pub target: Arc<Target>,
    /// How much it gets, beside the others of its tier.
    pub weight: u32,
    /// Targets of a higher tier get something only when none of a lower one takes it.
    pub tier: u16,
}

/// What is known of the last look-ups.
#[derive(Clone, Debug)]
pub struct Status {
    /// Why the last look-up failed, if it did.
    pub error: Option<String>,
    /// Since when it is so, one way or the other.
    pub since: SystemTime,
    /// When the targets changed the last time.
    pub changed: Option<SystemTime>,
    /// Of the file, as it was read last.
    pub(super) stamp: Option<Stamp>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Source {
    /// A source that has not been asked yet; its targets are made by `blueprint` and known to `registry`.
    pub fn new(url: SourceUrl, blueprint: Blueprint, registry: Arc<Registry>) -> Self {
        Source {
            url,
            blueprint: Mutex::new(blueprint),
            registry,
            named: Mutex::default(),
            found: ArcSwap::default(),
            status: Mutex::new(Status { error: None, since: SystemTime::now(), changed: None, stamp: None }),
            doubted: Arc::default(),
            rosters: Mutex::new(Vec::new()),
            is_watched: AtomicBool::new(false),
        }
    }

    /// Has a roster be told of changes.
    pub fn tell(&self, roster: &Arc<Roster>) {
        let mut rosters = self.rosters.lock();
        // Now and then, since many may come one after the other.
        if rosters.len() == rosters.capacity() {
            rosters.retain(|roster| roster.strong_count() > 0);
        }
        rosters.push(Arc::downgrade(roster));
    }

    /// Its targets are made by this one from now on, those that are there included.
    pub fn redefine(&self, blueprint: Blueprint, now: Instant) {
        // Whoever names targets meanwhile does so before or after.
        let mut current = self.blueprint.lock();
        for found in self.named.lock().iter().chain(self.found().iter()) {
            self.registry.target(&found.target.url, &blueprint, now);
        }
        *current = blueprint;
    }

    /// Whether one looks after it already. Says no once.
    pub(super) fn is_watched(&self) -> bool {
        self.is_watched.swap(true, Ordering::Relaxed)
    }

    /// The targets that are in use.
    pub fn found(&self) -> Arc<Vec<Found>> {
        self.found.load_full()
    }

    /// What it finds before anybody is told of it.
    #[cfg(test)]
    pub fn finds(&self, urls: &[&str]) {
        let named = |url: &&str| Named { tier: 0, url: url.parse().expect("a URL"), weight: 1 };
        self.name(urls.iter().map(named).collect());
        self.found.store(Arc::new(self.named.lock().clone()));
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// A look-up failed: what is known stays, and it is said once.
    fn failed(&self, why: String) {
        let mut status = self.status.lock();
        if status.error.as_ref() != Some(&why) {
            let stays = if self.found.load().is_empty() { "it has no target" } else { "its targets stay as they are" };
            log::warn!("{}: {why}; {stays}", self.url.as_str());
            if status.error.is_none() {
                status.since = SystemTime::now();
            }
            status.error = Some(why);
        }
    }

    /// The file was read as it was then.
    pub(super) fn read(&self, stamp: Option<Stamp>) {
        self.status.lock().stamp = stamp;
    }

    /// These are its targets from now on, each to be taken into use when it has an address. All of them.
    fn name(&self, mut named: Vec<Named>) -> Vec<Arc<Target>> {
        named.sort_by(|a, b| (a.tier, a.url.as_str(), a.weight).cmp(&(b.tier, b.url.as_str(), b.weight)));
        named.dedup_by(|a, b| (a.tier, &a.url) == (b.tier, &b.url));
        let blueprint = self.blueprint.lock();
        let target = |Named { tier, url, weight }| {
            let (target, is_new) = self.registry.target(&url, &blueprint, Instant::now());
            if !is_new && self.registry.contradicts(&url, &blueprint) {
                let hint = "that stays; write the same in both, or off";
                log::warn!("{}: {url} is known with another breaker or healthCheck: {hint}", self.url.as_str());
            }
            Found { target, weight, tier }
        };
        let named: Vec<Found> = named.into_iter().map(target).collect();
        let targets = named.iter().map(|named| named.target.clone()).collect();
        *self.named.lock() = named;
        targets
    }

    /// Those that are named and not in use, since it is not known where they are.
    pub fn waiting(&self) -> Vec<Arc<Target>> {
        let used: HashSet<u32> = self.found().iter().map(|found| found.target.id).collect();
        let named = self.named.lock();
        named.iter().filter(|named| !used.contains(&named.target.id)).map(|named| named.target.clone()).collect()
    }

    /// The source works.
    fn answered(&self) {
        let mut status = self.status.lock();
        if status.error.take().is_some() {
            status.since = SystemTime::now();
            log::info!("{}: found again", self.url.as_str());
        }
    }

    /// Takes those that are named and have an address into use, and leaves those that are not named. While none has
    /// one, those that are in use stay.
    fn take(&self) {
        let named = self.named.lock().clone();
        let found: Vec<Found> = named.into_iter().filter(|named| named.target.addresses.is_known()).collect();
        let same = |a: &Found, b: &Found| a.target.id == b.target.id && (a.weight, a.tier) == (b.weight, b.tier);
        let before = self.found();
        let is_same = before.len() == found.len() && before.iter().zip(&found).all(|(a, b)| same(a, b));
        if is_same || found.is_empty() {
            return;
        }
        self.status.lock().changed = Some(SystemTime::now());
        let urls: Vec<&str> = found.iter().map(|found| found.target.url.as_str()).collect();
        log::info!("{}: its targets are {}", self.url.as_str(), urls.join(", "));
        self.found.store(Arc::new(found));
        let mut rosters = self.rosters.lock();
        rosters.retain(|roster| roster.strong_count() > 0);
        rosters.iter().filter_map(Weak::upgrade).for_each(|roster| roster.assemble());
    }
}

/// As with targets.
impl Drop for Source {
    fn drop(&mut self) {
        self.doubted.notify_one();
    }
}

/// Asks for as long as the source is in use. The `first` time is over when there is something to be used, or nothing
/// to be waited for.
pub async fn watch(lookout: Arc<Lookout>, source: Weak<Source>, first: First) {
    let mut first = Some(first);
    loop {
        let (lasts, is_file, doubted) = {
            let Some(source) = source.upgrade() else { return };
            let lasts = look(&lookout, &source).await;
            first.take_if(|_| !source.found().is_empty() || source.waiting().is_empty());
            (lasts, matches!(source.url.kind, SourceKind::File { .. }), source.doubted.clone())
        };
        let mut pause = pin!(async {
            match is_file {
                true => tick().await,
                false => lookout.ways().timing.pause(lasts, &doubted).await,
            }
        });
        loop {
            tokio::select! {
                () = &mut pause => break,
                () = take_late(&source) => drop(first.take()),
            }
        }
    }
}

/// Asks once, and says how long what was found is good.
async fn look(lookout: &Arc<Lookout>, source: &Source) -> Option<Duration> {
    let (named, lasts) = match answer::ask(lookout, source).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return None,
        Err(why) => {
            source.failed(why);
            return None;
        }
    };
    let named = source.name(named);
    source.answered();
    // Most names are found at once, and all of those are taken together. Nobody waits for the others. Those that are known may
    // have another check.
    let _ = timeout(SOON, lookout.begin(&named, &[]).over()).await;
    source.take();
    source.registry.sweep(Instant::now());
    lasts
}

/// Takes into use who is found later, as soon as somebody is.
async fn take_late(source: &Weak<Source>) {
    let waiting = source.upgrade().map(|source| source.waiting()).unwrap_or_default();
    let mut found: FuturesUnordered<_> = waiting.iter().map(|target| target.addresses.found_some()).collect();
    match found.next().await.and_then(|()| source.upgrade()) {
        Some(source) => source.take(),
        // Nobody is waited for.
        None => std::future::pending().await,
    }
}
