//! Targets as they are out there, and what comes of a request that is sent to one.

use std::time::Duration;

use super::scenario::{CONNECT, FIRST_BYTE};
use crate::rng::Rng;

/// How a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It answers in so many milliseconds, give or take half.
    Well(u64),
    /// Its machine says that nobody listens.
    Refuses,
    /// Its machine says nothing.
    Away,
    /// It takes requests and never answers.
    Hangs,
    /// It answers 500 or 503.
    Fails,
    /// It answers one of two in that way.
    Flaps,
    /// It resets connections before it has answered.
    Resets,
    /// It begins to answer and breaks off.
    Cuts,
}

/// What the gateway will see of an attempt, and after how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// No connection came about.
    NoConnection,
    /// There is no answer yet, and that is enough.
    Timeout,
    /// The connection broke.
    Broken,
    /// The head of an answer with this status, whose end comes after so long, if it comes.
    Head(u16, Option<Duration>),
    /// The end of the answer.
    End,
}

impl Mood {
    /// Another one; half of them well.
    pub fn draw(rng: &mut Rng) -> Self {
        let bad = [Mood::Refuses, Mood::Away, Mood::Hangs, Mood::Fails, Mood::Flaps, Mood::Resets, Mood::Cuts];
        match rng.below(16) {
            // Slower than the breaker or the client would like, and not too slow.
            0 => Mood::Well(1_500),
            kind @ 1..=7 => bad[kind as usize - 1],
            _ => Mood::Well(5 + rng.below(100)),
        }
    }

    /// What is seen first of an attempt, which may take `per_try` to be answered.
    pub fn meet(self, per_try: Option<Duration>, rng: &mut Rng) -> (Duration, Sight) {
        let millis = Duration::from_millis;
        let head = |millis_to: u64, status, ends, rng: &mut Rng| {
            let took = millis(millis_to / 2 + rng.below(millis_to.max(1)));
            (took, Sight::Head(status, ends))
        };
        let rest = Some(millis(rng.below(50)));
        let (took, sight) = match self {
            Mood::Well(latency) => head(latency, 200, rest, rng),
            Mood::Refuses => return (millis(1), Sight::NoConnection),
            Mood::Away => return (per_try.unwrap_or(Duration::MAX).min(millis(CONNECT)), Sight::NoConnection),
            Mood::Hangs => (Duration::MAX, Sight::Timeout),
            Mood::Fails => head(20, if rng.below(2) == 0 { 500 } else { 503 }, rest, rng),
            Mood::Flaps => head(20, if rng.below(2) == 0 { 500 } else { 200 }, rest, rng),
            Mood::Resets => (millis(10), Sight::Broken),
            Mood::Cuts => head(20, 200, None, rng),
        };
        let patience = per_try.unwrap_or(Duration::MAX).min(millis(FIRST_BYTE));
        if took < patience { (took, sight) } else { (patience, Sight::Timeout) }
    }
}
