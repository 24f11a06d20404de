//! The routes of one host: the longest path on whole segments first, and of those for one path the most particular.

use std::cmp::Reverse;
use std::collections::HashMap;

use smallvec::SmallVec;

use super::fields::FieldMatch;
use super::methods::Methods;
use super::table::Asked;

/// Path prefixes and what they lead to.
#[derive(Debug)]
pub struct Paths<T> {
    by_prefix: HashMap<Box<str>, Candidates<T>>,
    /// Segments of the deepest prefix.
    depth: usize,
}

type Candidates<T> = SmallVec<[Candidate<T>; 1]>;

/// A route for a path.
#[derive(Debug)]
pub struct Candidate<T> {
    /// `None`: any.
    methods: Option<Methods>,
    fields: Vec<FieldMatch>,
    route: T,
    /// It takes `HEAD` since it takes `GET`.
    is_implied: bool,
}

impl<T: Clone> Paths<T> {
    /// These, in the order of the config; each prefix is in normal form.
    pub fn new(routes: Vec<(String, Candidate<T>)>) -> Self {
        let mut by_prefix: HashMap<Box<str>, Candidates<T>> = HashMap::new();
        for (path, candidate) in routes {
            let candidates = by_prefix.entry(path.trim_end_matches('/').into()).or_default();
            candidates.extend(candidate.for_head());
            candidates.push(candidate);
        }
        for candidates in by_prefix.values_mut() {
            candidates.sort_by_key(|one| (one.methods.is_none(), Reverse(one.fields.len()), one.is_implied));
        }
        let depth = by_prefix.keys().map(|path| path.matches('/').count()).max().unwrap_or(0);
        Paths { by_prefix, depth }
    }

    /// The route that takes a request. The methods that others would take it with are added to `allow`.
    pub fn find(&self, asked: &Asked<'_>, allow: &mut Methods) -> Option<&T> {
        // The end of every whole-segment prefix that can be here, the longest first.
        let path = asked.path;
        let mut end = path.match_indices('/').nth(self.depth).map_or(path.len(), |(slash, _)| slash);
        loop {
            let prefix = path[..end].trim_end_matches('/');
            let mut candidates = self.by_prefix.get(prefix).into_iter().flatten();
            if let Some(found) = candidates.find(|candidate| candidate.takes(asked, allow)) {
                return Some(&found.route);
            }
            end = prefix.rfind('/')?;
        }
    }
}

impl<T: Clone> Candidate<T> {
    /// A route for these methods and fields.
    pub fn new(methods: Option<Methods>, fields: Vec<FieldMatch>, route: T) -> Self {
        Candidate { methods, fields, route, is_implied: false }
    }

    /// Who takes `GET` takes `HEAD` (RFC 9110, section 9.3.2), after all those that ask for it by name.
    fn for_head(&self) -> Option<Self> {
        let is_implied = self.methods.is_some_and(|own| own.has(Methods::GET) && !own.has(Methods::HEAD));
        is_implied.then(|| Candidate {
            methods: Some(Methods::HEAD),
            fields: self.fields.clone(),
            route: self.route.clone(),
            is_implied,
        })
    }

    fn takes(&self, asked: &Asked<'_>, allow: &mut Methods) -> bool {
        let has_fields = || self.fields.iter().all(|field| field.takes(asked.headers));
        match self.methods {
            Some(methods) if !methods.has(Methods::only(asked.method)) => {
                if has_fields() {
                    *allow = allow.or(methods);
                }
                false
            }
            _ => has_fields(),
        }
    }
}
