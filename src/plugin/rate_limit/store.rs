//! Where counters are kept: in Redis while it is there, else in this process.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue};

use super::Verdict;
use super::fingerprint::Hasher;
use super::memory::Memory;
use super::redis::{Health, Redis};
use super::rule::{Asked, Rule};
use crate::clock;
use crate::config::OnRedisDown;

/// The counters of all rules of a process.
#[derive(Debug)]
pub struct Store {
    hasher: Arc<Hasher>,
    memory: Arc<Memory>,
    redis: Option<Arc<Redis>>,
}

/// Where a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In Redis, for all replicas.
    Redis,
    /// In this process.
    Memory,
}

impl Place {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Place::Redis => "redis",
            Place::Memory => "memory",
        }
    }
}

impl Store {
    /// Counters in `redis` if there is one, with this process as the stand-in.
    pub fn new(redis: Option<Arc<Redis>>, now: Instant) -> Self {
        Store { hasher: Arc::default(), memory: Arc::new(Memory::new(now)), redis }
    }

    /// The same with another Redis, or with none: what this process has counted goes on.
    pub fn with(self: &Arc<Self>, redis: Option<Arc<Redis>>) -> Arc<Self> {
        match (&self.redis, &redis) {
            (None, None) => self.clone(),
            (Some(mine), Some(other)) if Arc::ptr_eq(mine, other) => self.clone(),
            _ => Arc::new(Store { hasher: self.hasher.clone(), memory: self.memory.clone(), redis }),
        }
    }

    /// What fingerprints of counters are made with.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// Decides on one request.
    pub async fn take(&self, asked: Asked, now: Instant) -> Verdict {
        let count = |asked: Asked, now: Instant| {
            let decision = self.memory.take(&asked, now);
            Verdict::Counted(asked, decision, Place::Memory)
        };
        match &self.redis {
            None => count(asked, now),
            Some(redis) => match redis.take(&asked, now).await {
                Some(decision) => Verdict::Counted(asked, decision, Place::Redis),
                // It has been waited for.
                None => self.without_redis(asked, |asked| count(asked, clock::now())),
            },
        }
    }

    /// What [`Store::take`] would decide; nothing is counted. What is `remaining` is so before the request.
    pub async fn peek(&self, asked: Asked, now: Instant) -> Verdict {
        let look = |asked: Asked| {
            let decision = self.memory.peek(&asked, now);
            Verdict::Counted(asked, decision, Place::Memory)
        };
        match &self.redis {
            None => look(asked),
            Some(redis) => match redis.peek(&asked, now).await {
                Some(decision) => Verdict::Counted(asked, decision, Place::Redis),
                None => self.without_redis(asked, look),
            },
        }
    }

    /// What becomes of a request while Redis is away; `count` does so in this process.
    fn without_redis(&self, asked: Asked, count: impl Fn(Asked) -> Verdict) -> Verdict {
        let says = |rule: &Rule, what| rule.on_redis_down == what;
        let rules = || asked.counters.iter().map(|counted| asked.rule(counted));
        if rules().all(|rule| says(rule, OnRedisDown::Local)) {
            return count(asked);
        }
        if rules().any(|rule| says(rule, OnRedisDown::Deny) && !rule.dry_run) {
            return Verdict::Unavailable;
        }
        match asked.of_rules(&self.hasher, |rule| says(rule, OnRedisDown::Local)) {
            Some(asked) => count(asked),
            None => Verdict::Uncounted,
        }
    }

    /// A request that has been counted is answered at `now`, with these `headers`: what it cost beyond what was
    /// taken is counted, too.
    pub fn settle(self: &Arc<Self>, asked: Asked, headers: &HeaderMap, now: Instant) {
        let Some(rest) = asked.rest(&self.hasher, |rule| price(headers.get(rule.cost_header.as_ref()?)?)) else {
            return;
        };
        let Some(redis) = &self.redis else { return self.memory.charge(&rest, now) };
        let Ok(counted) = redis.charge(&rest) else { return self.stand_in(rest, now) };
        // The answer does not wait for that.
        let store = self.clone();
        tokio::spawn(async move {
            if counted.await.is_err() {
                store.stand_in(rest, clock::now());
            }
        });
    }

    /// Counts what Redis cannot be told of, as far as this process counts then.
    fn stand_in(&self, rest: Asked, now: Instant) {
        if let Some(rest) = rest.of_rules(&self.hasher, |rule| rule.on_redis_down == OnRedisDown::Local) {
            self.memory.charge(&rest, now);
        }
    }

    /// How the servers of Redis are, where one is configured.
    pub fn redis_health(&self) -> Option<Vec<Health>> {
        self.redis.as_ref().map(|redis| redis.health())
    }

    /// The link to Redis, where one is configured.
    pub fn redis(&self) -> Option<&Arc<Redis>> {
        self.redis.as_ref()
    }
}

/// What an answer says that its request has cost: a number, however large.
fn price(said: &HeaderValue) -> Option<u32> {
    let digits = said.as_bytes().trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| str::from_utf8(digits).ok()?.parse().ok()).map(|number| number.unwrap_or(u32::MAX))
}
