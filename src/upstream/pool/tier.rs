//! Targets that share requests, and whose turn it is among them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use smallvec::SmallVec;

use super::{Algorithm, Reluctance, Skip, Told, Wish};
use crate::rng;
use crate::upstream::attempt::{Attempt, Refused};
use crate::upstream::balance::{self, Answer, Balance, Circumstances};
use crate::upstream::hash;
use crate::upstream::target::Member;

/// A target that warms up gets at least this share of what it would get.
const LUKEWARM: f64 = 0.1;

/// Targets that share requests.
#[derive(Debug)]
pub struct Tier {
    algorithm: Algorithm,
    /// They.
    pub members: SmallVec<[Arc<Member>; 4]>,
    balance: Balance,
    /// The sum of all weights.
    weights: u64,
}

impl Tier {
    /// Members that are chosen in this way.
    pub fn new(members: SmallVec<[Arc<Member>; 4]>, algorithm: Algorithm) -> Self {
        let known: Vec<(u128, u32)> =
            members.iter().map(|member| (hash::wide(member.target.url.as_str()), member.weight)).collect();
        let balance = Balance::new(algorithm.order(), &known);
        let weights = members.iter().map(|member| u64::from(member.weight)).sum();
        Tier { algorithm, members, balance, weights }
    }

    /// What `admit` gives for the member whose turn it is, of those that were not tried.
    pub fn pick<T>(
        &self,
        turn: Option<&AtomicUsize>,
        wish: Wish<'_>,
        pass: Told<'_>,
        admit: &dyn Fn(&Arc<Member>) -> Result<T, Refused>,
    ) -> Option<T> {
        self.pick_by(turn, wish, |at, has_to, chance| {
            let member = &self.members[at];
            if wish.tried.contains(&member.target.id) {
                pass(member, Skip::Tried);
                return Answer::No;
            }
            if !has_to && let Some(reluctance) = self.reluctance(at, chance, wish.now) {
                pass(member, Skip::Reluctant(reluctance));
                return Answer::RatherNot;
            }
            match admit(member) {
                Ok(admitted) => Answer::Yes(admitted),
                Err(refused) => {
                    pass(member, Skip::Refused(refused));
                    Answer::No
                }
            }
        })
    }

    /// An attempt at any member that was not `tried`, whatever its circuit and its checks say.
    pub fn pick_anyway(&self, tried: &[u32], now: Instant) -> Option<Attempt> {
        let ask = |at: usize, _| {
            let member = &self.members[at];
            match tried.contains(&member.target.id) {
                true => Answer::No,
                false => Attempt::anyway(member, now).map_or(Answer::No, Answer::Yes),
            }
        };
        rng::with_local(|rng| self.balance.pick_by_chance(rng, ask)).map(|(_, attempt)| attempt)
    }

    fn pick_by<T>(
        &self,
        turn: Option<&AtomicUsize>,
        Wish { hash, now, .. }: Wish<'_>,
        mut ask: impl FnMut(usize, bool, u64) -> Answer<T>,
    ) -> Option<T> {
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
        .map(|(_, found)| found)
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

    /// Why somebody else should have the request, if there is anybody.
    fn reluctance(&self, at: usize, chance: u64, now: Instant) -> Option<Reluctance> {
        let member = &self.members[at];
        match (self.algorithm, &member.share) {
            (Algorithm::ConsistentHash { load_factor }, Some(share)) => {
                let (mine, all) = (share.mine.load(Ordering::Relaxed), share.all.load(Ordering::Relaxed));
                let is_over = || balance::is_over(mine, all, member.weight, self.weights, load_factor);
                return (mine >= member.leeway && is_over()).then_some(Reluctance::OverShare);
            }
            (Algorithm::RoundRobin | Algorithm::Random, _) if self.is_crowded(at, chance, now) => {
                return Some(Reluctance::Crowded);
            }
            _ => {}
        }
        is_cold(member, chance, now).then_some(Reluctance::WarmingUp)
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

/// Whether a member that has come back is still given time, and this request to somebody else.
fn is_cold(member: &Member, chance: u64, now: Instant) -> bool {
    let Some((span, since)) = member.slow_start.zip(member.recovered()) else { return false };
    let warm = now.saturating_duration_since(since).as_secs_f64() / span.as_secs_f64();
    warm < 1.0 && chance as f64 / (1 << 30) as f64 >= warm.max(LUKEWARM)
}
