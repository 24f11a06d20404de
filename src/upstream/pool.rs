//! The targets of a route, and which of them gets the next request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::attempt::{Attempt, Refused};
use super::balance::{self, Answer, Balance, Circumstances};
use super::hash;
use super::target::Member;
use crate::breaker;
use crate::rng;

/// What clients are told to wait while a probe decides, or until somebody is done.
const SOON: Duration = Duration::from_secs(1);
/// A target that warms up gets at least this share of what it would get.
const LUKEWARM: f64 = 0.1;

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
    tiers: Vec<Tier>,
}

/// Targets that share requests.
#[derive(Debug)]
struct Tier {
    algorithm: Algorithm,
    members: Vec<Arc<Member>>,
    balance: Balance,
    /// The sum of all weights.
    weights: u64,
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

    /// An attempt at the target whose turn it is, of those that were not `tried` and admit it. `hash` is that of
    /// the request's key.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick(&self, turn: &AtomicUsize, hash: u64, tried: &[u32], now: Instant) -> Result<Attempt, Unavailable> {
        let mut why = Unavailable { is_empty: self.is_empty(), ..Unavailable::default() };
        // Were retries to take turns, first attempts would have the others: all of them those of a target that
        // fails, where there are two.
        let turn = Some(turn).filter(|_| tried.is_empty());
        // The same goes for those of a higher tier: who is asked first has used up their turns.
        let in_turn = std::iter::once(turn).chain(std::iter::repeat(None));
        let mut tiers = self.tiers.iter().zip(in_turn);
        let found = tiers.find_map(|(tier, turn)| tier.pick(turn, hash, tried, now, &mut why));
        found.ok_or(why)
    }

    /// An attempt at any target that was not `tried`, whatever its circuit and its checks say.
    pub fn pick_anyway(&self, tried: &[u32], now: Instant) -> Option<Attempt> {
        self.tiers.iter().find_map(|tier| tier.pick_anyway(tried, now))
    }
}

impl Tier {
    fn new(members: Vec<Arc<Member>>, algorithm: Algorithm) -> Self {
        let known: Vec<(u128, u32)> =
            members.iter().map(|member| (hash::wide(member.target.url.as_str()), member.weight)).collect();
        let balance = Balance::new(algorithm.order(), &known);
        let weights = members.iter().map(|member| u64::from(member.weight)).sum();
        Tier { algorithm, members, balance, weights }
    }

    fn pick(
        &self,
        turn: Option<&AtomicUsize>,
        hash: u64,
        tried: &[u32],
        now: Instant,
        why: &mut Unavailable,
    ) -> Option<Attempt> {
        self.pick_by(turn, hash, now, |at, has_to, chance| {
            let member = &self.members[at];
            if tried.contains(&member.target.id) {
                return Answer::No;
            }
            if !has_to && self.rather_not(at, chance, now) {
                return Answer::RatherNot;
            }
            Attempt::admit(member, now).map_or_else(
                |refused| {
                    why.note(refused, now);
                    Answer::No
                },
                Answer::Yes,
            )
        })
    }

    fn pick_anyway(&self, tried: &[u32], now: Instant) -> Option<Attempt> {
        let ask = |at: usize, _| {
            let member = &self.members[at];
            match tried.contains(&member.target.id) {
                true => Answer::No,
                false => Attempt::anyway(member, now).map_or(Answer::No, Answer::Yes),
            }
        };
        rng::with_local(|rng| self.balance.pick_by_chance(rng, ask)).map(|(_, attempt)| attempt)
    }

    fn pick_by(
        &self,
        turn: Option<&AtomicUsize>,
        hash: u64,
        now: Instant,
        mut ask: impl FnMut(usize, bool, u64) -> Answer<Attempt>,
    ) -> Option<Attempt> {
        rng::with_local(|rng| {
            let chance = rng.below(1 << 30);
            let ask = |target, has_to| ask(target, has_to, chance);
            let turn = match (turn, self.algorithm) {
                (Some(turn), _) => turn,
                (None, Algorithm::RoundRobin) => return self.balance.pick_by_chance(rng, ask),
                (None, _) => &AtomicUsize::new(0),
            };
            let load = |target: usize| self.load(&self.members[target], now);
            self.balance.pick(Circumstances { turn, rng, hash, load }, ask)
        })
        .map(|(_, attempt)| attempt)
    }

    /// How much a member has to do, as the algorithm sees it.
    fn load(&self, member: &Member, now: Instant) -> f64 {
        let (under_way, latency) = (member.target.in_flight(), &member.target.latency);
        let each = match (self.algorithm, under_way) {
            (Algorithm::PeakEwma, 0) => latency.mean(now),
            // While it keeps somebody waiting, it is not forgotten how long it takes; and a target of which
            // nothing is known is tried once at a time.
            (Algorithm::PeakEwma, _) => latency.last().unwrap_or(f64::MAX),
            _ => 1.0,
        };
        // Two are drawn by their weights: to count these once more, for those who have nothing to do, would leave
        // the lighter one out.
        each * (f64::from(under_way) / f64::from(member.weight) + 1.0)
    }

    /// Whether somebody else should have the request, if there is anybody.
    fn rather_not(&self, at: usize, chance: u64, now: Instant) -> bool {
        let member = &self.members[at];
        match (self.algorithm, &member.share) {
            (Algorithm::ConsistentHash { load_factor }, Some(share)) => {
                let (mine, all) = (share.mine.load(Ordering::Relaxed), share.all.load(Ordering::Relaxed));
                let is_over = || balance::is_over(mine, all, member.weight, self.weights, load_factor);
                return mine >= member.leeway && is_over();
            }
            (Algorithm::RoundRobin | Algorithm::Random, _) if self.is_crowded(at, chance, now) => return true,
            _ => {}
        }
        is_cold(member, chance, now)
    }

    /// Whether a member has enough under way to open its circuit, failures in a row included, and more than twice as
    /// much as others: it has stopped answering, most likely, and whatever it gets until its breaker knows would wait
    /// for nothing.
    fn is_crowded(&self, at: usize, chance: u64, now: Instant) -> bool {
        let (member, count) = (&self.members[at], self.members.len());
        // However often it has failed, one at a time finds out whether it still does.
        let waiting = |member: &Member| match member.target.in_flight() {
            0 => 0,
            under_way => under_way + member.failures(now).min(member.leeway.saturating_sub(1)),
        };
        if count < 2 || waiting(member) < member.leeway {
            return false;
        }
        let busy = |member: &Member| f64::from(waiting(member)) / f64::from(member.weight);
        let other = |chance: u64| &self.members[(at + 1 + chance as usize % (count - 1)) % count];
        busy(member) > 2.0 * busy(other(chance)).max(busy(other(chance >> 15)))
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

/// Whether a member that has come back is still given time, and this request to somebody else.
fn is_cold(member: &Member, chance: u64, now: Instant) -> bool {
    let Some((span, since)) = member.slow_start.zip(member.recovered()) else { return false };
    let warm = now.saturating_duration_since(since).as_secs_f64() / span.as_secs_f64();
    warm < 1.0 && chance as f64 / (1 << 30) as f64 >= warm.max(LUKEWARM)
}

#[cfg(test)]
mod tests;
