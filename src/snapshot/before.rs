//! What there was before a config took the place of another: what did not change goes on.

use std::collections::HashMap;

use super::{Route, Snapshot};
use crate::config::{self, Config, Destinations};
use crate::upstream::split::Group;

/// The config of before, as it serves requests.
pub struct Before<'b> {
    /// As it was written.
    pub config: &'b Config,
    /// As it runs.
    pub snapshot: &'b Snapshot,
    by_name: HashMap<&'b str, RouteBefore<'b>>,
}

/// One of its routes.
#[derive(Clone, Copy)]
pub struct RouteBefore<'b> {
    /// As it was written.
    pub config: &'b config::Route,
    /// As it runs.
    pub route: &'b Route,
}

impl<'b> Before<'b> {
    /// `config` as it runs in `snapshot`.
    pub fn new(config: &'b Config, snapshot: &'b Snapshot) -> Self {
        let both = config.routes.iter().zip(&snapshot.routes);
        let by_name = both.map(|(config, route)| (config.name.as_str(), RouteBefore { config, route })).collect();
        Before { config, snapshot, by_name }
    }

    /// The route of the same name as `route`, if there was one.
    pub fn route(&self, route: &config::Route) -> Option<RouteBefore<'b>> {
        self.by_name.get(route.name.as_str()).copied()
    }
}

impl<'b> RouteBefore<'b> {
    /// Its groups by their names, each with the targets that were written there.
    pub fn groups(&self) -> HashMap<&'b str, (&'b Group, &'b [config::Target])> {
        let mut written: HashMap<&str, &[config::Target]> = HashMap::new();
        match &self.config.destinations {
            Destinations::Targets { targets } => drop(written.insert("", targets)),
            Destinations::Redirect { .. } | Destinations::Respond { .. } => {}
            Destinations::Groups { groups, .. } => {
                written.extend(groups.iter().map(|group| (group.name.as_str(), &*group.targets)));
            }
        }
        let groups = self.route.split.groups.iter();
        groups.filter_map(|group| Some((&*group.name, (group, *written.get(&*group.name)?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::plugin::rate_limit::Store;
    use crate::upstream::pool::Wish;

    fn config(cooldown: u32) -> Config {
        let text = format!(
            "routes: [{{ path: /, targets: ['http://a:1', 'http://b:1', 'http://c:1'], breaker: {{ cooldown: {cooldown}s }} }}]\n"
        );
        config::parse("test.yaml", &text, &|_| None).expect("a valid config").config
    }

    #[test]
    fn turns_go_on_while_a_config_waits_to_take_the_place_of_another() {
        let (now, first, other) = (Instant::now(), config(60), config(30));
        let store = Arc::new(Store::new(None, now));
        let old = Snapshot::new(&first, store.clone(), now);
        let new = Snapshot::after(Before::new(&first, &old), &other, store, now);
        let host = |snapshot: &Snapshot| {
            let wish = Wish { hash: 0, tried: &[], now };
            let picked = snapshot.routes[0].split.pick(0, wish, &mut |_, _| {}).expect("all are closed");
            picked.member().target.url.host.clone()
        };
        assert_eq!([&old, &old, &new, &old, &new, &new].map(host), ["a", "b", "c", "a", "b", "c"]);
    }
}
