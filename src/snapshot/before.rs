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
    /// Its group of that name, and the targets that were written there.
    pub fn group(&self, name: &str) -> Option<(&'b Group, &'b [config::Target])> {
        let group = self.route.split.groups.iter().find(|group| &*group.name == name)?;
        let targets = match &self.config.destinations {
            Destinations::Targets { targets } => targets,
            Destinations::Redirect { .. } | Destinations::Respond { .. } => return None,
            Destinations::Groups { groups, .. } => &groups.iter().find(|group| group.name == name)?.targets,
        };
        Some((group, targets))
    }
}
