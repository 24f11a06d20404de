//! Where the requests of a route go, as it runs.

use std::num::NonZeroU32;

use serde::{Serialize, Serializer};

use super::breaker::Breaker;
use super::or_off;
use crate::config::file::Sticky;
use crate::config::units::{FieldText, Origin, TargetUrl};
use crate::ratio::Ratio;
use crate::routing::answer::{FinalStatus, Redirect};

/// Where the requests of a route go.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Destinations {
    /// To these targets; at least one, none twice.
    Targets {
        /// Those.
        targets: Vec<Target>,
    },
    /// To groups of targets, each its share; at least one, and one with a weight.
    Groups {
        /// Those.
        groups: Vec<Group>,
        /// What keeps requests with the group that they had before.
        #[serde(skip_serializing_if = "Option::is_none")]
        sticky: Option<Sticky>,
    },
    /// Nowhere: clients are sent elsewhere.
    Redirect {
        /// There.
        redirect: Redirect,
    },
    /// Nowhere: this is the answer.
    Respond {
        /// This.
        respond: Respond,
    },
}

/// What a route says by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Respond {
    /// With this status.
    pub status: FinalStatus,
    /// What the body is; there if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<FieldText>,
    /// The body.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// Targets that share a part of the requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// What it is called.
    pub name: String,
    /// How many of the requests it gets, beside the others.
    pub weight: u32,
    /// Where they go; at least one, none twice.
    pub targets: Vec<Target>,
}

/// One target of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Where it is, or what knows where.
    pub origin: Origin,
    /// How much it gets, beside the others.
    pub weight: NonZeroU32,
    /// When to stop sending to it; `None`: never.
    pub breaker: Option<Breaker>,
    /// Whether that is its own, and not the route's.
    pub has_own_breaker: bool,
}

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mirror {
    /// There.
    pub target: TargetUrl,
    /// How many are copied.
    pub share: Ratio,
    /// How many copies there may be under way.
    pub concurrency: NonZeroU32,
}

impl Destinations {
    /// All targets, whichever group they are in.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let (targets, groups): (&[Target], &[Group]) = match self {
            Destinations::Targets { targets } => (targets, &[]),
            Destinations::Groups { groups, .. } => (&[], groups),
            Destinations::Redirect { .. } | Destinations::Respond { .. } => (&[], &[]),
        };
        targets.iter().chain(groups.iter().flat_map(|group| &group.targets))
    }
}

/// As short as it can be written.
impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Block<'t> {
            url: &'t Origin,
            #[serde(skip_serializing_if = "Option::is_none")]
            weight: Option<NonZeroU32>,
            #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown_or_off")]
            breaker: Option<&'t Option<Breaker>>,
        }
        let weight = Some(self.weight).filter(|weight| *weight != NonZeroU32::MIN);
        let breaker = self.has_own_breaker.then_some(&self.breaker);
        match (weight, breaker) {
            (None, None) => self.origin.serialize(serializer),
            (weight, breaker) => Block { url: &self.origin, weight, breaker }.serialize(serializer),
        }
    }
}

fn shown_or_off<T: Serialize, S: Serializer>(value: &Option<&Option<T>>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => or_off(value, serializer),
        None => serializer.serialize_none(),
    }
}
