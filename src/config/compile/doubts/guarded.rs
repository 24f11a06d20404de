//! Which route asks who sends the requests that another takes from under it, found without a look at each of them.

use std::collections::HashMap;
use std::iter::successors;

use crate::routing::host::HostPattern;
use crate::routing::matcher::Matcher;
use crate::routing::methods::Methods;

/// Routes that ask, by what they are over.
#[derive(Debug, Default)]
pub(super) struct Guarded<'r> {
    by_place: HashMap<(&'r str, Hosts<'r>), Vec<Asking>>,
}

/// Of those for the same methods the first; few such sets are ever written.
#[derive(Debug)]
struct Asking {
    /// `None`: any.
    methods: Option<Methods>,
    nth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Hosts<'r> {
    Every,
    One(&'r str),
    Below(&'r str),
}

impl<'r> Hosts<'r> {
    fn of(pattern: Option<&'r HostPattern>) -> Self {
        match pattern {
            None => Hosts::Every,
            Some(HostPattern::Exact(name)) => Hosts::One(name),
            Some(HostPattern::Below(name)) => Hosts::Below(name),
        }
    }

    /// These, and all others that all of these are among.
    fn and_wider(self) -> impl Iterator<Item = Self> {
        let next = |hosts: &Self| match hosts {
            Hosts::Every => None,
            Hosts::One(name) | Hosts::Below(name) => {
                Some(name.split_once('.').map_or(Hosts::Every, |(_, above)| Hosts::Below(above)))
            }
        };
        successors(Some(self), next)
    }
}

/// A path in normal form and all that it is under, by whole segments and without a slash at the end.
fn and_above(path: &str) -> impl Iterator<Item = &str> {
    successors(Some(path.trim_end_matches('/')), |path| path.rfind('/').map(|end| &path[..end]))
}

impl<'r> Guarded<'r> {
    /// These, in the order of the config.
    pub fn new(routes: impl IntoIterator<Item = (usize, &'r Matcher)>) -> Self {
        let mut guarded = Guarded::default();
        for (nth, matcher) in routes {
            for host in matcher.each_host() {
                let place = (matcher.path.trim_end_matches('/'), Hosts::of(host));
                let asking = guarded.by_place.entry(place).or_default();
                if asking.iter().all(|other| other.methods != matcher.methods) {
                    asking.push(Asking { methods: matcher.methods, nth });
                }
            }
        }
        guarded
    }

    /// The first of those that would have requests of `open` if that were not there, or have the others of its path.
    pub fn first_over(&self, open: &Matcher) -> Option<usize> {
        let meets = |asking: &&Asking| match (open.methods, asking.methods) {
            (Some(open), Some(asking)) => open.meets(asking),
            _ => true,
        };
        let hosts = || open.each_host().flat_map(|host| Hosts::of(host).and_wider());
        let places = and_above(&open.path).flat_map(|path| hosts().map(move |hosts| (path, hosts)));
        let asking = places.filter_map(|place| self.by_place.get(&place)).flatten();
        asking.filter(meets).map(|asking| asking.nth).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// The same by a look at each.
    fn takes_from(open: &Matcher, guarded: &Matcher) -> bool {
        let apart = matches!((open.methods, guarded.methods), (Some(open), Some(guarded)) if !open.meets(guarded));
        let hosts = open.each_host().any(|open| guarded.each_host().any(|guarded| is_inside(open, guarded)));
        guarded.is_over(&open.path) && hosts && !apart
    }

    fn is_inside(inner: Option<&HostPattern>, outer: Option<&HostPattern>) -> bool {
        let is_below = |name: &str, above: &str| name.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'));
        match (inner, outer) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(HostPattern::Exact(host)), Some(outer)) => outer.takes(host),
            (Some(HostPattern::Below(name)), Some(HostPattern::Below(above))) => name == above || is_below(name, above),
            (Some(HostPattern::Below(_)), Some(HostPattern::Exact(_))) => false,
        }
    }

    fn hosts(text: &str) -> Vec<HostPattern> {
        text.split(',').filter(|host| !host.is_empty()).map(|host| host.parse().expect(host)).collect()
    }

    #[test]
    fn hosts_are_inside_of_others_by_whole_labels() {
        for (inner, outer, is) in [
            ("a.b.c", "", true),
            ("", "", true),
            ("", "a.b.c", false),
            ("a.b.c", "a.b.c", true),
            ("a.b.c", "*.b.c", true),
            ("b.c", "*.b.c", false),
            ("*.a.b.c", "*.b.c", true),
            ("*.b.c", "*.b.c", true),
            ("*.ab.c", "*.b.c", false),
            ("*.b.c", "a.b.c", false),
        ] {
            let matcher = |host| Matcher { hosts: hosts(host), ..Matcher::path("/") };
            let (open, outer_one) = (matcher(inner), matcher(outer));
            assert_eq!(Guarded::new([(0, &outer_one)]).first_over(&open).is_some(), is, "{inner} {outer}");
        }
    }

    #[test]
    fn the_first_is_that_which_a_look_at_each_finds() {
        const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/ab", "/a/b/c", "/b"];
        const HOSTS: [&str; 8] = ["", "a.x", "*.x", "a.b.x", "*.b.x,c.x", "x,b.x", "*.a.b.x", "*.ab.x"];
        let methods = [None, Some(Methods::GET), Some(Methods::HEAD), Some(Methods::GET.or(Methods::HEAD))];
        let mut found = 0;
        for seed in 0..2_000 {
            let mut rng = Rng::seeded(seed);
            let mut one = |of: usize| rng.below(of as u64) as usize;
            let mut matcher = || Matcher {
                path: PATHS[one(PATHS.len())].to_owned(),
                hosts: hosts(HOSTS[one(HOSTS.len())]),
                methods: methods[one(methods.len())],
                fields: Vec::new(),
            };
            let (open, routes) = (matcher(), [matcher(), matcher(), matcher(), matcher()]);
            let first = routes.iter().position(|route| takes_from(&open, route));
            assert_eq!(Guarded::new(routes.iter().enumerate()).first_over(&open), first, "{open:?}\n{routes:#?}");
            found += usize::from(first.is_some());
        }
        assert!((400..1_600).contains(&found), "{found} had something to find");
    }
}
