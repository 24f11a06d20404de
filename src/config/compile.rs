//! From the file to what runs: defaults filled in, blocks inherited, references and ranges checked.

mod admin;
pub mod answer;
mod api_keys;
mod auth;
mod auth_route;
mod balance;
mod basic;
mod breaker;
mod compression;
mod cors;
mod custom;
mod doubts;
mod forward_auth;
mod headers;
mod health;
mod ip_rules;
mod keys;
mod limits;
mod matching;
mod names;
mod rate_limit;
mod redis;
mod resolve;
mod retry;
mod rewrite;
mod route;
mod samples;
mod security_headers;
mod shutdown;
mod split;
mod timeouts;
mod tls;
mod tracing;
mod upstream_tls;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;

use self::doubts::Written;
use super::env::Lookup;
use super::error::{Position, Problem};
use super::file::{self, File, Masked, OneOrMany};
use super::files::Files;
use super::located::Located;
use super::model::{self, AccessLog, Config, Route};
use super::names::{Named, Way};
use super::units::ListenAddress;
use crate::contents::{MOST, ReadError};
use crate::observe::access_log::privacy::Masks;
use crate::plugin::ip_rules::as_ipv4;
use crate::tls::certificate::Certificate;

fn access_log(written: file::AccessLog) -> AccessLog {
    let masks = |what| written.mask.iter().flat_map(|OneOrMany(masked)| masked).any(|masked| masked.value == what);
    AccessLog {
        mask: Masks { client: masks(Masked::Client), user: masks(Masked::User) },
        format: written.format,
        file: written.file.unwrap_or_else(|| "-".into()),
        sample: written.sample,
        query: written.query,
    }
}

/// Compiles what was read; findings are added to `problems`. Where there are errors among them, the
/// result is only good for finding more.
///
/// All files are read through `files`; the names that it leads to are given beside it; `current` is the config that runs, if one does.
pub fn compile(
    file: File,
    lookup: Lookup<'_>,
    problems: &mut Vec<Problem>,
    files: &mut Files,
    current: Option<&Config>,
) -> (Config, Vec<Named>) {
    let mut compiler = Compiler { lookup, problems, files, current, names: Vec::new(), known_names: HashSet::new() };
    let (auth, mut identity_headers) = compiler.auth(&file.auth);
    let defaults = file.defaults;
    let limits = compiler.limits(&file.limits);
    let bare = answer::without_targets(&defaults);
    let mut route = |route: &Located<file::Route>| {
        let answers = route.redirect.is_some() || route.respond.is_some();
        compiler.route(route, if answers { &bare } else { &defaults }, &limits)
    };
    let routes: Vec<Route> = file.routes.iter().map(&mut route).collect();
    if routes.is_empty() && !compiler.told_of("routes") {
        compiler.error(
            start(),
            "routes",
            "there is no route; add one such as { path: /users, targets: [http://users:3001] }",
        );
    }
    let asked = routes.iter().filter_map(|route| route.plugins.forward_auth.as_ref());
    identity_headers.extend(asked.flat_map(|asked| asked.response_headers.iter().cloned()));
    // What is inherited is there once for each route.
    let mut known = HashSet::new();
    identity_headers.retain(|header| known.insert(header.clone()));
    compiler.identity_is_left_alone(&identity_headers, &file.routes, &defaults);
    compiler.routes_differ(&file.routes, &routes);
    compiler.fields_can_come(&file.routes, &routes, &identity_headers);
    compiler.one_breaker_a_target(&file.routes, &routes, &defaults);
    compiler.one_check_a_target(&file.routes, &routes);
    compiler.shared_limits_agree(&file.routes, &routes);
    let redis = compiler.redis(&file.redis.unwrap_or_default());
    compiler.cluster_has_one_slot(redis.as_ref(), &file.routes, &routes);
    let listen = compiler.listen(file.listen.as_deref(), file.tls.is_some());
    let tls = compiler.tls(file.tls.as_ref(), &listen);
    compiler.credentials_are_there(&auth, tls.as_ref(), &file.routes, &routes);
    let ours = tls.iter().flat_map(model::Tls::addresses).chain(listen.iter().copied()).collect::<Vec<_>>();
    let config = Config {
        admin: compiler.admin(file.admin.as_ref(), &ours),
        listen,
        h2c: file.h2c,
        tls,
        threads: file.threads.map_or_else(cores, |threads| threads.0),
        redis,
        trusted_proxies: compiler.trusted_proxies(&file.trusted_proxies),
        resolve: compiler.resolve(file.resolve.as_ref()),
        limits,
        access_log: access_log(file.access_log),
        tracing: compiler.tracing(file.tracing.as_ref()),
        shutdown: compiler.shutdown(file.shutdown.as_ref()),
        identity_headers,
        auth: auth.needed(&routes),
        routes,
    };
    compiler.doubts(&config, &Written { routes: &file.routes, defaults: &defaults, jwt: &file.auth.jwt });
    (config, compiler.names)
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
    files: &'c mut Files,
    current: Option<&'c Config>,
    /// Each once.
    names: Vec<Named>,
    known_names: HashSet<(String, Way)>,
}

impl Compiler<'_> {
    /// What is in a file that the config names.
    fn read(&mut self, name: &str) -> Result<Arc<[u8]>, Arc<ReadError>> {
        self.files.read(name, MOST)
    }

    /// The same as text.
    fn read_text(&mut self, name: &str) -> Result<String, Arc<ReadError>> {
        self.files.read_text(name, MOST)
    }

    /// The certificate in two files.
    fn certificate(&mut self, cert: &str, key: &str) -> Result<Certificate, String> {
        let chain = self.read(cert).map_err(|error| format!("cannot read {cert}: {error}"))?;
        // Its name is not repeated: it may be the key itself.
        let secret = self
            .read(key)
            .map_err(|error| format!("cannot read the key of {cert}: {error}; write keyFile: key.pem"))?;
        Certificate::read((cert, &chain), (key, &secret), SystemTime::now())
    }

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

    fn listen(&mut self, written: Option<&[Located<ListenAddress>]>, has_tls: bool) -> Vec<std::net::SocketAddr> {
        if let Some(addresses) = written.filter(|addresses| has_tls || !addresses.is_empty()) {
            return addresses.iter().map(|address| address.0).collect();
        }
        let port = self.variable("PORT").unwrap_or_else(|| "8000".into());
        let port = port.parse().unwrap_or_else(|_| {
            self.error(start(), "listen", "the environment variable PORT is no port; set it to one (0-65535)");
            0
        });
        vec![(std::net::Ipv4Addr::UNSPECIFIED, port).into()]
    }

    fn trusted_proxies(&mut self, written: &[Located<file::Network>]) -> Vec<IpNet> {
        for network in written.iter().filter(|network| as_ipv4(network.0).prefix_len() == 0) {
            let message = "everybody is trusted, so any client can choose the address that it is limited by; name your proxies' networks";
            self.warn(network.at, format!("trustedProxies[{}]", network.index), message);
        }
        // Peers are of IPv4 where they come by a socket of both.
        written.iter().map(|network| as_ipv4(network.0)).collect()
    }
}

fn at_route(route: &Located<file::Route>) -> String {
    format!("routes[{}]", route.index)
}
