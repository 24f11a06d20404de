//! From the file to what runs: defaults filled in, blocks inherited, references and ranges checked.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::header::HeaderName;
use ipnet::IpNet;

use super::env::Lookup;
use super::error::{Position, Problem};
use super::file::{self, File, Policies, Switch};
use super::located::Located;
use super::model::{AccessLog, Breaker, Config, Jwt, Plugins, RateLimit, Redis, Route, Timeouts};
use super::units::{ListenAddress, Secret};

/// HS256 wants a key of at least the size of its hash (RFC 7518, section 3.2).
const STRONG_SECRET_BYTES: usize = 32;
/// Compiles what was read; findings are added to `problems`. Where there are errors among them, the
/// result is only good for finding more.
pub fn compile(file: File, lookup: Lookup<'_>, problems: &mut Vec<Problem>) -> Config {
    let mut compiler = Compiler { lookup, problems };
    let mapped = compiler.claims_to_headers(&file.auth.jwt);
    let identity_headers = mapped.iter().map(|(_, header)| header.clone()).collect();
    let jwt = compiler.jwt(&file.auth.jwt, mapped);
    let defaults = file.defaults;
    let routes: Vec<Route> = file.routes.iter().map(|route| compiler.route(route, &defaults)).collect();
    if routes.is_empty() && !compiler.told_of("routes") {
        compiler.error(
            start(),
            "routes",
            "there is no route; add one such as { path: /users, targets: [http://users:3001] }",
        );
    }
    compiler.unique_paths(&file.routes);
    compiler.one_breaker_a_target(&file.routes, &routes);
    compiler.secret_is_there(&jwt, &file.routes, &routes);
    Config {
        listen: compiler.listen(file.listen.as_deref()),
        threads: file.threads.map_or_else(cores, |threads| threads.0),
        redis: compiler.redis(file.redis.unwrap_or_default()),
        trusted_proxies: compiler.trusted_proxies(&file.trusted_proxies),
        resolve: compiler.resolve(file.resolve),
        access_log: AccessLog {
            format: file.access_log.format,
            file: file.access_log.file.unwrap_or_else(|| "-".into()),
        },
        identity_headers,
        jwt: jwt.filter(|_| routes.iter().any(|route| route.plugins.auth)),
        routes,
    }
}

fn start() -> Position {
    Position { line: 1, column: 1 }
}

/// The cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

struct Compiler<'c> {
    lookup: Lookup<'c>,
    problems: &'c mut Vec<Problem>,
}

impl Compiler<'_> {
    fn error(&mut self, at: Position, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::error(at, path, message));
    }

    fn warn(&mut self, at: Position, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::warning(at, path, message));
    }

    /// Whether something at `path` or below has been found wrong already, and left out since.
    fn told_of(&self, path: &str) -> bool {
        self.problems.iter().any(|problem| problem.path.starts_with(path))
    }

    /// A variable that is set and not empty.
    fn variable(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn listen(&mut self, written: Option<&[Located<ListenAddress>]>) -> Vec<std::net::SocketAddr> {
        if let Some(addresses) = written.filter(|addresses| !addresses.is_empty()) {
            return addresses.iter().map(|address| address.0).collect();
        }
        let port = self.variable("PORT").unwrap_or_else(|| "8000".into());
        let port = port.parse().unwrap_or_else(|_| {
            self.error(
                start(),
                "listen",
                format!("the environment variable PORT is \"{port}\"; set it to a port (0-65535)"),
            );
            0
        });
        vec![(std::net::Ipv4Addr::UNSPECIFIED, port).into()]
    }

    fn trusted_proxies(&mut self, written: &[Located<file::Network>]) -> Vec<IpNet> {
        for network in written.iter().filter(|network| network.0.prefix_len() == 0) {
            let message = "everybody is trusted, so any client can choose the address that it is limited by; name your proxies' networks";
            self.warn(network.at, format!("trustedProxies[{}]", network.index), message);
        }
        written.iter().map(|network| network.0).collect()
    }

    fn redis(&mut self, written: file::Redis) -> Option<Redis> {
        let timeout = match written.timeout {
            Some(timeout) if !(Duration::from_millis(1)..=Duration::from_secs(10)).contains(&timeout.0) => {
                self.error(timeout.at, "redis.timeout", format!("{} is out of range; write 1ms to 10s", timeout.value));
                Duration::ZERO
            }
            Some(timeout) => timeout.0,
            None => Duration::from_millis(50),
        };
        let (at, path, url) = match written.url {
            Some(url) => (url.at, "redis.url", url.value.reveal().to_owned()),
            None => (start(), "the environment variable REDIS_URL", self.variable("REDIS_URL").unwrap_or_default()),
        };
        if url.is_empty() {
            return None;
        }
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("redis") => {}
            Some(later @ ("rediss" | "redis+sentinel" | "redis+unix" | "valkey" | "valkeys")) => {
                self.error(at, path, format!("{later}:// is not available yet; use redis://"));
                return None;
            }
            _ => {
                self.error(at, path, "no Redis URL; write redis://[user:password@]host[:port][/db]");
                return None;
            }
        }
        match redis::Client::open(url.as_str()) {
            Ok(_) => Some(Redis { url: Secret::new(url), timeout }),
            Err(error) => {
                // The error names what is wrong with the URL, never the password in it.
                self.error(
                    at,
                    path,
                    format!("no Redis URL ({}); write redis://[user:password@]host[:port][/db]", error.category()),
                );
                None
            }
        }
    }

    fn resolve(&mut self, written: Option<Located<super::units::Period>>) -> Duration {
        match written {
            Some(every) if every.0 < Duration::from_millis(100) => {
                self.error(every.at, "resolve", format!("{} is too often; write 100ms or more", every.value));
                every.0
            }
            Some(every) => every.0,
            None => Duration::from_secs(5),
        }
    }

    fn claims_to_headers(&mut self, written: &file::Jwt) -> Vec<(String, HeaderName)> {
        let pairs = written.claims_to_headers.iter();
        pairs.filter_map(|(claim, header)| Some((claim.clone(), self.identity_header(claim, header)?))).collect()
    }

    fn jwt(&mut self, written: &file::Jwt, claims_to_headers: Vec<(String, HeaderName)>) -> Option<Jwt> {
        if let Some(list) = written.algorithms.as_ref().filter(|list| list.is_empty())
            && !self.told_of("auth.jwt.algorithms")
        {
            self.error(list.at, "auth.jwt.algorithms", "the list is empty; write [HS256] or leave it out");
        }
        let secret = match &written.secret {
            Some(secret) if !secret.reveal().is_empty() => Some((secret.at, secret.value.clone())),
            _ => self.variable("JWT_SECRET").map(|secret| (start(), Secret::new(secret))),
        };
        let (at, secret) = secret?;
        if secret.reveal().len() < STRONG_SECRET_BYTES {
            self.warn(at, "auth.jwt.secret", format!(
                "the secret has {} bytes and can be guessed; HS256 wants at least {STRONG_SECRET_BYTES} (RFC 7518, 3.2), `openssl rand -base64 48` makes a good one",
                secret.reveal().len(),
            ));
        }
        Some(Jwt {
            secret,
            user_id_claim: written.user_id_claim.clone().unwrap_or_else(|| "userId".into()),
            issuer: written.issuer.0.clone(),
            audience: written.audience.0.clone(),
            leeway: written.leeway.map_or(Duration::ZERO, |leeway| leeway.0),
            required_claims: written.required_claims.0.clone(),
            claims_to_headers,
        })
    }

    /// A header that a claim may be sent in: one that the gateway can take away from clients.
    fn identity_header(&mut self, claim: &str, header: &Located<String>) -> Option<HeaderName> {
        const TAKEN: [&str; 14] = [
            "authorization",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "expect",
            "host",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "x-request-id",
            "x-user-id",
            "x-forwarded-for",
        ];
        let path = format!("auth.jwt.claimsToHeaders.{claim}");
        match HeaderName::try_from(header.value.as_str()) {
            Ok(name) if !TAKEN.contains(&name.as_str()) && !name.as_str().starts_with("x-forwarded-") => Some(name),
            Ok(name) => {
                self.error(
                    header.at,
                    path,
                    format!("the header {name} has a meaning of its own; choose another such as x-{claim}"),
                );
                None
            }
            Err(_) => {
                self.error(
                    header.at,
                    path,
                    format!("\"{}\" is no header name; write one such as x-tenant", header.value),
                );
                None
            }
        }
    }

    fn route(&mut self, written: &Located<file::Route>, defaults: &Policies) -> Route {
        let path = at_route(written);
        if written.targets.is_empty() && !self.told_of(&format!("{path}.targets")) {
            self.error(written.targets.at, format!("{path}.targets"), "there is no target; write [http://HOST:PORT]");
        }
        let mut targets = Vec::new();
        for target in written.targets.iter() {
            if targets.contains(&target.url) {
                self.error(
                    target.at,
                    format!("{path}.targets[{}]", target.index),
                    format!("{} is in the list already; keep one", target.url),
                );
            } else {
                targets.push(target.url.clone());
            }
        }
        let timeouts = written.timeouts.or(defaults.timeouts).unwrap_or_default();
        let limit = written.plugins.rate_limit.as_ref().or(defaults.plugins.rate_limit.as_ref());
        let auth = written.plugins.auth.as_ref().or(defaults.plugins.auth.as_ref());
        let block = written.breaker.as_ref().or(defaults.breaker.as_ref()).map(|block| &block.value);
        Route {
            path: written.path.as_str().to_owned(),
            targets,
            timeouts: Timeouts {
                connect: timeouts.connect.map_or(Duration::from_secs(2), |period| period.0.0),
                read: timeouts.read.map_or(Duration::from_secs(60), |period| period.0.0),
            },
            breaker: breaker(block),
            plugins: Plugins {
                auth: auth.is_some_and(|auth| matches!(auth.value, Switch::On(_))),
                rate_limit: limit.and_then(rate_limit),
            },
        }
    }

    fn unique_paths(&mut self, routes: &[Located<file::Route>]) {
        let mut seen: HashMap<&str, String> = HashMap::new();
        for route in routes {
            let (path, at) = (route.path.as_str(), format!("{}.path", at_route(route)));
            if path == "/gateway" || path.starts_with("/gateway/") {
                self.error(route.path.at, &at, "/gateway is the gateway's own; choose another path");
            }
            if let Some(first) = seen.get(path) {
                self.error(route.path.at, at, format!("{path} is the path of {first} already; choose another"));
            } else {
                seen.insert(path, at_route(route));
            }
        }
    }

    /// A target has one breaker, whichever routes name it, so they have to agree on it.
    fn one_breaker_a_target(&mut self, written: &[Located<file::Route>], routes: &[Route]) {
        let mut first: HashMap<&str, (&Located<file::Route>, &Breaker)> = HashMap::new();
        for (written, route) in written.iter().zip(routes) {
            let Some(breaker) = &route.breaker else { continue };
            for target in &route.targets {
                let (theirs, other) = *first.entry(target.as_str()).or_insert((written, breaker));
                if other != breaker {
                    let at = written.breaker.as_ref().map_or(written.at, |breaker| breaker.at);
                    let theirs = at_route(theirs);
                    self.error(
                        at,
                        format!("{}.breaker", at_route(written)),
                        format!("{target} is a target of {theirs} too, with another breaker; a target has one: write the same in both, or off"),
                    );
                    break;
                }
            }
        }
    }

    fn secret_is_there(&mut self, jwt: &Option<Jwt>, written: &[Located<file::Route>], routes: &[Route]) {
        let needs = written.iter().zip(routes).find(|(_, route)| route.plugins.auth);
        // A secret that is there and wrong has been told of already.
        if let (None, Some((written, _)), false) = (jwt, needs, self.told_of("auth")) {
            let at = written.plugins.auth.as_ref().map_or(written.at, |auth| auth.at);
            let what = "this route needs tokens, and there is no secret to check them with";
            let right = "set the environment variable JWT_SECRET (or auth.jwt.secret)";
            self.error(at, format!("{}.plugins.auth", at_route(written)), format!("{what}; {right}"));
        }
    }
}

fn at_route(route: &Located<file::Route>) -> String {
    format!("routes[{}]", route.index)
}

/// The breaker that a block describes; without a block, the default one.
fn breaker(written: Option<&Switch<file::Breaker>>) -> Option<Breaker> {
    let none = file::Breaker::default();
    let written = match written {
        Some(Switch::Off) => return None,
        Some(Switch::On(written)) => written,
        None => &none,
    };
    Some(Breaker {
        failures: written.failures.map_or(const { NonZeroU32::new(3).expect("3 is not 0") }, |count| count.0),
        cooldown: written.cooldown.map_or(Duration::from_secs(60), |period| period.0.0),
        statuses: written.statuses.as_ref().map_or_else(Breaker::default_statuses, |ranges| ranges.0.clone()),
    })
}

fn rate_limit(written: &Switch<file::RateLimit>) -> Option<RateLimit> {
    match written {
        Switch::Off => None,
        Switch::On(limit) => Some(RateLimit { max: limit.max.0, window: limit.window.0 }),
    }
}
