//! What knows targets, and what it has said last.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::dns::Service;
use super::file::{self, Stamp};
use super::{Lookout, names, tick};
use crate::config::units::{SourceKind, SourceUrl, TargetUrl};
use crate::upstream::balance::reduced;
use crate::upstream::registry::{Blueprint, Registry};
use crate::upstream::roster::Roster;
use crate::upstream::target::Target;

/// One source, however many routes name it.
pub struct Source {
    /// As the config spells it.
    pub url: SourceUrl,
    blueprint: Blueprint,
    registry: Arc<Registry>,
    /// The targets that are known, in an order that does not depend on that of the answer.
    found: ArcSwap<Vec<Found>>,
    status: Mutex<Status>,
    /// Rung when a target cannot be connected to.
    doubted: Arc<Notify>,
    rosters: Mutex<Vec<Weak<Roster>>>,
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
    stamp: Option<Stamp>,
}

/// A target as a source names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    tier: u16,
    url: String,
    weight: u32,
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
            blueprint,
            registry,
            found: ArcSwap::default(),
            status: Mutex::new(Status { error: None, since: SystemTime::now(), changed: None, stamp: None }),
            doubted: Arc::default(),
            rosters: Mutex::new(Vec::new()),
        }
    }

    /// Has a roster be told of changes.
    pub fn tell(&self, roster: &Arc<Roster>) {
        self.rosters.lock().push(Arc::downgrade(roster));
    }

    /// The targets that are known.
    pub fn found(&self) -> Arc<Vec<Found>> {
        self.found.load_full()
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

    /// These are its targets now. Those that are new, and whether anything has changed.
    fn named(&self, mut named: Vec<(Named, TargetUrl)>) -> (Vec<Found>, Vec<Arc<Target>>) {
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        named.dedup_by(|(a, _), (b, _)| (a.tier, &a.url) == (b.tier, &b.url));
        let mut new = Vec::new();
        let found = named.into_iter().map(|(Named { tier, weight, .. }, url)| {
            let (target, is_new) = self.registry.target(&url, &self.blueprint, &self.doubted, Instant::now());
            if is_new {
                new.push(target.clone());
            }
            Found { target, weight, tier }
        });
        (found.collect(), new)
    }

    /// Takes new targets into use, and leaves those that are gone.
    fn take(&self, found: Vec<Found>) {
        let same = |a: &Found, b: &Found| a.target.id == b.target.id && (a.weight, a.tier) == (b.weight, b.tier);
        let before = self.found.load_full();
        let is_same = before.len() == found.len() && before.iter().zip(&found).all(|(a, b)| same(a, b));
        {
            let mut status = self.status.lock();
            if status.error.take().is_some() {
                status.since = SystemTime::now();
                log::info!("{}: found again", self.url.as_str());
            }
            if is_same {
                return;
            }
            status.changed = Some(SystemTime::now());
        }
        let urls: Vec<&str> = found.iter().map(|found| found.target.url.as_str()).collect();
        log::info!("{}: its targets are {}", self.url.as_str(), urls.join(", "));
        self.found.store(Arc::new(found));
        let mut rosters = self.rosters.lock();
        rosters.retain(|roster| roster.strong_count() > 0);
        rosters.iter().filter_map(Weak::upgrade).for_each(|roster| roster.assemble());
    }
}

/// Asks once, and says how long what was found is good.
pub async fn look(lookout: &Arc<Lookout>, source: &Source) -> Option<Duration> {
    let (named, lasts) = match ask(lookout, source).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return None,
        Err(why) => {
            source.failed(why);
            return None;
        }
    };
    let (found, new) = source.named(named);
    for target in &new {
        // So that it does not begin with a failure for want of an address.
        names::look(lookout, target).await;
        lookout.begin(target);
    }
    source.take(found);
    lasts
}

type Asked = (Vec<(Named, TargetUrl)>, Option<Duration>);

/// `None`: nothing has changed.
async fn ask(lookout: &Lookout, source: &Source) -> Result<Option<Asked>, String> {
    let named = |url: String, weight: u32, tier: u16| {
        let target: TargetUrl = url.parse().ok()?;
        Some((Named { tier, url: target.as_str().to_owned(), weight }, target))
    };
    match &source.url.kind {
        SourceKind::Dns { host, port } => {
            let answer = lookout.dns.addresses(host).await?;
            let targets = answer
                .found
                .iter()
                .filter_map(|ip| named(format!("http://{}", std::net::SocketAddr::new(*ip, *port)), 1, 0));
            Ok(Some((targets.collect(), Some(answer.lasts))))
        }
        SourceKind::Srv { name } => {
            let answer = lookout.dns.services(name).await?;
            // 0 is little, and not nothing (RFC 2782).
            let weights: Vec<u32> =
                answer.found.iter().map(|service| (u32::from(service.weight) * 10).max(1)).collect();
            let services = answer.found.iter().zip(reduced(&weights, u64::MAX));
            let targets = services.filter_map(|(Service { host, port, priority, .. }, weight)| {
                named(format!("http://{host}:{port}"), weight, *priority)
            });
            Ok(Some((targets.collect(), Some(answer.lasts))))
        }
        SourceKind::File { path } => {
            let known = source.status.lock().stamp;
            let (stamp, read) = file::read(path.clone(), known).await;
            source.status.lock().stamp = stamp;
            let Some(read) = read else { return Ok(None) };
            let targets =
                read?.into_iter().map(|(url, weight)| (Named { tier: 0, url: url.as_str().to_owned(), weight }, url));
            Ok(Some((targets.collect(), None)))
        }
    }
}

/// Asks for as long as the source is in use.
pub async fn watch(lookout: Arc<Lookout>, source: Weak<Source>) {
    let Some((is_file, doubted)) =
        source.upgrade().map(|source| (matches!(source.url.kind, SourceKind::File { .. }), source.doubted.clone()))
    else {
        return;
    };
    let mut lasts = Some(Duration::ZERO);
    loop {
        match is_file {
            true => tick().await,
            false => lookout.timing.pause(lasts, &doubted).await,
        }
        let Some(source) = source.upgrade() else { return };
        lasts = look(&lookout, &source).await;
    }
}
