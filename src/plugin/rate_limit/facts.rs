//! What is told of a decision: the counters, and what was left in each.

use serde_json::{Value, json};

use super::Verdict;
use super::algorithm::Decision;
use super::rule::Asked;
use super::store::Place;

/// What a verdict goes by, as an object that is made when somebody asks.
pub fn of(verdict: &Verdict) -> impl Fn() -> Value + Send + Sync + 'static {
    let counted = match verdict {
        Verdict::Counted(asked, decision, place) => Some((asked.clone(), decision.clone(), *place)),
        Verdict::Uncounted | Verdict::Unavailable => None,
    };
    move || match &counted {
        Some((asked, decision, place)) => object(asked, decision, *place),
        None => json!({ "countedIn": "nowhere", "limits": [] }),
    }
}

fn object(asked: &Asked, decision: &Decision, place: Place) -> Value {
    let limit = |(counted, view): (&super::rule::Counted, &super::algorithm::View)| {
        let (rule, quota) = (asked.rule(counted), counted.charge.quota);
        let mut told = json!({
            "limit": &*rule.label,
            "key": rule.redis_key(&counted.client),
            "algorithm": quota.algorithm.name(),
            "max": quota.max,
            "windowMs": quota.window_millis(),
            "fits": view.fits,
            "remaining": view.remaining,
            "resetMs": view.reset.as_millis() as u64,
        });
        // What is as usual is not worth a word.
        if counted.charge.cost.get() > 1 {
            told["cost"] = counted.charge.cost.get().into();
        }
        if counted.charge.dry_run {
            told["dryRun"] = true.into();
        }
        told
    };
    json!({
        "countedIn": place.name(),
        "limits": asked.counters.iter().zip(&decision.views).map(limit).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::plugin::rate_limit::algorithm::Quota;
    use crate::plugin::rate_limit::fingerprint::Hasher;
    use crate::plugin::rate_limit::memory::Memory;
    use crate::plugin::rate_limit::rule::{Limits, Rule};

    #[test]
    fn what_is_unusual_is_told_and_what_nobody_could_count() {
        let quota = Quota::fixed(NonZeroU32::MIN, Duration::from_secs(60));
        let limits = Arc::new(Limits::new(vec![Rule::by_address(1, quota)], false));
        let mut asked = limits.ask_for(&[0], 7, &Hasher::default());
        (asked.counters[0].charge.cost, asked.counters[0].charge.dry_run) = (NonZeroU32::new(2).expect("2"), true);
        let now = Instant::now();
        let decision = Memory::new(now).take(&asked, now);
        let told = of(&Verdict::Counted(asked, decision, Place::Memory))();
        let limit = &told["limits"][0];
        assert_eq!((&limit["cost"], &limit["dryRun"], &limit["fits"]), (&2.into(), &true.into(), &false.into()));
        for verdict in [Verdict::Uncounted, Verdict::Unavailable] {
            assert_eq!(of(&verdict)(), json!({ "countedIn": "nowhere", "limits": [] }));
        }
    }
}
