//! `rateLimit`: so many requests per client and window, and 429 for more.
//!
//! Exact in either place the counters are kept: in Redis, shared between replicas ([`redis`]), or in this
//! process ([`memory`]), which also stands in while Redis is away. Both run the same [`algorithm`]s. A
//! request that is refused uses up nothing.

pub mod algorithm;
pub mod busiest;
mod facts;
pub mod fingerprint;
mod headers;
pub mod key;
pub mod memory;
pub mod redis;
pub mod rule;
mod store;

use std::sync::Arc;

use async_trait::async_trait;

use self::algorithm::Decision;
use self::rule::{Asked, Limits};
pub use self::store::{Place, Store};
use super::{Plugin, Request};
use crate::refusal::Refusal;

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// It was counted, or there was no room for it; by these counters.
    Counted(Asked, Decision, Place),
    /// Nobody could count it, and it may pass for that.
    Uncounted,
    /// Nobody could count it, and it must not pass for that.
    Unavailable,
}

/// The plugin of one route.
#[derive(Debug)]
pub struct RateLimit {
    limits: Arc<Limits>,
    store: Arc<Store>,
}

impl RateLimit {
    /// Applies `limits`, counting in `store`.
    pub fn new(limits: Arc<Limits>, store: Arc<Store>) -> Self {
        RateLimit { limits, store }
    }
}

#[async_trait]
impl Plugin for RateLimit {
    fn name(&self) -> &'static str {
        "rateLimit"
    }

    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        let Some(asked) = self.limits.ask(request, self.store.hasher()) else { return Ok(()) };
        let verdict = self.store.take(asked, request.now).await;
        self.limits.tally.note(&verdict);
        if request.notes.is_explained {
            self.limits.tally.note_client(&verdict, request.now);
        }
        request.notes.explain(|| facts::of(&verdict));
        match verdict {
            Verdict::Counted(asked, decision, _) => {
                headers::add(request.notes, &asked, &decision.views);
                if !decision.allowed {
                    return Err(Refusal::RateLimited { retry_after: decision.retry_after });
                }
                if self.limits.are_settled_later() {
                    let store = self.store.clone();
                    request.notes.on_answer(move |headers, now| store.settle(asked, headers, now));
                }
                Ok(())
            }
            Verdict::Uncounted => Ok(()),
            Verdict::Unavailable => Err(Refusal::LimiterUnavailable),
        }
    }

    async fn preview(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        let Some(asked) = self.limits.ask(request, self.store.hasher()) else { return Ok(()) };
        let verdict = self.store.peek(asked, request.now).await;
        request.notes.explain(|| facts::of(&verdict));
        match verdict {
            Verdict::Counted(_, Decision { allowed: false, retry_after, .. }, _) => {
                Err(Refusal::RateLimited { retry_after })
            }
            Verdict::Counted(..) | Verdict::Uncounted => Ok(()),
            Verdict::Unavailable => Err(Refusal::LimiterUnavailable),
        }
    }
}
