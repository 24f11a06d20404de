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
