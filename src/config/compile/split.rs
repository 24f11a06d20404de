//! `targets:`, `groups:`, `sticky:`, `mirror:`

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

use super::{Compiler, at_route};
use crate::config::Position;
use crate::config::file::{self, Switch, Targets};
use crate::config::located::Located;
use crate::config::model::{Breaker, Destinations, Group, Mirror, Target};
use crate::config::names::Way;
use crate::config::units::{Origin, Scheme, SourceKind};
use crate::ratio::Ratio;

const HUNDRED: NonZeroU32 = NonZeroU32::new(100).expect("100 is not 0");

impl Compiler<'_> {
    /// Where the requests of a route go; `breaker` is that of targets that do not say.
    pub(super) fn destinations(&mut self, written: &Located<file::Route>, breaker: &Option<Breaker>) -> Destinations {
        if let Some(answer) = self.answer(written) {
            return answer;
        }
        let path = at_route(written);
        if let (Some(sticky), None) = (&written.sticky, &written.groups) {
            self.error(
                sticky.at,
                format!("{path}.sticky"),
                "it keeps requests with a group; write groups, or remove it",
            );
        }
        match (self.one_of(&written.targets, &written.target, &path), &written.groups) {
            (Some((targets, path)), None) => Destinations::Targets { targets: self.targets(targets, &path, breaker) },
            (targets, Some(groups)) => {
                if let Some((targets, path)) = targets {
                    let message = "there are groups, too, which have targets of their own; write one of the two";
                    self.error(targets.at, path, message);
                }
                let groups = self.groups(groups, &path, breaker);
                Destinations::Groups { groups, sticky: written.sticky.as_ref().map(|sticky| sticky.value.clone()) }
            }
            (None, None) => {
                // Under either name, since one begins with the other.
                if !["target", "groups", "redirect", "respond"].iter().any(|key| self.told_of(&format!("{path}.{key}")))
                {
                    let message = "it leads nowhere; write targets, groups, redirect or respond";
                    self.error(written.at, &path, message);
                }
                Destinations::Targets { targets: Vec::new() }
            }
        }
    }

    /// The targets of a block at `path` under whichever name they stand, and their path.
    fn one_of<'w>(
        &mut self,
        targets: &'w Option<Targets>,
        target: &'w Option<Targets>,
        path: &str,
    ) -> Option<(&'w Targets, String)> {
        if let (Some(_), Some(target)) = (targets, target) {
            let message = "there are targets, too, which is another name of the same; keep one";
            self.error(target.at, format!("{path}.target"), message);
        }
        let named = |targets: &'w Option<Targets>, name: &str| Some((targets.as_ref()?, format!("{path}.{name}")));
        named(targets, "targets").or_else(|| named(target, "target"))
    }

    fn targets_are_missing(&mut self, at: Position, path: &str) {
        // Under either name, since one begins with the other.
        if !self.told_of(&format!("{path}.target")) {
            self.error(at, path, "the key \"targets\" is missing");
        }
    }

    fn groups(
        &mut self,
        written: &Located<Vec<Located<file::Group>>>,
        route: &str,
        breaker: &Option<Breaker>,
    ) -> Vec<Group> {
        let path = format!("{route}.groups");
        if written.iter().all(|group| group.weight.0 == 0) && !self.told_of(&path) {
            let message = "no group gets anything; give one of them a weight";
            self.error(written.at, &path, message);
        }
        let mut groups: Vec<Group> = Vec::new();
        let (mut names, mut known) = (HashSet::new(), HashMap::new());
        for group in &written.value {
            let path = format!("{path}[{}]", group.index);
            let name = group.name.to_string();
            if !names.insert(name.clone()) {
                self.error(group.name.at, format!("{path}.name"), format!("{name} is there already; choose another"));
            }
            let Some((written, path)) = self.one_of(&group.targets, &group.target, &path) else {
                self.targets_are_missing(group.at, &path);
                continue;
            };
            let targets = self.targets(written, &path, breaker);
            for target in &targets {
                if let Some(earlier) = known.get(&target.origin) {
                    let message = format!("{} is in {earlier} already; a target belongs to one group", target.origin);
                    self.error(written.at, &path, message);
                }
            }
            for target in &targets {
                known.entry(target.origin.clone()).or_insert_with(|| name.clone());
            }
            groups.push(Group { name, weight: group.weight.0, targets });
        }
        groups
    }

    fn targets(&mut self, written: &Targets, path: &str, breaker: &Option<Breaker>) -> Vec<Target> {
        if written.is_empty() && !self.told_of(path) {
            self.error(written.at, path, "there is no target; write [http://HOST:PORT]");
        }
        let (mut targets, mut known) = (Vec::new(), HashSet::new());
        for target in written.iter() {
            let path = format!("{path}[{}]", target.index);
            if !known.insert(&target.url) {
                self.error(target.at, path, format!("{} is in the list already; keep one", target.url));
                continue;
            }
            self.file_is_there(target, &path);
            self.leads_to_targets(target.at, &path, &target.url);
            let own = target.breaker.as_ref().map(|own| self.breaker(Some(own), &format!("{path}.breaker")));
            targets.push(Target {
                origin: target.url.clone(),
                weight: target.weight.map_or(NonZeroU32::MIN, |weight| weight.0),
                has_own_breaker: own.is_some(),
                breaker: own.unwrap_or_else(|| breaker.clone()),
            });
        }
        targets
    }

    fn file_is_there(&mut self, target: &Located<file::Target>, path: &str) {
        if let Origin::Source(source) = &target.url
            && let SourceKind::File { path: file } = &source.kind
            && let Err(error) = std::fs::metadata(file)
        {
            let message = format!("cannot read {}: {error}; without it there is no target", file.display());
            self.warn(target.at, path, message);
        }
    }

    pub(super) fn mirror(&mut self, written: Option<&Located<Switch<file::Mirror>>>, path: &str) -> Option<Mirror> {
        let written = written?;
        let Switch::On(mirror) = &written.value else { return None };
        if matches!(mirror.target.scheme, Scheme::H2 | Scheme::H2c) {
            let message =
                format!("{}: copies are sent by HTTP/1.1; write http://HOST:PORT or https://HOST:PORT", mirror.target);
            self.error(written.at, format!("{path}.target"), message);
        }
        self.leads_to(written.at, &format!("{path}.target"), &mirror.target.host, Way::System);
        Some(Mirror {
            target: mirror.target.clone(),
            share: mirror.share.unwrap_or(Ratio::percent(100)),
            concurrency: mirror.concurrency.map_or(HUNDRED, |count| count.0),
        })
    }
}

/// How many targets a request of this route can be sent to, if that is known beforehand.
pub(super) fn count(destinations: &Destinations) -> Option<usize> {
    let all_known = destinations.targets().all(|target| matches!(target.origin, Origin::Url(_)));
    all_known.then(|| destinations.targets().count())
}
