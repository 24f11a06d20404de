//! All targets of a process by their URLs, so that whoever names one means the same, with its circuit and its counts.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use super::criteria::Criteria;
use super::target::Target;
use crate::breaker::Policy;
use crate::config::HealthCheck;
use crate::config::units::TargetUrl;

/// What a target is made by.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// What counts as a failure.
    pub criteria: Criteria,
    /// What opens its breaker; without, nobody asks it.
    pub policy: Option<Policy>,
    /// How it is asked whether it is well, if it is.
    pub check: Option<HealthCheck>,
}

/// Targets that are in use.
#[derive(Debug, Default)]
pub struct Registry {
    known: Mutex<HashMap<String, Weak<Target>>>,
}

impl Registry {
    /// The target at `url`, made by `blueprint` if it is new, and whether it is.
    pub fn target(&self, url: &TargetUrl, blueprint: &Blueprint, now: Instant) -> (Arc<Target>, bool) {
        let mut known = self.known.lock();
        if let Some(target) = known.get(url.as_str()).and_then(Weak::upgrade) {
            return (target, false);
        }
        known.retain(|_, target| target.strong_count() > 0);
        let target = Arc::new(Target::new(url.clone(), blueprint.clone(), now));
        known.insert(url.as_str().to_owned(), Arc::downgrade(&target));
        (target, true)
    }

    /// All that are in use, by URL.
    pub fn all(&self) -> Vec<Arc<Target>> {
        let mut all: Vec<Arc<Target>> = self.known.lock().values().filter_map(Weak::upgrade).collect();
        all.sort_by(|a, b| a.url.as_str().cmp(b.url.as_str()));
        all
    }
}
