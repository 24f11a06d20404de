//! A request under way.

use std::time::Instant;

use http::Method;

use crate::rng::Rng;
use crate::upstream::attempt::Attempt;
use crate::upstream::retry::Request;

/// One request.
pub struct Flight {
    /// What it is to do.
    pub method: Method,
    /// Whether it has an `Idempotency-Key`.
    pub has_key: bool,
    /// Of what it shares with others.
    pub hash: u64,
    /// Targets that it was sent to, by id.
    pub tried: Vec<u32>,
    /// How often it was sent.
    pub sent: u32,
    /// Whether the client has the head of an answer.
    pub is_answered: bool,
    /// Since when the breaker waits to hear of the attempt, if it was asked.
    pub counts: Option<Instant>,
    /// The attempt, and the number of its target.
    pub attempt: Option<(Attempt, usize)>,
}

impl Flight {
    /// A new one.
    pub fn draw(rng: &mut Rng) -> Self {
        Flight {
            method: [Method::GET, Method::GET, Method::PUT, Method::POST][rng.below(4) as usize].clone(),
            has_key: rng.below(8) == 0,
            hash: crate::upstream::hash::of(&rng.below(1_000).to_be_bytes()),
            tried: Vec::new(),
            sent: 0,
            is_answered: false,
            counts: None,
            attempt: None,
        }
    }

    /// As retries see it.
    pub fn seen(&self) -> Request<'_> {
        Request {
            method: &self.method,
            has_key: self.has_key,
            sent: self.sent,
            is_kept: true,
            is_answered: self.is_answered,
        }
    }
}
