//! Whether a target gets a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Attempt;
use crate::breaker::{self, Permit};
use crate::upstream::target::Member;

/// Why a target gets no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its breaker says so.
    Breaker(breaker::Refused),
    /// It has as many under way as it may.
    Full,
    /// Its checks are bad; the next one may say otherwise, which comes in so long a time.
    Ill(Duration),
}

impl Refused {
    /// A target that stopped answering is full before its breaker opens: what matters then is the breaker.
    fn by_full(member: &Member, now: Instant) -> Self {
        let until = member.guarded.then(|| member.target.view(now).retry_at).flatten();
        until.map_or(Refused::Full, |until| Refused::Breaker(breaker::Refused::Open(until)))
    }
}

impl Attempt {
    /// Asks leave for an attempt at a target.
    ///
    /// # Errors
    /// Why there is none.
    pub fn admit(member: &Arc<Member>, now: Instant) -> Result<Self, Refused> {
        check(member)?;
        Attempt::enter(member, now, |member| match member.guarded {
            true => member.target.circuit.admit(now).map(Some),
            false => not_held(member),
        })
    }

    /// What [`Attempt::admit`] would say, without asking: nothing is taken.
    ///
    /// # Errors
    /// Why it would refuse.
    pub fn outlook(member: &Member, now: Instant) -> Result<(), Refused> {
        check(member)?;
        if member.target.in_flight() >= member.limit() {
            return Err(Refused::by_full(member, now));
        }
        let said = match member.guarded {
            true => member.target.circuit.outlook(now),
            false => not_held(member).map(drop),
        };
        said.map_err(Refused::Breaker)
    }

    /// An attempt that neither breaker nor checks are asked about, and that the breaker is not told of, unless somebody holds it open.
    ///
    /// # Errors
    /// Why there is none.
    pub fn anyway(member: &Arc<Member>, now: Instant) -> Result<Self, Refused> {
        Attempt::enter(member, now, not_held)
    }

    /// Whether [`Attempt::anyway`] would make one.
    pub fn anyway_outlook(member: &Member) -> bool {
        member.target.in_flight() < member.limit() && !member.target.circuit.is_held_open()
    }

    fn enter(
        member: &Arc<Member>,
        now: Instant,
        ask: impl FnOnce(&Member) -> Result<Option<Permit>, breaker::Refused>,
    ) -> Result<Self, Refused> {
        // Asking a breaker may take its probe, so it comes last.
        if !member.target.enter(member.limit()) {
            return Err(Refused::by_full(member, now));
        }
        let permit = ask(member).inspect_err(|_| member.target.leave()).map_err(Refused::Breaker)?;
        Ok(Attempt::begins(member, permit, now))
    }
}

/// What the checks of a target say, if they matter.
fn check(member: &Member) -> Result<(), Refused> {
    match member.checks().filter(|checks| checks.is_ill()) {
        Some(checks) => Err(Refused::Ill(checks.interval())),
        None => Ok(()),
    }
}

/// No permit: nobody is told how it ends.
fn not_held(member: &Member) -> Result<Option<Permit>, breaker::Refused> {
    match member.target.circuit.is_held_open() {
        true => Err(breaker::Refused::Held),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::{Hold, Phase};
    use crate::upstream::attempt::tests::{admit, id, member, target};
    use crate::upstream::concurrency::Concurrency;
    use crate::upstream::record::Cause;

    #[test]
    fn a_full_target_is_refused_and_told_to_be_open_if_its_breaker_is() {
        let (target, now) = (target(), Instant::now());
        let one = Some(Arc::new(Concurrency::Fixed(1)));
        let member = Arc::new(Member { concurrency: one, ..Member::of(target) });
        let only = admit(&member, now);
        assert_eq!(Attempt::admit(&member, now).expect_err("full"), Refused::Full);
        assert_eq!((member.target.in_flight(), member.target.record.totals().requests), (1, 1));
        drop(only);
        for _ in 0..3 {
            admit(&member, now).fail(Cause::Connect("refused".into()), &id(), now);
        }
        let _stuck = member.target.enter(u32::MAX);
        assert!(matches!(Attempt::admit(&member, now), Err(Refused::Breaker(_))), "full, but that is not why");
        member.target.leave();
        assert!(matches!(Attempt::admit(&member, now), Err(Refused::Breaker(_))));
        assert_eq!(member.target.in_flight(), 0, "what a breaker refuses is not under way");
    }

    #[test]
    fn an_attempt_that_is_made_anyway_passes_a_breaker_by_but_not_whoever_holds_it() {
        let (member, now) = (member(), Instant::now());
        (0..3).for_each(|_| admit(&member, now).fail(Cause::Connect("refused".into()), &id(), now));
        let mut anyway = Attempt::anyway(&member, now).expect("whatever the breaker says");
        anyway.answered(200, None, &id(), now);
        assert_eq!(member.target.view(now).phase, Phase::Open, "it says nothing to the breaker");
        member.target.circuit.hold(Hold::Open, now);
        assert!(Attempt::anyway(&member, now).is_err());
    }
}
