//! `routes:`, with what they inherit from `defaults:`.

use std::collections::HashMap;

use super::limits::of_route;
use super::{Compiler, at_route, split};
use crate::config::file::{self, Policies};
use crate::config::located::Located;
use crate::config::model::{ForwardAuth, Limits, Plugins, Route, Target};
use crate::config::units::{HostHeader, RouteName};
use crate::downstream::headers::X_USER_ID;

impl Compiler<'_> {
    pub(super) fn route(&mut self, written: &Located<file::Route>, defaults: &Policies, limits: &Limits) -> Route {
        let path = at_route(written);
        // A block that the route does not have stands under `defaults`.
        let place = |own: bool, key: &str| if own { format!("{path}.{key}") } else { format!("defaults.{key}") };
        let block = written.breaker.as_ref().or(defaults.breaker.as_ref());
        let breaker = self.breaker(block, &place(written.breaker.is_some(), "breaker"));
        let destinations = self.destinations(written, &breaker);
        let timeouts = written.timeouts.as_ref().or(defaults.timeouts.as_ref());
        let timeouts = self.timeouts(timeouts, &place(written.timeouts.is_some(), "timeouts"));
        let limit = written.plugins.rate_limit.as_ref().or(defaults.plugins.rate_limit.as_ref());
        let auth = written.plugins.auth.as_ref().or(defaults.plugins.auth.as_ref());
        let policy = self.policy(auth, &place(written.plugins.auth.is_some(), "plugins.auth"));
        let asked = written.plugins.forward_auth.as_ref().or(defaults.plugins.forward_auth.as_ref());
        let forward_auth =
            self.forward_auth(asked, &place(written.plugins.forward_auth.is_some(), "plugins.forwardAuth"));
        // Of whom it names, if it is to name anybody.
        let is_named = |asked: &ForwardAuth| asked.response_headers.contains(&X_USER_ID);
        let custom = self.custom(
            written.plugins.custom.as_ref().or(defaults.plugins.custom.as_ref()),
            &place(written.plugins.custom.is_some(), "plugins.custom"),
        );
        // What a plugin of the program's own finds out, only that knows.
        let auth = policy.is_some() || forward_auth.as_ref().is_some_and(is_named) || !custom.is_empty();
        let cors = self.cors(
            written.plugins.cors.as_ref().or(defaults.plugins.cors.as_ref()),
            &place(written.plugins.cors.is_some(), "plugins.cors"),
        );
        let balance = self.balance(
            written.balance.as_ref().or(defaults.balance.as_ref()),
            &place(written.balance.is_some(), "balance"),
            auth,
        );
        let mut upstream_tls = self.upstream_tls(
            written.upstream_tls.as_ref().or(defaults.upstream_tls.as_ref()),
            &place(written.upstream_tls.is_some(), "upstreamTls"),
        );
        self.certified(&mut upstream_tls, &destinations, written.at, &place(true, "upstreamTls"));
        let matcher = self.matcher(written);
        Route {
            name: match &written.name {
                Some(name) => RouteName::own(name),
                None => RouteName::derived(matcher.text()),
            },
            matcher,
            rewrite: self.rewrite(written),
            mirror: self.mirror(
                written.mirror.as_ref().or(defaults.mirror.as_ref()),
                &place(written.mirror.is_some(), "mirror"),
            ),
            limits: of_route(written.limits.as_ref().or(defaults.limits.as_ref()), limits),
            on_all_open: written.on_all_open.or(defaults.on_all_open).unwrap_or_default(),
            concurrency: self.concurrency(
                written.concurrency.as_ref().or(defaults.concurrency.as_ref()),
                &place(written.concurrency.is_some(), "concurrency"),
            ),
            slow_start: self.slow_start(written, defaults, &balance),
            host_header: written
                .host_header
                .as_ref()
                .or(defaults.host_header.as_ref())
                .map_or_else(HostHeader::default, |host| host.value.clone()),
            balance,
            health_check: self.health_check(
                written.health_check.as_ref().or(defaults.health_check.as_ref()),
                &place(written.health_check.is_some(), "healthCheck"),
                &upstream_tls,
            ),
            retry: self.retry(
                written.retry.as_ref().or(defaults.retry.as_ref()),
                (&place(written.retry.is_some(), "retry"), written.retry.is_some()),
                split::count(&destinations),
                &timeouts,
            ),
            upstream_tls,
            destinations,
            timeouts,
            breaker,
            plugins: Plugins {
                ip_allow: self.networks(
                    written.plugins.ip_allow.as_ref().or(defaults.plugins.ip_allow.as_ref()),
                    &place(written.plugins.ip_allow.is_some(), "plugins.ipAllow"),
                ),
                ip_deny: self.networks(
                    written.plugins.ip_deny.as_ref().or(defaults.plugins.ip_deny.as_ref()),
                    &place(written.plugins.ip_deny.is_some(), "plugins.ipDeny"),
                ),
                headers: self.headers(
                    written.plugins.headers.as_ref().or(defaults.plugins.headers.as_ref()),
                    &place(written.plugins.headers.is_some(), "plugins.headers"),
                    cors.is_some(),
                ),
                cors,
                compression: self.compression(
                    written.plugins.compression.as_ref().or(defaults.plugins.compression.as_ref()),
                    &place(written.plugins.compression.is_some(), "plugins.compression"),
                ),
                security_headers: self.security_headers(
                    written.plugins.security_headers.as_ref().or(defaults.plugins.security_headers.as_ref()),
                    &place(written.plugins.security_headers.is_some(), "plugins.securityHeaders"),
                ),
                auth: policy,
                forward_auth,
                custom,
                rate_limit: limit.map_or_else(Vec::new, |limit| self.rate_limits(limit, &path, auth)),
            },
        }
    }

    /// A target has one breaker, whichever routes name it, so they have to agree on it.
    pub(super) fn one_breaker_a_target(
        &mut self,
        written: &[Located<file::Route>],
        routes: &[Route],
        defaults: &Policies,
    ) {
        let mut first: HashMap<&str, (&Located<file::Route>, &Target)> = HashMap::new();
        for (written, route) in written.iter().zip(routes) {
            for target in route.destinations.targets().filter(|target| target.breaker.is_some()) {
                let (theirs, other) = *first.entry(target.origin.as_str()).or_insert((written, target));
                if other.breaker != target.breaker {
                    let at = written.breaker.as_ref().map_or(written.at, |breaker| breaker.at);
                    let what = format!("{} has one breaker", target.origin);
                    let (there, here) = (whose(theirs, other, defaults), whose(written, target, defaults));
                    let theirs = at_route(theirs);
                    self.error(
                        at,
                        format!("{}.breaker", at_route(written)),
                        format!(
                            "{what}, but in {theirs} that is {there}, and here {here}; write the same in both, or off"
                        ),
                    );
                    break;
                }
            }
        }
    }
}

/// Which breaker a route gives to a target.
fn whose(route: &Located<file::Route>, target: &Target, defaults: &Policies) -> &'static str {
    match (&route.breaker, &defaults.breaker) {
        _ if target.has_own_breaker => "the target's own",
        (Some(_), _) => "the route's",
        (None, Some(_)) => "the one of defaults",
        (None, None) => "the standard one, since none is written",
    }
}
