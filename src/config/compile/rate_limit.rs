//! `plugins.rateLimit:`

use std::collections::{BTreeMap, HashMap};

use super::{Compiler, at_route};
use crate::config::conceal::{self, MASK};
use crate::config::error::Position;
use crate::config::file::{self, Cost, KeyPart, Scope, Switch};
use crate::config::located::Located;
use crate::config::model::{LimitAlgorithm, LimitSync, Override, Prefixes, RateLimit, Route, Whose};
use crate::plugin::rate_limit::key::is_credential;

/// Up to here doubles, which Redis' scripts reckon with, are exact even for twice as much.
const EXACT: u128 = 1 << 52;

impl Compiler<'_> {
    pub(super) fn rate_limits(
        &mut self,
        written: &Switch<file::RateLimits>,
        route: &str,
        auth: bool,
    ) -> Vec<RateLimit> {
        let Switch::On(limits) = written else { return Vec::new() };
        let path = |rule: &Located<file::RateLimit>| match limits.listed {
            true => format!("{route}.plugins.rateLimit[{}]", rule.index),
            false => format!("{route}.plugins.rateLimit"),
        };
        let rules = limits.rules.iter().map(|rule| self.rate_limit(rule, &path(rule), auth)).collect();
        let first = &limits.rules[0];
        for (place, rule) in limits.rules.iter().enumerate() {
            if rule.sync.value != first.sync.value {
                let message = "limits of one list are decided together; write the same sync in all of them";
                self.error(rule.sync.at, format!("{}.sync", path(rule)), message);
            }
            let scope = |rule: &file::RateLimit| rule.scope.as_ref().map(|scope| scope.value.clone());
            let shared = rule.scope.as_ref().filter(|scope| scope.value != Scope::Route);
            if let Some(shared) = shared
                && limits.rules[..place].iter().any(|earlier| scope(earlier) == scope(rule))
            {
                let message = "this list has a limit of that name already; give each its own";
                self.error(shared.at, format!("{}.scope.shared", path(rule)), message);
            }
        }
        rules
    }

    fn rate_limit(&mut self, limit: &file::RateLimit, path: &str, auth: bool) -> RateLimit {
        let burst = limit.burst.as_ref().map(|burst| burst.value.0);
        self.quota(limit, &limit.max, limit.burst.as_ref(), path);
        let key = self.key(limit, path, auth);
        let overrides = self.overrides(limit, &key, path);
        RateLimit {
            algorithm: limit.algorithm,
            max: limit.max.value.0,
            window: limit.window.0,
            burst,
            key,
            prefixes: self.prefixes(limit.prefixes, path),
            overrides,
            scope: limit.scope.as_ref().map_or(Scope::Route, |scope| scope.value.clone()),
            dry_run: limit.dry_run,
            cost: limit.cost.as_ref().map_or(Cost::ONE, |cost| cost.value.clone()),
            headers: limit.headers,
            sync: limit.sync.value,
            on_redis_down: limit.on_redis_down,
        }
    }

    /// Whether so much can be counted, and used.
    fn quota(
        &mut self,
        limit: &file::RateLimit,
        max: &Located<crate::config::units::Count>,
        burst: Option<&Located<crate::config::units::Count>>,
        path: &str,
    ) {
        let bucket = limit.algorithm == LimitAlgorithm::TokenBucket;
        if let (Some(burst), false) = (burst, bucket) {
            let message = "only tokenBucket has a burst; remove it or set algorithm: tokenBucket";
            self.error(burst.at, format!("{path}.burst"), message);
        }
        let at_once = burst.map_or(max.value.0, |burst| burst.value.0);
        let product = u128::from(max.value.0.max(at_once).get()) * limit.window.0.as_millis();
        if limit.algorithm != LimitAlgorithm::FixedWindow && product > EXACT {
            let what = "so many requests in so long a window cannot be counted exactly by this algorithm";
            self.error(max.at, format!("{path}.max"), format!("{what}; write less, or algorithm: fixedWindow"));
        }
        let leased = limit.sync.value == LimitSync::Leased;
        // Of a bucket that is leased an eighth is kept back.
        let kept_back = if leased { at_once.get() / 8 } else { 0 };
        let most = if bucket { at_once.get() - kept_back } else { max.value.0.get() };
        if let Some(Located { at, value: Cost::Fixed(cost), .. }) = &limit.cost
            && cost.0.get() > most
        {
            let message = format!("a request that takes {cost} of {most} never passes; write less, or a larger limit");
            self.error(*at, format!("{path}.cost"), message);
        }
    }

    fn key(&mut self, limit: &file::RateLimit, path: &str, auth: bool) -> Vec<KeyPart> {
        let Some(written) = &limit.key else { return vec![KeyPart::Ip] };
        if written.is_empty() && !self.told_of(&format!("{path}.key")) {
            self.error(written.at, format!("{path}.key"), "there is no part; write ip, say");
        }
        let mut parts: Vec<KeyPart> = Vec::new();
        for part in written.iter() {
            let at = if written.len() == 1 { format!("{path}.key") } else { format!("{path}.key[{}]", part.index) };
            if matches!(part.value, KeyPart::User | KeyPart::Claim(_)) && !auth {
                let message = "requests of this route have no user, since it asks for no token; write auth: true beside it, or another key";
                self.error(part.at, &at, message);
            }
            match parts.contains(&part.value) {
                true => self.error(part.at, at, "this part is in the list already; keep one"),
                false => parts.push(part.value.clone()),
            }
        }
        parts
    }

    fn prefixes(&mut self, written: file::Prefixes, path: &str) -> Prefixes {
        if let Some(bits) = written.ipv4.filter(|bits| bits.value.0 > 32) {
            let message = format!("{} is out of range; write 1 to 32", bits.value);
            self.error(bits.at, format!("{path}.prefixes.ipv4"), message);
        }
        Prefixes {
            ipv4: written.ipv4.map_or(32, |bits| bits.value.0.min(32)),
            ipv6: written.ipv6.map_or(64, |bits| bits.value.0),
        }
    }

    fn overrides(&mut self, limit: &file::RateLimit, key: &[KeyPart], path: &str) -> BTreeMap<Whose, Option<Override>> {
        let Some(written) = &limit.overrides else { return BTreeMap::new() };
        if key.first() == Some(&KeyPart::Route) && !written.value.is_empty() {
            let message =
                "all requests are one to this key, so that no client has a quota of its own; write another key";
            self.error(written.at, format!("{path}.overrides"), message);
        }
        let is_secret = matches!(key.first(), Some(KeyPart::Header(name)) if is_credential(name.0.as_str()));
        let mut overrides = BTreeMap::new();
        for (value, quota) in &written.value {
            let shown = if is_secret { MASK.into() } else { conceal::word(value) };
            let path = format!("{path}.overrides.{shown}");
            let quota = match quota {
                Switch::Off => None,
                Switch::On(quota) => {
                    self.quota(limit, &quota.max, quota.burst.as_ref(), &path);
                    Some(Override { max: quota.max.value.0, burst: quota.burst.map(|burst| burst.value.0) })
                }
            };
            overrides.insert(Whose { value: value.clone(), is_secret }, quota);
        }
        overrides
    }

    /// A shared limit is one limit, whichever routes name it, so they have to agree on it.
    pub(super) fn shared_limits_agree(&mut self, written: &[Located<file::Route>], routes: &[Route]) {
        let mut first: HashMap<String, (&Located<file::Route>, &RateLimit)> = HashMap::new();
        for (written, route) in written.iter().zip(routes) {
            for limit in &route.plugins.rate_limit {
                let Scope::Shared(name) = &limit.scope else { continue };
                let (theirs, other) = *first.entry(name.to_string()).or_insert((written, limit));
                // Twice in one list has been told of already.
                if !is_same(limit, other) && !std::ptr::eq(theirs, written) {
                    let path = format!("{}.plugins.rateLimit", at_route(written));
                    let what = format!("the shared limit {name} is another one in {}", at_route(theirs));
                    let right =
                        "write the same algorithm, max, window, burst, key, prefixes, overrides and sync in both";
                    self.error(limit_at(written), path, format!("{what}; {right}"));
                }
            }
        }
    }
}

fn is_same(a: &RateLimit, b: &RateLimit) -> bool {
    let with = |of: &RateLimit| RateLimit {
        cost: Cost::ONE,
        dry_run: false,
        headers: b.headers,
        on_redis_down: b.on_redis_down,
        ..of.clone()
    };
    with(a) == with(b)
}

pub(super) fn limit_at(route: &Located<file::Route>) -> Position {
    match &route.plugins.rate_limit {
        Some(Switch::On(limits)) => limits.rules[0].at,
        _ => route.at,
    }
}
