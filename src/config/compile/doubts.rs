//! What runs and may not be what is meant, where more than one block has to be looked at to see it. Every doubt can be
//! cleared by writing what is meant; none is about what is left out of a small config for good reason.

mod guarded;

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, header};

use self::guarded::Guarded;
use super::{Compiler, at_route};
use crate::config::error::{Position, Severity};
use crate::config::file::{self, OneOrMany, Policies, Switch};
use crate::config::located::Located;
use crate::config::model::{Config, Destinations, KeySource, Route};
use crate::config::units::{Period, RetryOn};

/// What was written, of which the doubts are told.
pub(super) struct Written<'w> {
    pub routes: &'w [Located<file::Route>],
    pub defaults: &'w Policies,
    pub jwt: &'w OneOrMany<Located<file::Jwt>>,
}

impl Compiler<'_> {
    /// Tells of them where all else is right.
    pub(super) fn doubts(&mut self, config: &Config, written: &Written<'_>) {
        if self.problems.iter().any(|problem| problem.severity == Severity::Error) {
            return;
        }
        self.clients_have_addresses(config, written);
        self.is_open_on_purpose(config, written);
        self.tokens_end(config, written);
        self.retries_have_time(config, written);
    }

    /// Behind a proxy that nobody trusts, all clients have its address.
    fn clients_have_addresses(&mut self, config: &Config, written: &Written<'_>) {
        let Some(why) = behind_a_proxy(config).filter(|_| config.trusted_proxies.is_empty()) else { return };
        for (route, own) in config.routes.iter().zip(written.routes) {
            if let Some((at, key)) = by_address(route, own, written.defaults) {
                let place = if at.1 { at_route(own) } else { "defaults".to_owned() };
                let message = format!(
                    "it goes by the addresses of clients, and {why}: all of them seem to come from the proxy in front; write its network under trustedProxies"
                );
                self.warn(at.0, format!("{place}.plugins.{key}"), message);
                return;
            }
        }
    }

    /// A route that takes requests from under one that asks who they are from says itself that it does not.
    fn is_open_on_purpose(&mut self, config: &Config, written: &Written<'_>) {
        let asking = config.routes.iter().enumerate().filter(|(_, route)| is_guarded(route));
        let guarded = Guarded::new(asking.map(|(nth, route)| (nth, &route.matcher)));
        let routes = config.routes.iter().zip(written.routes);
        for (open, own) in routes.filter(|(route, own)| is_open(route) && !says_so(own)) {
            let Some(nth) = guarded.first_over(&open.matcher) else { continue };
            let (over, theirs) = (&config.routes[nth], &written.routes[nth]);
            let asks = if over.plugins.auth.is_some() { "auth" } else { "forwardAuth" };
            let message = format!(
                "nothing is asked of its requests, though {} has {asks} for {}; write auth: false under its plugins if that is meant, or auth: true",
                at_route(theirs),
                over.matcher.text(),
            );
            self.warn(own.path.at, format!("{}.path", at_route(own)), message);
        }
    }

    /// What issuers of tokens sign ends, so it costs nothing to want that. Whoever signs with a secret of the config's own may
    /// have tokens that do not.
    fn tokens_end(&mut self, config: &Config, written: &Written<'_>) {
        let several = written.jwt.len() > 1;
        for (jwt, own) in config.auth.jwt.iter().zip(written.jwt.iter()) {
            let is_own = matches!(jwt.source, KeySource::Secret { .. } | KeySource::SecretFile { .. });
            if is_own || jwt.required_claims.iter().any(|claim| claim == "exp") {
                continue;
            }
            let path = if several { format!("auth.jwt[{}]", own.index) } else { "auth.jwt".to_owned() };
            let message = "a token without exp is taken, and is good for ever; write requiredClaims: [exp]";
            self.warn(own.at, format!("{path}.requiredClaims"), message);
        }
    }

    /// A retry that comes when all of the time is over is none.
    fn retries_have_time(&mut self, config: &Config, written: &Written<'_>) {
        for (route, own) in config.routes.iter().zip(written.routes) {
            let (Some(retry), Some(total)) = (&route.retry, route.timeouts.total) else { continue };
            let each = retry.per_try_timeout.unwrap_or(route.timeouts.first_byte);
            let waits = retry.per_try_timeout.is_some() || retry.on.contains(&RetryOn::Timeout);
            let attempts = retry.attempts.get();
            let needed = each.saturating_mul(attempts);
            if !waits || attempts < 2 || needed <= total {
                continue;
            }
            let (block, place) = match (&own.retry, &written.defaults.retry) {
                (Some(block), _) => (block, at_route(own)),
                (None, Some(block)) => (block, "defaults".to_owned()),
                (None, None) => continue,
            };
            let Switch::On(keys) = &block.value else { continue };
            let (at, key) = match (&keys.per_try_timeout, &keys.attempts) {
                (Some(per_try), _) => (per_try.at, ".perTryTimeout"),
                (None, Some(attempts)) => (attempts.at, ".attempts"),
                (None, None) => (block.at, ""),
            };
            let share = Period(Duration::from_millis((total.as_millis() / u128::from(attempts)) as u64));
            let message = format!(
                "{attempts} attempts of {} may take {}, and timeouts.total ends all of them after {}; write a perTryTimeout of {share} or less, or a longer total",
                Period(each),
                Period(needed),
                Period(total),
            );
            self.warn(at, format!("{place}.retry{key}"), message);
        }
    }
}

/// Why somebody seems to be in front who speaks for clients. Nobody else gets at the loopback; a private address, though, is
/// one that clients of the same network have, too.
fn behind_a_proxy(config: &Config) -> Option<String> {
    let mut addresses = config.listen.iter().chain(config.tls.iter().flat_map(|tls| &tls.listen)).peekable();
    // Port 0 is any free one, which no proxy can know.
    let is_inside = |address: &SocketAddr| address.ip().to_canonical().is_loopback() && address.port() != 0;
    if let Some(first) = addresses.peek().copied()
        && addresses.all(is_inside)
    {
        return Some(format!("{first} is reached from this machine alone"));
    }
    let always = |route: &Route| {
        let hsts = route.plugins.security_headers.as_ref().and_then(|headers| headers.hsts.as_ref());
        hsts.is_some_and(|hsts| hsts.always)
    };
    if config.routes.iter().any(always) {
        return Some("hsts.always says that somebody in front speaks https".to_owned());
    }
    let named = config.routes.iter().flat_map(|route| &route.matcher.fields).map(|field| &field.name);
    named.into_iter().find(|name| is_of_proxies(name)).map(|name| format!("{name} is what a proxy says"))
}

fn is_of_proxies(name: &HeaderName) -> bool {
    *name == header::FORWARDED || *name == "x-real-ip" || name.as_str().starts_with("x-forwarded-")
}

/// What of a route goes by addresses, where it stands and whether that is in the route itself.
fn by_address(
    route: &Route,
    own: &Located<file::Route>,
    defaults: &Policies,
) -> Option<((Position, bool), &'static str)> {
    type Blocks<'p> = (&'p file::Plugins, &'p file::Plugins);
    fn place<T>((own, defaults): Blocks<'_>, block: fn(&file::Plugins) -> Option<T>) -> Option<(T, bool)> {
        block(own).map(|at| (at, true)).or_else(|| block(defaults).map(|at| (at, false)))
    }
    let blocks = (&own.plugins, &defaults.plugins);
    let limited = route.plugins.rate_limit.iter().any(|limit| limit.key.contains(&file::KeyPart::Ip));
    if limited {
        let limits = |plugins: &file::Plugins| match plugins.rate_limit.as_ref()? {
            Switch::On(limits) => limits.rules.first().map(|rule| rule.at),
            Switch::Off => None,
        };
        return Some((place(blocks, limits)?, "rateLimit"));
    }
    if !route.plugins.ip_allow.is_empty() {
        return Some((place(blocks, |plugins| plugins.ip_allow.as_ref().map(|list| list.at))?, "ipAllow"));
    }
    if !route.plugins.ip_deny.is_empty() {
        return Some((place(blocks, |plugins| plugins.ip_deny.as_ref().map(|list| list.at))?, "ipDeny"));
    }
    None
}

/// Whether anybody's requests come to targets.
fn is_open(route: &Route) -> bool {
    let has_targets = !matches!(route.destinations, Destinations::Redirect { .. } | Destinations::Respond { .. });
    // What plugins of the program's own ask is not known here.
    has_targets
        && route.plugins.auth.is_none()
        && route.plugins.forward_auth.is_none()
        && route.plugins.custom.is_empty()
}

fn is_guarded(route: &Route) -> bool {
    route.plugins.auth.as_ref().is_some_and(|policy| !policy.optional) || route.plugins.forward_auth.is_some()
}

/// Whether a route says itself that it asks nobody.
fn says_so(route: &Located<file::Route>) -> bool {
    route.plugins.auth.is_some() || route.plugins.forward_auth.is_some()
}
