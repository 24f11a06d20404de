//! What became of a request, step by step: written down as it happens, where somebody may ask for it later.
//!
//! Cheap, since it is done for every request: texts are made when somebody asks. It holds on to nothing of the request itself,
//! whose header fields may be large.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::plugin::Facts;
use crate::upstream::pool::Skip;
use crate::upstream::tried::Tried;

/// So many targets are told of that were passed over; the rest is most likely the same.
const MOST_PASSED_OVER: usize = 100;

/// The steps of one request, in their order.
#[derive(Debug, Default)]
pub struct Trail {
    /// The plugins that were asked.
    pub verdicts: SmallVec<[Verdict; 2]>,
    /// The targets that were passed over.
    pub passed_over: Vec<PassedOver>,
    /// The attempts that are over.
    pub attempts: SmallVec<[Tried; 1]>,
}

impl Trail {
    /// A target is passed over at `now`, after so many attempts.
    pub fn pass_over(&mut self, target: &Arc<str>, why: Skip, after: usize, now: Instant) {
        if self.passed_over.len() < MOST_PASSED_OVER {
            self.passed_over.push(PassedOver { target: target.clone(), after, why, seen: now });
        }
    }
}

/// What a plugin said.
#[derive(Debug)]
pub struct Verdict {
    /// Its name in the config.
    pub plugin: &'static str,
    /// When it was asked, from the request's beginning on.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// The code of its refusal, and what it says.
    pub refused: Option<(&'static str, Cow<'static, str>)>,
    /// What it went by.
    pub facts: Option<Facts>,
}

/// A target that was passed over.
#[derive(Clone, Debug)]
pub struct PassedOver {
    /// Its URL.
    pub target: Arc<str>,
    /// How many attempts there had been.
    pub after: usize,
    /// Why.
    pub why: Skip,
    /// When that was.
    pub seen: Instant,
}
