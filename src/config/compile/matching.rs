//! `path:`, `host:`, `methods:` and `matchHeaders:`, and whether every route can come to take something.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::hash::Hash;

use http::{HeaderName, header};

use super::{Compiler, at_route};
use crate::config::file;
use crate::config::located::{Located, OneOrMany};
use crate::config::model::Route;
use crate::downstream::headers::{X_USER_ID, plain};
use crate::plugin::rate_limit::key::is_credential;
use crate::routing::fields::{FieldMatch, Test};
use crate::routing::matcher::{Matcher, Shadow, shadows};
use crate::routing::methods::Methods;
use crate::routing::path::other_readings;

impl Compiler<'_> {
    pub(super) fn matcher(&mut self, written: &Located<file::Route>) -> Matcher {
        let route = at_route(written);
        if written.path.as_str() == "/gateway" || written.path.as_str().starts_with("/gateway/") {
            let message = "/gateway is the gateway's own; choose another path";
            self.error(written.path.at, format!("{route}.path"), message);
        }
        if !other_readings(written.path.as_str().trim_end_matches('/')).is_empty() {
            let message = "a request of this path could be another one's to the server behind, and is refused; write it without ; and encoded slashes";
            self.error(written.path.at, format!("{route}.path"), message);
        }
        let methods = self.distinct(&written.methods, &format!("{route}.methods"), "method");
        Matcher {
            path: written.path.as_str().to_owned(),
            hosts: self.distinct(&written.host, &format!("{route}.host"), "host"),
            methods: methods.into_iter().reduce(Methods::or),
            fields: self.match_fields(written, &format!("{route}.matchHeaders")),
        }
    }

    /// A list that, if it is there, has something in it, and nothing twice.
    fn distinct<T: Clone + Eq + Hash + Display>(
        &mut self,
        written: &Option<Located<OneOrMany<Located<T>>>>,
        path: &str,
        what: &str,
    ) -> Vec<T> {
        let (mut list, mut seen) = (Vec::new(), HashSet::new());
        let Some(written) = written else { return list };
        if written.iter().len() == 0 && !self.told_of(path) {
            self.error(written.at, path, format!("there is no {what}; remove it to take every {what}"));
        }
        for one in written.iter() {
            match seen.insert(&one.value) {
                false => {
                    let message = format!("{} is in the list already; keep one", one.value);
                    self.error(one.at, format!("{path}[{}]", one.index), message);
                }
                true => list.push(one.value.clone()),
            }
        }
        list
    }

    fn match_fields(&mut self, written: &Located<file::Route>, path: &str) -> Vec<FieldMatch> {
        let mut fields: Vec<FieldMatch> = Vec::new();
        for (name, test) in written.match_headers.iter().flat_map(|block| &block.value) {
            let path = format!("{path}.{name}");
            let Ok(known) = HeaderName::try_from(name) else {
                self.error(test.at, path, format!("\"{name}\" is no header name; write one such as x-version"));
                continue;
            };
            if known == header::HOST {
                self.error(test.at, &path, "hosts have a key of their own; write host beside path");
            }
            if fields.iter().any(|field| field.name == known) {
                self.error(test.at, path, format!("{known} is there already; keep one"));
                continue;
            }
            let is_hidden = test.value.0 != Test::Present && (test.is_filled || is_credential(known.as_str()));
            if is_hidden && written.name.is_none() {
                let message = "it may be a secret, and a route is called by what it takes, which anybody may read; write name beside path";
                self.error(test.at, path, message);
            }
            fields.push(FieldMatch { name: known, test: test.value.0.clone(), is_hidden });
        }
        fields.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        fields
    }

    /// Each route can come to take something, and has a name of its own.
    pub(super) fn routes_differ(&mut self, written: &[Located<file::Route>], routes: &[Route]) {
        let matchers: Vec<Matcher> = routes.iter().map(|route| route.matcher.clone()).collect();
        // What was wrong has been left out: what is left need not be what is meant.
        let is_whole = |route: &usize| {
            let path = at_route(&written[*route]);
            !["host", "methods", "matchHeaders"].iter().any(|key| self.told_of(&format!("{path}.{key}")))
        };
        let are_whole = |shadow: &Shadow| is_whole(&shadow.route) && shadow.by.iter().all(is_whole);
        let shadows: Vec<Shadow> = shadows(&matchers).into_iter().filter(are_whole).collect();
        for Shadow { route, host, by } in shadows {
            let (own, path) = (&written[route], at_route(&written[route]));
            let hosts = own.host.iter().flat_map(|hosts| hosts.value.iter());
            let host = host.and_then(|host| hosts.into_iter().find(|one| one.value == matchers[route].hosts[host]));
            let (at, path, of) = match host {
                Some(host) => (host.at, format!("{path}.host[{}]", host.index), format!(" for {}", host.value)),
                None => (own.path.at, format!("{path}.path"), String::new()),
            };
            let first: Vec<String> = by.iter().map(|other| at_route(&written[*other])).collect();
            let (first, come) =
                (first.join(" and "), if by.len() == 1 { "comes first and takes" } else { "come first and take" });
            let message = format!(
                "no request{of} gets here, since {first} {come} all of them; choose another path, host, methods, matchHeaders or order"
            );
            self.error(at, path, message);
        }
        self.names_differ(written, routes);
    }

    /// What clients cannot say is nothing to choose a route by.
    pub(super) fn fields_can_come(
        &mut self,
        written: &[Located<file::Route>],
        routes: &[Route],
        identity: &[HeaderName],
    ) {
        let identity: HashSet<_> = identity.iter().chain([&X_USER_ID]).map(|name| plain(name.as_str())).collect();
        for (written, route) in written.iter().zip(routes) {
            for field in &route.matcher.fields {
                if identity.contains(&plain(field.name.as_str())) {
                    let mut own = written.match_headers.iter().flat_map(|block| &block.value);
                    let own = own.find(|(name, _)| name.eq_ignore_ascii_case(field.name.as_str()));
                    let at = own.map_or(written.at, |(_, test)| test.at);
                    let path = format!("{}.matchHeaders.{}", at_route(written), field.name);
                    let message = "it says who the user is, so it is taken from every request; choose another field";
                    self.error(at, path, message);
                }
            }
        }
    }

    fn names_differ(&mut self, written: &[Located<file::Route>], routes: &[Route]) {
        let mut seen: HashMap<&str, &Located<file::Route>> = HashMap::new();
        for (written, route) in written.iter().zip(routes) {
            let first = *seen.entry(route.name.as_str()).or_insert(written);
            // Of two that are made of the same, it has been said that one takes all.
            if let Some(name) = written.name.as_ref().filter(|_| !std::ptr::eq(first, written)) {
                let message = format!("{} is the name of {} already; choose another", route.name, at_route(first));
                self.error(name.at, format!("{}.name", at_route(written)), message);
            }
        }
    }
}
