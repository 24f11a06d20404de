//! `redirect:`, `respond:`, in place of targets and all that is about them.

use super::{Compiler, at_route};
use crate::config::error::Position;
use crate::config::file::{self, Policies};
use crate::config::located::Located;
use crate::config::model::{Destinations, Respond};
use crate::routing::answer::Redirect;

/// What may be written beside them, of all keys.
pub const OF_ANSWERS: [&str; 9] =
    ["name", "path", "host", "methods", "matchHeaders", "redirect", "respond", "limits", "plugins"];

impl Compiler<'_> {
    /// What a route answers by itself, if it does.
    pub(super) fn answer(&mut self, written: &Located<file::Route>) -> Option<Destinations> {
        let path = at_route(written);
        let (own, answer) = match (&written.redirect, &written.respond) {
            (Some(redirect), _) => ("redirect", Destinations::Redirect { redirect: self::redirect(redirect) }),
            (None, Some(respond)) => {
                ("respond", Destinations::Respond { respond: self.respond(respond, &format!("{path}.respond")) })
            }
            (None, None) => return None,
        };
        let other = written.respond.as_ref().filter(|_| own == "redirect").map(|block| (block.at, "respond"));
        let targets = [
            written.targets.as_ref().map(|targets| (targets.at, "targets")),
            written.target.as_ref().map(|targets| (targets.at, "target")),
            written.groups.as_ref().map(|groups| (groups.at, "groups")),
            other,
        ];
        for (at, key) in targets.into_iter().flatten() {
            let message = format!("there is {own}, too; a route has one of targets, groups, redirect and respond");
            self.error(at, format!("{path}.{key}"), message);
        }
        for (at, key) in of_targets(written) {
            let message = format!("it is about targets, and with {own} there are none; remove it");
            self.error(at.unwrap_or(written.at), format!("{path}.{key}"), message);
        }
        Some(answer)
    }

    fn respond(&mut self, written: &Located<file::Respond>, path: &str) -> Respond {
        let file::Respond { status, body, content_type } = &written.value;
        let status = status.unwrap_or_default();
        let body = body.as_ref().filter(|body| !body.is_empty());
        if let Some(body) = body.filter(|_| status.is_bodiless()) {
            let message =
                format!("an answer with {} has no body; remove it, or write another status", status.0.as_u16());
            self.error(body.at, format!("{path}.body"), message);
        }
        if let (Some(content_type), None) = (content_type, body) {
            let message = "there is no body that it could be about; remove it, or write one";
            self.error(content_type.at, format!("{path}.contentType"), message);
        }
        Respond {
            status,
            content_type: body.map(|_| content_type.as_ref().map_or_else(file::plain_text, |own| own.value.clone())),
            body: body.map_or_else(String::new, |body| body.value.clone()),
        }
    }
}

fn redirect(written: &file::RouteRedirect) -> Redirect {
    Redirect {
        to: written.to.clone(),
        status: written.status.unwrap_or_default(),
        keep_path: written.keep_path,
        keep_query: written.keep_query,
    }
}

/// What of `defaults` goes for routes without targets.
pub(super) fn without_targets(defaults: &Policies) -> Policies {
    Policies { limits: defaults.limits, plugins: defaults.plugins.clone(), ..Policies::default() }
}

/// The keys about targets that a route has, and where they are, if that is known.
fn of_targets(written: &file::Route) -> impl Iterator<Item = (Option<Position>, &'static str)> {
    fn at<T>(written: &Option<Located<T>>) -> Option<Option<Position>> {
        written.as_ref().map(|block| Some(block.at))
    }
    fn somewhere<T>(written: &Option<T>) -> Option<Option<Position>> {
        written.as_ref().map(|_| None)
    }
    let keys = [
        (at(&written.strip_prefix), "stripPrefix"),
        (at(&written.rewrite), "rewrite"),
        (at(&written.sticky), "sticky"),
        (somewhere(&written.balance), "balance"),
        (at(&written.concurrency), "concurrency"),
        (at(&written.slow_start), "slowStart"),
        (somewhere(&written.on_all_open), "onAllOpen"),
        (at(&written.host_header), "hostHeader"),
        (somewhere(&written.timeouts), "timeouts"),
        (somewhere(&written.upstream_tls), "upstreamTls"),
        (at(&written.breaker), "breaker"),
        (at(&written.retry), "retry"),
        (at(&written.health_check), "healthCheck"),
        (at(&written.mirror), "mirror"),
    ];
    keys.into_iter().filter_map(|(at, key)| Some((at?, key)))
}
