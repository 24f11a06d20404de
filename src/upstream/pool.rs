//! The targets of a route, and which of them gets the next request.

mod tier;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use self::tier::Tier;
use super::attempt::{Attempt, Refused};
use super::balance;
use super::target::Member;
use crate::breaker;

/// What clients are told to wait while a probe decides, or until somebody is done.
const SOON: Duration = Duration::from_secs(1);

/// How targets are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// In turn.
    RoundRobin,
    /// Of two by chance, the one with fewer requests under way.
    LeastRequest,
    /// Of two by chance, the one that will most likely answer first.
    PeakEwma,
    /// By a hash of the request, unless a target has so many times its fair share under way, in hundredths.
    ConsistentHash {
        /// More than 100.
        load_factor: u32,
    },
    /// By chance.
    Random,
}

/// What happens to a request that no circuit lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAllOpen {
    /// It is refused at once.
    Fail,
    /// It is sent as if all were closed.
    TryAnyway,
}

/// The targets of a route at one moment.
#[derive(Debug)]
pub struct Pool {
    /// The first takes all requests that it can, and so on.
    tiers: SmallVec<[Tier; 1]>,
}

/// What a target is wanted for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'w> {
    /// The hash of the request's key.
    pub hash: u64,
    /// Targets that were tried for it, by id.
    pub tried: &'w [u32],
    /// The time.
    pub now: Instant,
}

/// Who is told of each target that is passed over, and why.
pub type Told<'t> = &'t mut dyn FnMut(&Arc<Member>, Skip);

/// Why a target is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It was tried for the same request.
    Tried,
    /// It takes no request.
    Refused(Refused),
    /// It takes one if nobody else does.
    Reluctant(Reluctance),
}

/// Why others should have a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reluctance {
    /// It has more than its share of those that hashes lead to.
    OverShare,
    /// It has far more under way than others: it has stopped answering, most likely.
    Crowded,
    /// It has come back a moment ago, and is given time.
    WarmingUp,
}

/// Why no target takes a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unavailable {
    /// When to come back, as far as anything is known.
    pub retry_after: Option<Duration>,
    /// One of them would take it, were it not for all that it is doing already.
    pub full: bool,
    /// The circuit of one of them is open, or being probed.
    pub open: bool,
    /// The checks of one of them are bad.
    pub ill: bool,
    /// No target is known at all.
    pub is_empty: bool,
}

impl Unavailable {
    /// The same for the targets of two groups together.
    pub fn and(self, other: Self) -> Self {
        Unavailable {
            retry_after: self.retry_after.into_iter().chain(other.retry_after).min(),
            full: self.full || other.full,
            open: self.open || other.open,
            ill: self.ill || other.ill,
            is_empty: self.is_empty && other.is_empty,
        }
    }

    fn note(&mut self, refused: Refused, now: Instant) {
        let wait = match refused {
            Refused::Ill(interval) => interval,
            Refused::Breaker(breaker::Refused::Open(until)) => until.saturating_duration_since(now),
            // Nobody knows when a probe ends, or when somebody lets go of what he holds.
            Refused::Breaker(breaker::Refused::Probing | breaker::Refused::Held) | Refused::Full => SOON,
        };
        match refused {
            Refused::Full => self.full = true,
            Refused::Ill(_) => self.ill = true,
            Refused::Breaker(breaker::Refused::Held) => {}
            Refused::Breaker(breaker::Refused::Open(_) | breaker::Refused::Probing) => self.open = true,
        }
        self.retry_after = Some(self.retry_after.map_or(wait, |least| least.min(wait)));
    }
}

impl Pool {
    /// Members with their tiers, that are chosen in this way.
    pub fn new(mut members: Vec<(u16, Arc<Member>)>, algorithm: Algorithm) -> Self {
        members.sort_by_key(|(tier, _)| *tier);
        let tiers = members.chunk_by(|(a, _), (b, _)| a == b);
        let tier = |members: &[(u16, Arc<Member>)]| {
            Tier::new(members.iter().map(|(_, member)| member.clone()).collect(), algorithm)
        };
        Pool { tiers: tiers.map(tier).collect() }
    }

    /// Everybody, the lower tiers first.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.tiers.iter().flat_map(|tier| &tier.members)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tiers.iter().map(|tier| tier.members.len()).sum()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.tiers.is_empty()
    }

    /// An attempt at the target whose turn it is, of those that were not tried and admit it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick(&self, turn: &AtomicUsize, wish: Wish<'_>, told: Told<'_>) -> Result<Attempt, Unavailable> {
        self.find(turn, wish, told, &|member| Attempt::admit(member, wish.now))
    }

    /// Who [`Pool::pick`] would find, if nothing happens before. Nothing is taken, and no turn is used up.
    ///
    /// # Errors
    /// Why there would be nobody.
    pub fn preview(&self, turn: &AtomicUsize, wish: Wish<'_>, told: Told<'_>) -> Result<Arc<Member>, Unavailable> {
        let turn = AtomicUsize::new(turn.load(Ordering::Relaxed));
        self.find(&turn, wish, told, &|member| Attempt::outlook(member, wish.now).map(|()| member.clone()))
    }

    fn find<T>(
        &self,
        turn: &AtomicUsize,
        wish: Wish<'_>,
        told: Told<'_>,
        admit: &dyn Fn(&Arc<Member>) -> Result<T, Refused>,
    ) -> Result<T, Unavailable> {
        let mut why = Unavailable { is_empty: self.is_empty(), ..Unavailable::default() };
        let mut pass = |member: &Arc<Member>, skip: Skip| {
            if let Skip::Refused(refused) = skip {
                why.note(refused, wish.now);
            }
            told(member, skip);
        };
        // Were retries to take turns, first attempts would have the others: all of them those of a target that
        // fails, where there are two.
        let turn = Some(turn).filter(|_| wish.tried.is_empty());
        // The same goes for those of a higher tier: who is asked first has used up their turns.
        let in_turn = std::iter::once(turn).chain(std::iter::repeat(None));
        let mut tiers = self.tiers.iter().zip(in_turn);
        let found = tiers.find_map(|(tier, turn)| tier.pick(turn, wish, &mut pass, admit));
        found.ok_or(why)
    }

    /// An attempt at any target that was not `tried`, whatever its circuit and its checks say.
    pub fn pick_anyway(&self, tried: &[u32], now: Instant) -> Option<Attempt> {
        self.tiers.iter().find_map(|tier| tier.pick_anyway(tried, now))
    }
}

impl Algorithm {
    fn order(self) -> balance::Algorithm {
        match self {
            Algorithm::RoundRobin => balance::Algorithm::RoundRobin,
            Algorithm::LeastRequest | Algorithm::PeakEwma => balance::Algorithm::TwoChoices,
            Algorithm::ConsistentHash { .. } => balance::Algorithm::Hash,
            Algorithm::Random => balance::Algorithm::Random,
        }
    }
}

#[cfg(test)]
mod tests;
