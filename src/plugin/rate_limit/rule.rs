//! The limits of a route, and what they mean to one request.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::HeaderName;
use smallvec::SmallVec;

use super::Verdict;
use super::algorithm::{Charge, Quota};
use super::busiest::Busiest;
use super::fingerprint::{Fingerprint, Hasher};
use super::key::{Client, Key};
use crate::config::{LimitHeaders, OnRedisDown};
use crate::plugin::Request;

/// One limit.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What its counters are called in keys: `/users`, `/users#60s`, `shared=NAME`.
    pub name: Arc<str>,
    /// What it is called among the limits of its route: `default`, `60s`.
    pub label: Arc<str>,
    /// What it applies to: the name of its route, or `shared=NAME`.
    pub scope: Arc<str>,
    /// Rules with the same number use the same counters; no others of this process do.
    pub id: u32,
    /// How much in which time.
    pub quota: Quota,
    /// Who is counted together.
    pub key: Key,
    /// Quotas of single values of the key's first part; `None`: any number.
    pub overrides: HashMap<String, Option<Quota>>,
    /// Units that a request takes when it is let through.
    pub cost: NonZeroU32,
    /// Where the upstream says what it cost in the end.
    pub cost_header: Option<HeaderName>,
    /// It counts and tells, and refuses nobody.
    pub dry_run: bool,
    /// What clients are told.
    pub headers: LimitHeaders,
    /// What decides while Redis is away.
    pub on_redis_down: OnRedisDown,
}

/// All limits of a route, which decide together.
#[derive(Debug)]
pub struct Limits {
    /// At least one.
    pub rules: Vec<Rule>,
    /// Whether requests are granted several at a time, for later.
    pub leased: bool,
    /// Another one where the same counters have had other limits: what is known of those, or is being asked, is not known of
    /// these.
    pub edition: u32,
    /// What they have decided.
    pub tally: Tally,
}

/// How many requests went which way. Counted where they are decided, each once.
#[derive(Debug, Default)]
pub struct Tally {
    /// Let through, by a count.
    pub allowed: AtomicU64,
    /// Refused, by a count.
    pub refused: AtomicU64,
    /// Let through or refused without one, for want of Redis.
    pub uncounted: AtomicU64,
    /// By each rule: refused, or would have been but for `dryRun`.
    pub by_rule: Vec<AtomicU64>,
    /// Whose requests they were, by the first rule, where anybody may ask.
    pub busiest: Busiest,
}

/// What a request asks, of which counters.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The rules that it is counted by.
    pub limits: Arc<Limits>,
    /// At least one.
    pub counters: SmallVec<[Counted; 1]>,
    /// Stands for all of the counters: requests with the same ask the same.
    pub lane: Fingerprint,
}

/// One counter, and what a request does to it.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The rule's place among the limits.
    pub rule: usize,
    /// What is taken.
    pub charge: Charge,
    /// Whose counter it is.
    pub client: Client,
    /// Stands for rule and client.
    pub fingerprint: Fingerprint,
}

impl Limits {
    /// Limits that have decided nothing yet.
    pub fn new(rules: Vec<Rule>, leased: bool) -> Self {
        let by_rule = rules.iter().map(|_| AtomicU64::default()).collect();
        Limits { rules, leased, edition: 0, tally: Tally { by_rule, ..Tally::default() } }
    }

    /// What `request` asks. `None`: no limit applies to it.
    pub fn ask(self: &Arc<Self>, request: &Request<'_>, hasher: &Hasher) -> Option<Asked> {
        let mut counters: SmallVec<[Counted; 1]> = SmallVec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let Some(quota) = rule.quota_of(request) else { continue };
            let client = match counters.last().filter(|last| self.rules[last.rule].counts_alike(rule)) {
                Some(last) => last.client.clone(),
                None => rule.key.client(request, &rule.scope),
            };
            let fingerprint = hasher.counter(rule.id, &client);
            let charge = Charge { quota, cost: rule.cost, dry_run: rule.dry_run };
            counters.push(Counted { rule: place, charge, client, fingerprint });
        }
        Asked::new(self.clone(), counters, hasher)
    }

    /// Whether what a request cost in the end is known only when it has been answered.
    pub fn are_settled_later(&self) -> bool {
        self.rules.iter().any(|rule| rule.cost_header.is_some())
    }
}

impl Tally {
    /// One request has been decided.
    pub fn note(&self, verdict: &Verdict) {
        let Verdict::Counted(asked, decision, _) = verdict else { return count(&self.uncounted) };
        count(if decision.allowed { &self.allowed } else { &self.refused });
        for (counted, view) in asked.counters.iter().zip(&decision.views) {
            if !view.fits {
                count(&self.by_rule[counted.rule]);
            }
        }
    }
}

impl Tally {
    /// The same for the client that the first rule counts.
    pub fn note_client(&self, verdict: &Verdict, now: Instant) {
        if let Verdict::Counted(asked, decision, _) = verdict
            && let Some(counted) = asked.counters.first()
        {
            self.busiest.note(&counted.client, decision.allowed, now);
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Rule {
    fn quota_of(&self, request: &Request<'_>) -> Option<Quota> {
        if self.overrides.is_empty() {
            return Some(self.quota);
        }
        let value = self.key.first_value(request);
        value.and_then(|value| self.overrides.get(&*value)).copied().unwrap_or(Some(self.quota))
    }

    /// Whether every request is the same client to both.
    fn counts_alike(&self, other: &Rule) -> bool {
        self.key == other.key && self.scope == other.scope
    }

    /// The key in Redis that counts `client`. All keys of one client are in one slot of a cluster.
    pub fn redis_key(&self, client: &Client) -> String {
        format!("aegis:rl:{{{client}}}:{}", self.name)
    }
}

impl Asked {
    /// `None` without any counter.
    fn new(limits: Arc<Limits>, counters: SmallVec<[Counted; 1]>, hasher: &Hasher) -> Option<Self> {
        let lane = hasher.lane(counters.iter().map(|Counted { fingerprint, charge, .. }| match charge {
            Charge { cost: NonZeroU32::MIN, dry_run: false, .. } => *fingerprint,
            Charge { cost, dry_run, .. } => hasher.variant(*fingerprint, (cost, dry_run)),
        }))?;
        // The lowest bits are for those who ask the same for another reason.
        let lane = lane.aside(limits.edition << 2);
        Some(Asked { limits, counters, lane })
    }

    /// The rule of one of its counters.
    pub fn rule(&self, counted: &Counted) -> &Rule {
        &self.limits.rules[counted.rule]
    }

    /// What is taken of each counter, in their order.
    pub fn charges(&self) -> impl Iterator<Item = &Charge> {
        self.counters.iter().map(|counted| &counted.charge)
    }

    /// The same of the counters of some rules only; `None` without any.
    pub fn of_rules(mut self, hasher: &Hasher, keep: impl Fn(&Rule) -> bool) -> Option<Asked> {
        self.counters.retain(|counted| keep(&self.limits.rules[counted.rule]));
        Asked::new(self.limits, self.counters, hasher)
    }

    /// What a request that has been counted owes, now that `price` knows of each rule what it cost in the end.
    pub fn rest(mut self, hasher: &Hasher, price: impl Fn(&Rule) -> Option<u32>) -> Option<Asked> {
        let limits = &self.limits;
        self.counters.retain(|counted| {
            let owed = price(&limits.rules[counted.rule]).unwrap_or(0).saturating_sub(counted.charge.cost.get());
            NonZeroU32::new(owed.min(counted.charge.quota.limit())).map(|owed| counted.charge.cost = owed).is_some()
        });
        Asked::new(self.limits, self.counters, hasher)
    }
}

#[cfg(test)]
impl Limits {
    /// What a request of client `n` asks of some of the rules.
    pub fn ask_for(self: &Arc<Self>, rules: &[usize], n: u32, hasher: &Hasher) -> Asked {
        let client = Client::Network(std::net::IpAddr::from(std::net::Ipv4Addr::from(n)).into());
        let counted = |rule: usize| Counted {
            rule,
            charge: Charge::one(self.rules[rule].quota),
            fingerprint: hasher.counter(self.rules[rule].id, &client),
            client: client.clone(),
        };
        Asked::new(self.clone(), rules.iter().copied().map(counted).collect(), hasher).expect("a rule")
    }
}

#[cfg(test)]
impl Rule {
    /// The plainest rule there is.
    pub fn by_address(id: u32, quota: Quota) -> Self {
        Rule {
            name: format!("/{id}").into(),
            label: "default".into(),
            scope: format!("/{id}").into(),
            id,
            quota,
            key: Key { parts: vec![super::key::Part::Ip], ipv4_prefix: 32, ipv6_prefix: 64 },
            overrides: HashMap::new(),
            cost: NonZeroU32::MIN,
            cost_header: None,
            dry_run: false,
            headers: LimitHeaders::Legacy,
            on_redis_down: OnRedisDown::Local,
        }
    }
}
