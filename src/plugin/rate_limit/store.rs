//! Where counters are kept: in Redis while it is there, else in this process.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::memory::Memory;
use super::redis::{Health, Redis};
use super::{Client, Rule, Verdict};
use crate::config::OnRedisDown;

/// The counters of all rules of a process.
#[derive(Debug)]
pub struct Store {
    memory: Memory,
    redis: Option<Arc<Redis>>,
}

impl Store {
    /// Counters in `redis` if there is one, with this process as the stand-in.
    pub fn new(redis: Option<Arc<Redis>>, now: Instant) -> Self {
        Store { memory: Memory::new(now), redis }
    }

    /// Decides on one request of the client at `ip`.
    pub async fn take(&self, rule: &Rule, ip: IpAddr, now: Instant) -> Verdict {
        let client = Client::of(ip);
        if let Some(redis) = &self.redis {
            match (redis.take(rule, client, now).await, rule.on_redis_down) {
                (Some(decision), _) => return Verdict::Counted(decision),
                (None, OnRedisDown::Local) => {}
                (None, OnRedisDown::Allow) => return Verdict::Uncounted,
                (None, OnRedisDown::Deny) => return Verdict::Unavailable,
            }
        }
        Verdict::Counted(self.memory.take(rule, client, now).decision(&rule.quota, 1))
    }

    /// The state of Redis, where one is configured.
    pub fn redis_health(&self) -> Option<Health> {
        self.redis.as_ref().map(|redis| redis.health())
    }

    /// The link to Redis, where one is configured.
    pub fn redis(&self) -> Option<&Arc<Redis>> {
        self.redis.as_ref()
    }
}
