//! Finding the route of a request.
//!
//! What is more particular comes first, and the first of these that differs decides: the host (itself, then the longest
//! wildcard, then all hosts), the longest path, having methods, having more header fields, the order of the config.
//!
//! A route that is first and does not take the request for its method or fields is passed over for the next.

use std::collections::HashMap;

use http::{HeaderMap, Method};

use super::host::{self, HostPattern};
use super::matcher::Matcher;
use super::methods::Methods;
use super::paths::{Candidate, Paths};

/// What of a request its route depends on.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// `Host`, or what stands for it.
    pub authority: Option<&'r [u8]>,
    /// The path in normal form.
    pub path: &'r str,
    /// The method.
    pub method: &'r Method,
    /// All fields that decisions may go by.
    pub headers: &'r HeaderMap,
}

/// No route takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miss {
    /// With one of these in place of its own method, one would.
    pub allow: Methods,
}

/// Which requests lead where.
///
/// A lookup costs one hash for each host that may be meant and each segment of the path, never more than the longest in the table
/// have, and does not depend on the number of routes; only those for one host and path are looked at one by one.
#[derive(Debug)]
pub struct Table<T> {
    hosts: Option<Hosts<T>>,
    any: Paths<T>,
}

#[derive(Debug)]
struct Hosts<T> {
    exact: HashMap<Box<str>, Paths<T>>,
    below: HashMap<Box<str>, Paths<T>>,
    /// Labels of the longest in `below`.
    depth: usize,
}

impl<T: Clone> Table<T> {
    /// A table of these routes in their order, whose paths are in normal form.
    pub fn new(routes: impl IntoIterator<Item = (Matcher, T)>) -> Self {
        let mut by_host: HashMap<Option<HostPattern>, Vec<(String, Candidate<T>)>> = HashMap::new();
        for (matcher, route) in routes {
            for host in matcher.each_host() {
                let candidate = Candidate::new(matcher.methods, matcher.fields.clone(), route.clone());
                by_host.entry(host.cloned()).or_default().push((matcher.path.clone(), candidate));
            }
        }
        let any = Paths::new(by_host.remove(&None).unwrap_or_default());
        Table { hosts: (!by_host.is_empty()).then(|| Hosts::new(by_host)), any }
    }

    /// The route that takes a request.
    ///
    /// # Errors
    /// None does, and what would have to be another for that.
    pub fn find(&self, asked: &Asked<'_>) -> Result<&T, Miss> {
        let mut miss = Miss { allow: Methods::NONE };
        if let Some(hosts) = &self.hosts
            && let Some(host) = asked.authority.and_then(host::of)
            && let Some(found) = hosts.find(&host, asked, &mut miss.allow)
        {
            return Ok(found);
        }
        self.any.find(asked, &mut miss.allow).ok_or(miss)
    }
}

impl<T: Clone> Hosts<T> {
    fn new(by_host: HashMap<Option<HostPattern>, Vec<(String, Candidate<T>)>>) -> Self {
        let mut hosts = Hosts { exact: HashMap::new(), below: HashMap::new(), depth: 0 };
        for (host, routes) in by_host {
            match host {
                Some(HostPattern::Exact(host)) => drop(hosts.exact.insert(host.into(), Paths::new(routes))),
                Some(HostPattern::Below(host)) => {
                    hosts.depth = hosts.depth.max(host.split('.').count());
                    hosts.below.insert(host.into(), Paths::new(routes));
                }
                None => {}
            }
        }
        hosts
    }

    /// What there is for `host`, in normal form: for itself, then for what is behind its dots, the longest first.
    fn find(&self, host: &str, asked: &Asked<'_>, allow: &mut Methods) -> Option<&T> {
        let mut found = self.exact.get(host).and_then(|paths| paths.find(asked, allow));
        let longest = host.rmatch_indices('.').take(self.depth).last();
        let mut rest = longest.map(|(dot, _)| &host[dot + 1..]);
        while let (None, Some(above)) = (&found, rest) {
            found = self.below.get(above).and_then(|paths| paths.find(asked, allow));
            rest = above.split_once('.').map(|(_, rest)| rest);
        }
        found
    }
}

#[cfg(test)]
mod tests;
