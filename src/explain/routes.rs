//! Why other routes did not take a request.

use std::sync::Arc;

use serde::Serialize;

use super::RouteName;
use crate::routing::matcher::Lack;
use crate::routing::table::Asked;
use crate::snapshot::{Route, Snapshot};

/// A route whose path a request is under, and that did not take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SkippedRoute {
    /// The route.
    #[serde(flatten)]
    pub route: RouteName,
    /// Why not.
    pub why: String,
}

/// Those that a request might have been for which `taken` took, or nobody.
pub fn skipped(snapshot: &Snapshot, asked: &Asked<'_>, taken: Option<&Arc<Route>>) -> Vec<SkippedRoute> {
    let over = snapshot.routes.iter().filter(|route| route.matcher.is_over(asked.path));
    let others = over.filter(|route| !taken.is_some_and(|taken| Arc::ptr_eq(taken, route)));
    others.map(|route| SkippedRoute { route: route.as_ref().into(), why: why(route, asked, taken) }).collect()
}

fn why(route: &Route, asked: &Asked<'_>, taken: Option<&Arc<Route>>) -> String {
    let matcher = &route.matcher;
    match matcher.lack(asked) {
        Some(Lack::Host) => {
            let hosts: Vec<String> = matcher.hosts.iter().map(ToString::to_string).collect();
            format!("it is for {}", hosts.join(", "))
        }
        Some(Lack::Method) => {
            format!("it takes {}", matcher.methods.map_or_else(String::new, |methods| methods.to_string()))
        }
        Some(Lack::Field(name)) => format!("its matchHeaders asks for another {name}"),
        None => {
            let taken = taken.map_or("another", |taken| &*taken.name);
            format!("{taken} is more particular")
        }
    }
}

impl From<&Route> for RouteName {
    fn from(route: &Route) -> Self {
        RouteName { name: route.name.to_string(), path: route.path.to_string() }
    }
}
