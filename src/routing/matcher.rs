//! What a route takes, and which routes can never take anything.

use std::collections::HashMap;

use http::{HeaderName, Method};
use serde::{Serialize, Serializer};

use super::fields::{self, FieldMatch, Test};
use super::host::{self, HostPattern};
use super::methods::Methods;
use super::table::Asked;

/// Which requests a route takes: those that are all of this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    /// The path prefix, `/` or without a trailing slash.
    pub path: String,
    /// One of these; without any, every host.
    #[serde(rename = "host", skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostPattern>,
    /// `None`: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Methods>,
    /// All of these, by name.
    #[serde(rename = "matchHeaders", skip_serializing_if = "Vec::is_empty", serialize_with = "as_block")]
    pub fields: Vec<FieldMatch>,
}

impl Matcher {
    /// One for all requests below a path.
    pub fn path(path: impl Into<String>) -> Self {
        Matcher { path: path.into(), hosts: Vec::new(), methods: None, fields: Vec::new() }
    }

    /// All of it in a word, which is the path where there is no more: `GET,POST|api.example.com/users?x-version=2`. None of the
    /// signs can be in what stands before it, so that no two that differ have the same.
    pub fn text(&self) -> String {
        let methods = self.methods.map_or_else(String::new, |methods| methods.to_string().replace(", ", ",") + "|");
        let mut hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        hosts.sort_unstable();
        let query = if self.fields.is_empty() { "" } else { "?" };
        [methods, hosts.join(","), self.path.clone(), query.to_owned(), fields::text(&self.fields)].concat()
    }

    fn exact_values(&self) -> Values<'_> {
        let tests = self.fields.iter().map(|field| &field.test);
        tests.map(|test| if let Test::Exact(value) = test { Some(value.as_str()) } else { None }).collect()
    }

    /// Each of its hosts, or that there is none.
    pub fn each_host(&self) -> impl Iterator<Item = Option<&HostPattern>> {
        self.hosts.iter().map(Some).chain(self.hosts.is_empty().then_some(None))
    }
}

/// What a request lacks that a route asks for, which its path is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It is for another host.
    Host,
    /// It has another method.
    Method,
    /// It lacks this field, or has another value there.
    Field(HeaderName),
}

impl Matcher {
    /// Whether a path in normal form is under that of the route.
    pub fn is_over(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.path.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What a request lacks whose path is under that of the route, if anything.
    pub fn lack(&self, asked: &Asked<'_>) -> Option<Lack> {
        let host = asked.authority.and_then(host::of);
        let has_host = |pattern: &HostPattern| host.as_ref().is_some_and(|host| pattern.takes(host));
        if !self.hosts.is_empty() && !self.hosts.iter().any(has_host) {
            return Some(Lack::Host);
        }
        let own = match asked.method {
            // RFC 9110, section 9.3.2.
            &Method::HEAD => Methods::HEAD.or(Methods::GET),
            method => Methods::only(method),
        };
        if self.methods.is_some_and(|methods| !methods.meets(own)) {
            return Some(Lack::Method);
        }
        let other = self.fields.iter().find(|field| !field.takes(asked.headers));
        other.map(|field| Lack::Field(field.name.clone()))
    }
}

fn as_block<S: Serializer>(fields: &[FieldMatch], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(fields.iter().map(|field| (field.name.as_str(), Shown(field))))
}

struct Shown<'f>(&'f FieldMatch);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.is_hidden {
            true => serializer.serialize_str("********"),
            false => self.0.test.serialize(serializer),
        }
    }
}

/// A host of a route, or the whole of one that has none, for which others take all that it could take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The route.
    pub route: usize,
    /// Which of its hosts.
    pub host: Option<usize>,
    /// Who is before it.
    pub by: Vec<usize>,
}

/// All shadows, in the order of `matchers`. Only routes that rank alike can stand in each other's way: more hosts, longer
/// paths and more of anything else come first, and take less.
pub fn shadows(matchers: &[Matcher]) -> Vec<Shadow> {
    type Rank<'m> = (Option<&'m HostPattern>, &'m str, bool, Vec<&'m str>);
    let mut known: HashMap<Rank<'_>, Earlier<'_>> = HashMap::new();
    let mut shadows = Vec::new();
    for (route, matcher) in matchers.iter().enumerate() {
        let values = matcher.exact_values();
        for (place, host) in matcher.each_host().enumerate() {
            let names = matcher.fields.iter().map(|field| field.name.as_str()).collect();
            let earlier = known.entry((host, &matcher.path, matcher.methods.is_some(), names)).or_default();
            let by = blockers(matcher, earlier.like(&values).into_iter().map(|other| (other, &matchers[other])));
            if !by.is_empty() {
                shadows.push(Shadow { route, host: host.map(|_| place), by });
            }
            earlier.add(values.clone(), route);
        }
    }
    shadows
}

/// For each field the value that it has to have, if it has to have just one.
type Values<'m> = Vec<Option<&'m str>>;
type ByValues<'m> = HashMap<Values<'m>, Vec<usize>>;

/// Routes that rank alike, by the values that their fields have to have: who asks for one takes nothing of who asks for another,
/// and there may be many of those.
#[derive(Default)]
struct Earlier<'m>(Vec<(Vec<bool>, ByValues<'m>)>);

impl<'m> Earlier<'m> {
    fn add(&mut self, values: Values<'m>, route: usize) {
        let shape: Vec<bool> = values.iter().map(Option::is_some).collect();
        let place = self.0.iter().position(|(known, _)| *known == shape).unwrap_or_else(|| {
            self.0.push((shape, HashMap::new()));
            self.0.len() - 1
        });
        self.0[place].1.entry(values).or_default().push(route);
    }

    /// Those that ask for none of other `values`, in their order.
    fn like(&self, values: &Values<'m>) -> Vec<usize> {
        let of_shape = |(shape, routes): &(Vec<bool>, ByValues<'m>)| {
            let asked = shape.iter().zip(values).map(|(is_exact, value)| if *is_exact { *value } else { None });
            routes.get(&asked.collect::<Values<'_>>()).cloned().unwrap_or_default()
        };
        let mut routes: Vec<usize> = self.0.iter().flat_map(of_shape).collect();
        routes.sort_unstable();
        routes
    }
}

/// Who of `earlier` takes all that `matcher` takes, some together.
fn blockers<'m>(matcher: &Matcher, earlier: impl Iterator<Item = (usize, &'m Matcher)>) -> Vec<usize> {
    let (mut by, mut taken) = (Vec::new(), Methods::NONE);
    for (other, wide) in earlier.filter(|(_, wide)| fields::covers(&wide.fields, &matcher.fields)) {
        let (Some(own), Some(theirs)) = (matcher.methods, wide.methods) else { return vec![other] };
        if own.meets(theirs) && !taken.has(own) {
            by.push(other);
            taken = taken.or(theirs);
        }
    }
    if matcher.methods.is_some_and(|own| taken.has(own)) { by } else { Vec::new() }
}

/// For tests: `GET,POST|a.example,*.b.example/users?x=1&y`.
#[cfg(test)]
impl std::str::FromStr for Matcher {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (before, fields) = text.split_once('?').unwrap_or((text, ""));
        let (methods, rest) = before.split_once('|').map_or((None, before), |(methods, rest)| (Some(methods), rest));
        let (hosts, path) = rest.split_at(rest.find('/').ok_or("no path")?);
        let mut matcher = Matcher::path(path);
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            matcher.hosts.push(host.parse()?);
        }
        for method in methods.iter().flat_map(|methods| methods.split(',')) {
            matcher.methods = Some(matcher.methods.unwrap_or_default().or(method.parse()?));
        }
        for field in fields.split('&').filter(|field| !field.is_empty()) {
            let (name, test) = match field.split_once('=') {
                Some((name, value)) => match value.strip_suffix('*') {
                    Some(prefix) => (name, Test::Prefix(prefix.to_owned())),
                    None => (name, Test::Exact(value.to_owned())),
                },
                None => (field, Test::Present),
            };
            let name = name.parse().map_err(|_| "no name")?;
            matcher.fields.push(FieldMatch { name, test, is_hidden: false });
        }
        matcher.fields.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        Ok(matcher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_all_of_it() {
        for text in ["/", "/users", "GET,POST|/users", "*.b.example,a.example/users", "GET|a.example/?x=1&y"] {
            let matcher: Matcher = text.parse().expect(text);
            assert_eq!(matcher.text(), text);
        }
        let other: Matcher = "a.example,*.b.example/users".parse().expect("one");
        assert_eq!(other.text(), "*.b.example,a.example/users", "in whichever order");
    }

    #[test]
    fn what_can_never_take_anything_is_found() {
        for (routes, found) in [
            (vec!["/a", "/a"], vec![(1, None, vec![0])]),
            (vec!["/a", "/a/b", "/"], vec![]),
            (vec!["/a", "a.example/a", "*.example/a"], vec![]),
            (vec!["a.example,b.example/a", "b.example,c.example/a"], vec![(1, Some(0), vec![0])]),
            (vec!["*.example/a", "*.example/a", "a.example/a"], vec![(1, Some(0), vec![0])]),
            (vec!["/a", "GET|/a"], vec![]),
            (vec!["GET|/a", "/a"], vec![]),
            (vec!["GET|/a", "HEAD|/a", "GET|/a"], vec![(2, None, vec![0])]),
            (vec!["GET,POST|/a", "POST,PUT|/a"], vec![]),
            (vec!["GET,POST|/a", "PUT|/a", "POST,PUT|/a"], vec![(2, None, vec![0, 1])]),
            (vec!["/a?x=1", "/a?x=2", "/a?x=1"], vec![(2, None, vec![0])]),
            (vec!["/a?x", "/a?x=1"], vec![(1, None, vec![0])]),
            (vec!["/a?x=1", "/a?x"], vec![]),
            (vec!["/a?x=v*", "/a?x=v2"], vec![(1, None, vec![0])]),
            (vec!["/a?x", "/a?x=1&y"], vec![]),
            (vec!["/a?x=1&y", "/a?x=1&y=2", "/a?x=2&y=2"], vec![(1, None, vec![0])]),
            (vec!["/a?x=1&y", "/a?x&y=2", "/a?x=1&y=2"], vec![(2, None, vec![0])]),
            (vec!["GET|/a?x&y=2", "POST|/a?x=1&y", "GET,POST|/a?x=1&y=2"], vec![(2, None, vec![0, 1])]),
            (vec!["/a?y", "/a?x"], vec![]),
            (vec!["GET|/a?x", "POST|/a?x", "GET,POST|/a?x=1"], vec![(2, None, vec![0, 1])]),
            (vec!["/a?x", "GET|/a?x"], vec![]),
            (vec!["/a", "/a", "/a"], vec![(1, None, vec![0]), (2, None, vec![0])]),
        ] {
            let matchers: Vec<Matcher> = routes.iter().map(|route| route.parse().expect(route)).collect();
            let expected: Vec<Shadow> = found.into_iter().map(|(route, host, by)| Shadow { route, host, by }).collect();
            assert_eq!(shadows(&matchers), expected, "{routes:?}");
        }
    }
}
