//! `routes:`, with what they inherit from `defaults:`.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{Compiler, at_route};
use crate::config::file::{self, Policies, Switch};
use crate::config::located::Located;
use crate::config::model::{Breaker, Plugins, Route, Timeouts};

impl Compiler<'_> {
    pub(super) fn route(&mut self, written: &Located<file::Route>, defaults: &Policies) -> Route {
        let path = at_route(written);
        if written.targets.is_empty() && !self.told_of(&format!("{path}.targets")) {
            self.error(written.targets.at, format!("{path}.targets"), "there is no target; write [http://HOST:PORT]");
        }
        let mut targets = Vec::new();
        for target in written.targets.iter() {
            if targets.contains(&target.url) {
                self.error(
                    target.at,
                    format!("{path}.targets[{}]", target.index),
                    format!("{} is in the list already; keep one", target.url),
                );
            } else {
                targets.push(target.url.clone());
            }
        }
        let timeouts = written.timeouts.or(defaults.timeouts).unwrap_or_default();
        let limit = written.plugins.rate_limit.as_ref().or(defaults.plugins.rate_limit.as_ref());
        let auth = written.plugins.auth.as_ref().or(defaults.plugins.auth.as_ref());
        let auth = auth.is_some_and(|auth| matches!(auth.value, Switch::On(_)));
        let block = written.breaker.as_ref().or(defaults.breaker.as_ref()).map(|block| &block.value);
        Route {
            path: written.path.as_str().to_owned(),
            targets,
            timeouts: Timeouts {
                connect: timeouts.connect.map_or(Duration::from_secs(2), |period| period.0.0),
                read: timeouts.read.map_or(Duration::from_secs(60), |period| period.0.0),
            },
            breaker: breaker(block),
            plugins: Plugins {
                auth,
                rate_limit: limit.map_or_else(Vec::new, |limit| self.rate_limits(limit, &path, auth)),
            },
        }
    }

    pub(super) fn unique_paths(&mut self, routes: &[Located<file::Route>]) {
        let mut seen: HashMap<&str, String> = HashMap::new();
        for route in routes {
            let (path, at) = (route.path.as_str(), format!("{}.path", at_route(route)));
            if path == "/gateway" || path.starts_with("/gateway/") {
                self.error(route.path.at, &at, "/gateway is the gateway's own; choose another path");
            }
            if let Some(first) = seen.get(path) {
                self.error(route.path.at, at, format!("{path} is the path of {first} already; choose another"));
            } else {
                seen.insert(path, at_route(route));
            }
        }
    }

    /// A target has one breaker, whichever routes name it, so they have to agree on it.
    pub(super) fn one_breaker_a_target(&mut self, written: &[Located<file::Route>], routes: &[Route]) {
        let mut first: HashMap<&str, (&Located<file::Route>, &Breaker)> = HashMap::new();
        for (written, route) in written.iter().zip(routes) {
            let Some(breaker) = &route.breaker else { continue };
            for target in &route.targets {
                let (theirs, other) = *first.entry(target.as_str()).or_insert((written, breaker));
                if other != breaker {
                    let at = written.breaker.as_ref().map_or(written.at, |breaker| breaker.at);
                    let theirs = at_route(theirs);
                    self.error(
                        at,
                        format!("{}.breaker", at_route(written)),
                        format!("{target} is a target of {theirs} too, with another breaker; a target has one: write the same in both, or off"),
                    );
                    break;
                }
            }
        }
    }
}

/// The breaker that a block describes; without a block, the default one.
fn breaker(written: Option<&Switch<file::Breaker>>) -> Option<Breaker> {
    let none = file::Breaker::default();
    let written = match written {
        Some(Switch::Off) => return None,
        Some(Switch::On(written)) => written,
        None => &none,
    };
    Some(Breaker {
        failures: written.failures.map_or(const { NonZeroU32::new(3).expect("3 is not 0") }, |count| count.0),
        cooldown: written.cooldown.map_or(Duration::from_secs(60), |period| period.0.0),
        statuses: written.statuses.as_ref().map_or_else(Breaker::default_statuses, |ranges| ranges.0.clone()),
    })
}
