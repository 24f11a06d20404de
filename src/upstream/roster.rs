//! Who is in a pool: the targets that the config names, and those that sources know at the moment.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::attempt::Attempt;
use super::concurrency::{Bounds, Concurrency};
use super::criteria::Criteria;
use super::discovery::source::Source;
use super::pool::{Algorithm, OnAllOpen, Pool, Told, Unavailable, Wish};
use super::target::{Member, Share, Target};
use crate::histogram::Histogram;

/// How a target becomes a member.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Whether its breaker is asked and told.
    pub guarded: bool,
    /// What counts as a failure.
    pub criteria: Arc<Criteria>,
    /// Whether its checks matter.
    pub checked: bool,
    /// How much it gets, beside others.
    pub weight: NonZeroU32,
    /// How many requests it may have under way.
    pub concurrency: Option<Limit>,
    /// How long it is given to warm up.
    pub slow_start: Option<Duration>,
    /// How many requests it may leave unanswered while others answer.
    pub leeway: u32,
}

/// How many requests a target may have under way.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// So many.
    Fixed(u32),
    /// As many as it answers in good time.
    Adaptive(Bounds),
}

/// One line of the config.
#[derive(Debug)]
pub enum Entry {
    /// A target.
    Target(Arc<Target>),
    /// What knows targets.
    Source(Arc<Source>),
}

/// The targets of a route.
#[derive(Debug)]
pub struct Roster {
    /// In the order of the config.
    pub entries: Vec<(Entry, Terms)>,
    algorithm: Algorithm,
    on_all_open: OnAllOpen,
    pool: ArcSwap<Pool>,
    /// Whose turn it is: that goes on when targets come and go, and is shared with who takes its place, since requests come
    /// until it does.
    turn: Arc<AtomicUsize>,
    /// Requests that are under way, where somebody counts on that.
    all: Arc<AtomicU32>,
    assembling: Mutex<()>,
}

impl Roster {
    /// The targets of these entries, which are chosen in this way. It goes on where the one `before` it is.
    pub fn new(
        entries: Vec<(Entry, Terms)>,
        algorithm: Algorithm,
        on_all_open: OnAllOpen,
        before: Option<&Roster>,
    ) -> Arc<Self> {
        let roster = Arc::new(Roster {
            entries,
            algorithm,
            on_all_open,
            pool: ArcSwap::from_pointee(Pool::new(Vec::new(), algorithm)),
            turn: before.map(|before| before.turn.clone()).unwrap_or_default(),
            all: Arc::default(),
            assembling: Mutex::new(()),
        });
        for (entry, _) in &roster.entries {
            if let Entry::Source(source) = entry {
                source.tell(&roster);
            }
        }
        roster.assemble();
        roster
    }

    /// The members of this moment.
    pub fn pool(&self) -> Arc<Pool> {
        self.pool.load_full()
    }

    /// An attempt at the target whose turn it is: see [`Pool::pick`].
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick(&self, wish: Wish<'_>, told: Told<'_>) -> Result<Attempt, Unavailable> {
        self.pool.load().pick(&self.turn, wish, told)
    }

    /// Who would be found: see [`Pool::preview`].
    ///
    /// # Errors
    /// Why there would be nobody.
    pub fn preview(&self, wish: Wish<'_>, told: Told<'_>) -> Result<Arc<Member>, Unavailable> {
        self.pool.load().preview(&self.turn, wish, told)
    }

    /// An attempt at any target, where nobody takes the request and the config says so.
    pub fn pick_anyway(&self, tried: &[u32], now: Instant) -> Option<Attempt> {
        (self.on_all_open == OnAllOpen::TryAnyway).then(|| self.pool.load().pick_anyway(tried, now)).flatten()
    }

    /// One of those that [`Roster::pick_anyway`] would choose among.
    pub fn preview_anyway(&self) -> Option<Arc<Member>> {
        let pool = (self.on_all_open == OnAllOpen::TryAnyway).then(|| self.pool.load());
        pool?.members().find(|member| Attempt::anyway_outlook(member)).cloned()
    }

    /// Whether there is a target that was not tried and takes requests, as far as that can be told without asking.
    pub fn has_another(&self, tried: &[u32], now: Instant) -> bool {
        self.pool
            .load()
            .members()
            .any(|member| !tried.contains(&member.target.id) && Attempt::outlook(member, now).is_ok())
    }

    /// Puts together who is there now. Members that stay are the same ones as before, with all that is counted.
    pub fn assemble(&self) {
        let _one_at_a_time = self.assembling.lock();
        let before = self.pool.load_full();
        let known: HashMap<u32, &Arc<Member>> = before.members().map(|member| (member.target.id, member)).collect();
        let (mut members, mut seen) = (Vec::new(), HashSet::new());
        let mut add = |target: &Arc<Target>, weight: u32, tier: u16, terms: &Terms, source: Option<&Source>| {
            // Several entries may lead to the same target: the first one counts.
            if seen.insert(target.id) {
                let bell = source.map(|source| &source.doubted);
                let same = |member: &&&Arc<Member>| {
                    let found_by = member.found_by.as_ref().map(Arc::as_ptr);
                    (member.weight, found_by) == (weight, bell.map(Arc::as_ptr))
                };
                let new = || Arc::new(self.member(target.clone(), weight, terms, bell.cloned()));
                let member = known.get(&target.id).filter(same).map(|member| (*member).clone());
                members.push((tier, member.unwrap_or_else(new)));
            }
        };
        for (entry, terms) in &self.entries {
            match entry {
                Entry::Target(target) => add(target, terms.weight.get(), 0, terms, None),
                Entry::Source(source) => {
                    for found in source.found().iter() {
                        let weight = found.weight.saturating_mul(terms.weight.get());
                        add(&found.target, weight, found.tier, terms, Some(source));
                    }
                }
            }
        }
        self.pool.store(Arc::new(Pool::new(members, self.algorithm)));
    }

    fn member(&self, target: Arc<Target>, weight: u32, terms: &Terms, found_by: Option<Arc<Notify>>) -> Member {
        let hashed = matches!(self.algorithm, Algorithm::ConsistentHash { .. });
        Member {
            guarded: terms.guarded,
            criteria: terms.criteria.clone(),
            checked: terms.checked,
            weight,
            concurrency: terms.concurrency.map(|limit| match limit {
                Limit::Fixed(limit) => Arc::new(Concurrency::Fixed(limit)),
                Limit::Adaptive(bounds) => target.adaptive(bounds),
            }),
            slow_start: terms.slow_start,
            leeway: terms.leeway,
            share: hashed.then(|| Share { mine: AtomicU32::new(0), all: self.all.clone() }),
            took: Histogram::default(),
            found_by,
            target,
        }
    }
}
