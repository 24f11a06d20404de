//! What there was before a config took the place of another: what did not change goes on.

use super::{Route, Snapshot};
use crate::config::{self, Config, Destinations};
use crate::upstream::split::Group;

/// The config of before, as it serves requests.
#[derive(Clone, Copy)]
pub struct Before<'b> {
    /// As it was written.
    pub config: &'b Config,
    /// As it runs.
    pub snapshot: &'b Snapshot,
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
    /// The route for the same requests as `route`, if there was one.
    pub fn route(&self, route: &config::Route) -> Option<RouteBefore<'b>> {
        let both = self.config.routes.iter().zip(&self.snapshot.routes);
        let mut same = both.filter(|(config, _)| config.path == route.path);
        same.next().map(|(config, route)| RouteBefore { config, route })
    }
}

impl<'b> RouteBefore<'b> {
    /// Its group of that name, and the targets that were written there.
    pub fn group(&self, name: &str) -> Option<(&'b Group, &'b [config::Target])> {
        let group = self.route.split.groups.iter().find(|group| &*group.name == name)?;
        let targets = match &self.config.destinations {
            Destinations::Targets { targets } => targets,
            Destinations::Groups { groups, .. } => &groups.iter().find(|group| group.name == name)?.targets,
        };
        Some((group, targets))
    }
}
