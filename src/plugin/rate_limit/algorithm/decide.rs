//! One decision over all the counters that a request is counted by: all of them take it, or none does.

use std::num::NonZeroU32;
use std::time::Duration;

use smallvec::SmallVec;

use super::{Counter, Quota};

/// What a request does to one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What the counter enforces.
    pub quota: Quota,
    /// Units that one request takes.
    pub cost: NonZeroU32,
    /// It counts and tells, and has no say.
    pub dry_run: bool,
}

impl Charge {
    /// One unit of `quota`, in earnest.
    pub fn one(quota: Quota) -> Self {
        Charge { quota, cost: NonZeroU32::MIN, dry_run: false }
    }
}

/// What becomes of requests that come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How many of them may pass: the first ones.
    pub granted: u32,
    /// How things stand with each counter afterwards.
    pub standings: SmallVec<[Standing; 1]>,
}

/// How things stand with one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many of the requests it had room for, had it been alone.
    pub fits: u32,
    /// Units that are left.
    pub remaining: u32,
    /// Milliseconds until another request fits, 0 where one does.
    pub retry_after: u64,
    /// Milliseconds until all of the quota is there again, if nothing more passes.
    pub reset: u64,
}

/// What becomes of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may pass; it has been counted then.
    pub allowed: bool,
    /// Where it may not: how long until a request can, if nothing else passes.
    pub retry_after: Duration,
    /// How things stand with each counter that it was asked of, in their order.
    pub views: SmallVec<[View; 1]>,
}

/// How one counter looks to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Whether it had room for this request.
    pub fits: bool,
    /// Units that are left after it.
    pub remaining: u32,
    /// Until all of the quota is there again, if nothing more passes.
    pub reset: Duration,
}

impl Answer {
    /// What it means to the request that came as number `place`, counted from 1. `charges` are those it
    /// was decided by.
    pub fn decision<'c>(&self, charges: impl Iterator<Item = &'c Charge>, place: u32) -> Decision {
        let allowed = place <= self.granted;
        let mut retry_after = 0;
        let view = |(standing, charge): (&Standing, &Charge)| {
            if !charge.dry_run {
                retry_after = standing.retry_after.max(retry_after);
            }
            // Those who pass after it have not taken theirs yet.
            let later = self.granted.min(standing.fits).saturating_sub(place.min(self.granted));
            View {
                fits: place <= standing.fits,
                remaining: standing.remaining.saturating_add(later.saturating_mul(charge.cost.get())),
                reset: Duration::from_millis(standing.reset),
            }
        };
        let views = self.standings.iter().zip(charges).map(view).collect();
        Decision { allowed, retry_after: Duration::from_millis(if allowed { 0 } else { retry_after }), views }
    }
}

impl Answer {
    /// What it means to one more request, where none wanted to pass: nothing has been counted, and `remaining` is so before
    /// it.
    pub fn outlook<'c>(&self, charges: impl Iterator<Item = &'c Charge>) -> Decision {
        let (mut allowed, mut retry_after) = (true, 0);
        let view = |(standing, charge): (&Standing, &Charge)| {
            if !charge.dry_run && standing.fits == 0 {
                allowed = false;
                retry_after = standing.retry_after.max(retry_after);
            }
            let Standing { fits, remaining, reset, .. } = *standing;
            View { fits: fits > 0, remaining, reset: Duration::from_millis(reset) }
        };
        let views = self.standings.iter().zip(charges).map(view).collect();
        Decision { allowed, retry_after: Duration::from_millis(retry_after), views }
    }
}

/// Decides on `wanted` requests that come together at `now`, under all of `charges`, and counts those that
/// pass in `counters`, which belong to them one by one.
///
/// Where all of them pass, up to `spare` more are granted for later, and no more than an eighth of what is
/// left then (guided self-scheduling, Polychronopoulos and Kuck 1987, with 8 in place of the number of
/// processors).
///
/// A charge that is a dry run counts what it would have let pass of what does.
pub fn decide(counters: &mut [Counter], charges: &[Charge], now: u64, wanted: u32, spare: u32) -> Answer {
    let mut room: SmallVec<[u32; 1]> = SmallVec::new();
    let mut fit: Option<u32> = None;
    for (counter, charge) in counters.iter_mut().zip(charges) {
        counter.advance(&charge.quota, now);
        let units = counter.room(&charge.quota, now);
        room.push(units);
        if !charge.dry_run {
            let fits = units / charge.cost;
            fit = Some(fit.map_or(fits, |fit| fit.min(fits)));
        }
    }
    let granted = match fit {
        None => wanted,
        Some(fit) if fit < wanted => fit,
        Some(fit) => wanted + spare.min((fit - wanted) / 8),
    };
    let counted = counters.iter_mut().zip(charges).zip(room);
    let standing = |((counter, charge), room): ((&mut Counter, &Charge), u32)| {
        let fits = room / charge.cost;
        let used = granted.min(fits) * charge.cost.get();
        counter.charge(&charge.quota, used);
        let (wait, reset) = counter.waits(&charge.quota, now, charge.cost.get());
        let remaining = room - used;
        let retry_after = if remaining < charge.cost.get() { wait } else { 0 };
        Standing { fits, remaining, retry_after, reset }
    };
    Answer { granted, standings: counted.map(standing).collect() }
}
