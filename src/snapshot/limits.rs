//! The limits of a route, from the config to what decides.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::before::RouteBefore;
use crate::config::units::Period;
use crate::config::{self, Cost, KeyPart, LimitAlgorithm, LimitSync, RateLimit, Scope};
use crate::plugin::rate_limit::algorithm::Quota;
use crate::plugin::rate_limit::key::{Key, Part};
use crate::plugin::rate_limit::rule::{Limits, Rule};

/// So many names that no config has any more keep their numbers: a route that is back goes on with its counts.
const MOST_GONE: usize = 1_000;

/// Numbers for rules: one for each name.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    by_name: HashMap<Arc<str>, Id>,
    /// None is given twice.
    next: u32,
    /// Those of the config that they are given in.
    edition: u32,
}

#[derive(Clone, Copy, Debug)]
struct Id {
    number: u32,
    /// The last edition that had a rule of that name.
    edition: u32,
}

impl Ids {
    /// The same names keep their numbers in another config.
    pub fn after(before: Option<&Ids>) -> Self {
        let mut ids = before.cloned().unwrap_or_default();
        let mut gone: Vec<u32> = ids.by_name.values().map(|id| id.edition).filter(|last| *last < ids.edition).collect();
        if gone.len() > MOST_GONE {
            // The last that left stay, and with each all that left when it did.
            gone.sort_unstable_by(|a, b| b.cmp(a));
            let oldest = gone[MOST_GONE];
            ids.by_name.retain(|_, id| id.edition > oldest);
        }
        ids.edition += 1;
        ids
    }

    fn of(&mut self, name: &Arc<str>) -> u32 {
        let id = self.by_name.entry(name.clone()).or_insert(Id { number: self.next, edition: 0 });
        if id.number == self.next {
            self.next += 1;
        }
        id.edition = self.edition;
        id.number
    }
}

/// The claims that limits of these routes go by.
pub fn claims(routes: &[config::Route]) -> impl Iterator<Item = String> {
    let parts = routes.iter().flat_map(|route| &route.plugins.rate_limit).flat_map(|limit| &limit.key);
    parts.filter_map(|part| match part {
        KeyPart::Claim(claim) => Some(claim.clone()),
        _ => None,
    })
}

/// The limits of `route`, if it has any; the same as `before` if they are.
pub fn compile(route: &config::Route, before: Option<&RouteBefore<'_>>, ids: &mut Ids) -> Option<Arc<Limits>> {
    let written = &route.plugins.rate_limit;
    if let Some(same) = before.filter(|before| before.config.plugins.rate_limit == *written) {
        let limits = same.route.limits.clone();
        limits.iter().flat_map(|limits| &limits.rules).for_each(|rule| {
            ids.of(&rule.name);
        });
        return limits;
    }
    let mut rules: Vec<Rule> = Vec::with_capacity(written.len());
    for limit in written {
        let label = if written.len() == 1 { "default".into() } else { label(limit, &rules) };
        rules.push(rule(limit, route.name.as_str(), label, written.len() == 1, ids));
    }
    let leased = written.iter().any(|limit| limit.sync == LimitSync::Leased);
    (!rules.is_empty()).then(|| Arc::new(Limits { edition: ids.edition, ..Limits::new(rules, leased) }))
}

/// What a limit of a list is called: by its window, which is what tells most of them apart.
fn label(limit: &RateLimit, earlier: &[Rule]) -> Arc<str> {
    let window = Period(limit.window).to_string();
    let taken = |label: &str| earlier.iter().any(|rule| &*rule.label == label);
    let numbered = (2..).map(|number| format!("{window}-{number}"));
    std::iter::once(window.clone()).chain(numbered).find(|label| !taken(label)).unwrap_or_default().into()
}

fn rule(limit: &RateLimit, route: &str, label: Arc<str>, alone: bool, ids: &mut Ids) -> Rule {
    let scope: Arc<str> = match &limit.scope {
        Scope::Route => route.into(),
        Scope::Shared(name) => format!("shared={name}").into(),
    };
    let name = match limit.scope {
        // No path has such a sign in it: no route is called like another one's limit.
        Scope::Route if !alone => format!("{route}#{label}").into(),
        _ => scope.clone(),
    };
    let leased_bucket = limit.sync == LimitSync::Leased && limit.algorithm == LimitAlgorithm::TokenBucket;
    let quota = |max: NonZeroU32, burst: Option<NonZeroU32>| {
        let burst = burst.unwrap_or(max);
        let reserve = if leased_bucket { burst.get() / 8 } else { 0 };
        Quota { algorithm: limit.algorithm, max, window: limit.window, burst, reserve }
    };
    let (cost, cost_header) = match &limit.cost {
        Cost::Fixed(count) => (count.0, None),
        Cost::ResponseHeader(name) => (NonZeroU32::MIN, Some(name.0.clone())),
    };
    let overrides = limit.overrides.iter();
    Rule {
        id: ids.of(&name),
        name,
        label,
        scope,
        quota: quota(limit.max, limit.burst),
        key: Key {
            parts: limit.key.iter().map(part).collect(),
            ipv4_prefix: limit.prefixes.ipv4,
            ipv6_prefix: limit.prefixes.ipv6,
        },
        overrides: overrides
            .map(|(value, own)| (value.value.clone(), own.map(|own| quota(own.max, own.burst))))
            .collect(),
        cost,
        cost_header,
        dry_run: limit.dry_run,
        headers: limit.headers,
        on_redis_down: limit.on_redis_down,
    }
}

fn part(part: &KeyPart) -> Part {
    match part {
        KeyPart::Ip => Part::Ip,
        KeyPart::User => Part::User,
        KeyPart::Route => Part::Route,
        KeyPart::Claim(claim) => Part::Claim(claim.clone()),
        KeyPart::Header(name) => Part::Header(name.0.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_for_a_while_and_none_is_given_twice() {
        let name = |name: &str| Arc::<str>::from(name);
        let mut ids = Ids::after(None);
        let (a, b) = (ids.of(&name("a")), ids.of(&name("b")));
        assert_ne!(a, b);
        for edition in 0..3 * MOST_GONE {
            ids = Ids::after(Some(&ids));
            assert_eq!(ids.of(&name("a")), a, "it is always there");
            ids.of(&name(&edition.to_string()));
            assert!(ids.by_name.len() <= MOST_GONE + 3, "{}", ids.by_name.len());
        }
        assert!(ids.by_name.contains_key("2999") && !ids.by_name.contains_key("b"));
        assert!(ids.of(&name("b")) > b, "somebody may still count by it");
        assert_eq!(ids.next as usize, 3 + 3 * MOST_GONE);
    }
}
