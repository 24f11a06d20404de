//! One compiled config as it serves requests: routes with their plugins, targets and turns. It is never
//! changed; a request keeps the one it began with.

mod alike;
pub mod before;
#[cfg(test)]
mod cost;
mod identity;
mod limits;
mod names;
pub mod operators;
mod targets;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use ipnet::IpNet;

use self::before::{Before, RouteBefore};
use self::limits::Ids;
use self::operators::Operators;
use self::targets::Targets;
use crate::config::units::HostHeader;
use crate::config::{self, BalanceAlgorithm, Config, Destinations, HashKey, Sticky};
use crate::downstream::headers::Reserved;
use crate::downstream::pace::Pace;
use crate::observe::recent::Recents;
use crate::observe::tally::Tally;
use crate::observe::traces::Tracer;
use crate::plugin::Plugin;
use crate::plugin::answers::Answers;
use crate::plugin::auth::jwt::Verifier;
use crate::plugin::auth::passwords::Passwords;
use crate::plugin::auth::remote::Remote;
use crate::plugin::auth::{Auth, Knowers};
use crate::plugin::cors::Preflights;
use crate::plugin::forward_auth::ForwardAuth;
use crate::plugin::headers::RequestEdits;
use crate::plugin::ip_rules::IpRules;
use crate::plugin::rate_limit::rule::Limits;
use crate::plugin::rate_limit::{RateLimit, Store};
use crate::routing::answer::Answer;
use crate::routing::matcher::Matcher;
use crate::routing::rewrite::Rewrite;
use crate::routing::table::{Asked, Miss, Table};
use crate::tls::terminator::Terminator;
use crate::upstream::discovery::Lookout;
use crate::upstream::discovery::source::Source;
use crate::upstream::mirror::Mirror;
use crate::upstream::peer::Peers;
use crate::upstream::registry::Registry;
use crate::upstream::retry::Retries;
use crate::upstream::split::Split;

/// How long names, Redis and keys are waited for before requests are served without them.
const SETTLING: Duration = Duration::from_secs(2);

/// Everything a request needs to know.
pub struct Snapshot {
    /// Counts configs from the start on: 1 for the first.
    pub generation: u64,
    /// The routes in the order of the config.
    pub routes: Vec<Arc<Route>>,
    /// All targets, those that sources find included.
    pub registry: Arc<Registry>,
    /// What finds targets.
    pub sources: Vec<Arc<Source>>,
    /// Header names that clients may not use.
    pub reserved: Reserved,
    /// Parameters of queries that are tokens somewhere, and not to be told.
    pub query_tokens: Vec<String>,
    /// How the process ends.
    pub shutdown: config::Shutdown,
    /// What clients may ask of the gateway.
    pub limits: config::Limits,
    /// Networks whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Where limits are counted.
    pub store: Arc<Store>,
    /// What checks tokens, if any route needs them.
    pub verifier: Option<Arc<Verifier>>,
    /// What knows users by their passwords, if there are any.
    pub passwords: Option<Arc<Passwords>>,
    /// Whether HTTP/2 is spoken without TLS, too.
    pub h2c: bool,
    /// What ends the TLS of clients, if there is a door for it.
    pub tls: Option<Arc<Terminator>>,
    /// Who may use the admin listener, if there is one.
    pub operators: Option<Arc<Operators>>,
    /// Where spans are sent, if anywhere.
    pub tracer: Option<Arc<Tracer>>,
    /// What became of the last requests, if that is remembered.
    pub recent: Option<Arc<Recents>>,
    ids: Ids,
    table: Table<Arc<Route>>,
}

/// One route.
pub struct Route {
    /// What it is known by.
    pub name: Arc<str>,
    /// Its path prefix.
    pub path: Arc<str>,
    /// Which requests it takes.
    pub matcher: Matcher,
    /// What it answers in place of a target.
    pub answer: Option<Answer>,
    /// What becomes of the paths of its requests.
    pub rewrite: Option<Rewrite>,
    /// The prefix that is taken away from them, if one is.
    pub stripped: Option<HeaderValue>,
    /// Its targets.
    pub split: Split,
    /// What keeps requests with the group that they had before.
    pub sticky: Option<Sticky>,
    /// The `Host` that targets get.
    pub host_header: HostHeader,
    /// Where copies of its requests go.
    pub mirror: Option<Arc<Mirror>>,
    /// By what requests go to the same target, where they do.
    pub hash_key: Option<HashKey>,
    /// Its rate limits, if it has any.
    pub limits: Option<Arc<Limits>>,
    /// How its requests ended.
    pub tally: Arc<Tally>,
    /// Whether it answers a browser that asks if it may send a request.
    pub answers_preflights: bool,
    /// What runs before a request is forwarded, in this order.
    pub plugins: Vec<Box<dyn Plugin>>,
    /// What is changed in requests as they are sent, if anything.
    pub edits: Option<Box<RequestEdits>>,
    /// Which answers are compressed, if any.
    pub compression: Option<Arc<config::Compression>>,
    /// What plugins make of answers, if anything.
    pub answers: Option<Box<Answers>>,
    /// When a request is sent again, if ever.
    pub retries: Option<Arc<Retries>>,
    /// How long to wait for a target.
    pub timeouts: config::Timeouts,
    /// Bytes that the body of a request may have, if that matters.
    pub max_body: Option<u64>,
    /// How fast its clients have to be, if that matters.
    pub pace: Option<Pace>,
    /// How targets are connected to.
    pub peers: Arc<Peers>,
}

impl Snapshot {
    /// What `config` describes as it begins at `now`, with counters in `store`.
    pub fn new(config: &Config, store: Arc<Store>, now: Instant) -> Self {
        Snapshot::build(config, store, None, now)
    }

    /// The same in place of another config. Targets, circuits, turns and counts of what is still there go on; from here
    /// on circuits and checks go by the new one.
    pub fn after(before: Before<'_>, config: &Config, store: Arc<Store>, now: Instant) -> Self {
        Snapshot::build(config, store, Some(&before), now)
    }

    fn build(config: &Config, store: Arc<Store>, before: Option<&Before<'_>>, now: Instant) -> Self {
        let generation = before.map_or(0, |before| before.snapshot.generation) + 1;
        let mut targets = Targets::new(config, before, generation, now);
        let knowers = identity::knowers(config, before, now);
        let mut ids = Ids::after(before.map(|before| &before.snapshot.ids));
        let mut compile = |route| {
            let before = before.and_then(|before| before.route(route));
            Arc::new(compile(route, before.as_ref(), &mut ids, &mut targets, &knowers, &store, now))
        };
        let routes: Vec<Arc<Route>> = config.routes.iter().map(&mut compile).collect();
        Snapshot {
            generation,
            table: Table::new(config.routes.iter().map(|route| route.matcher.clone()).zip(routes.iter().cloned())),
            routes,
            sources: targets.sources(),
            registry: targets.registry,
            reserved: Reserved::new(config.identity_headers.iter().cloned(), names::decisive(config)),
            query_tokens: names::query_tokens(config),
            shutdown: config.shutdown,
            limits: config.limits,
            trusted_proxies: config.trusted_proxies.clone(),
            store,
            verifier: knowers.verifier.clone(),
            passwords: knowers.passwords.clone(),
            h2c: config.h2c,
            tls: before.and_then(|before| before.snapshot.tls.clone()),
            operators: operators(config, before),
            recent: recents(config, before),
            tracer: tracer(config, before),
            ids,
        }
    }

    /// The same, with this for the TLS of clients.
    pub fn ending_tls_by(self, terminator: Option<Arc<Terminator>>) -> Self {
        Snapshot { tls: terminator, ..self }
    }

    /// Has names looked up, Redis connected to, keys fetched and targets checked from now on, on tasks of this runtime, and
    /// waits for that a short time: what takes longer is no failure, and goes on.
    pub async fn settle_in(&self, lookout: &Arc<Lookout>) {
        self.remotes().for_each(Remote::begin);
        self.tracer.iter().for_each(|tracer| tracer.runs_here());
        let keys = async { futures_util::future::join_all(self.remotes().map(|remote| remote.first())).await };
        let connect = async {
            if let Some(redis) = self.store.redis() {
                redis.start().await;
            }
        };
        let looked = lookout.begin(&self.registry.all(), &self.sources);
        let _ = tokio::time::timeout(SETTLING, async { tokio::join!(looked.over(), connect, keys) }).await;
    }

    /// The keys of tokens that have to be fetched.
    pub fn remotes(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.verifier.iter().flat_map(|verifier| verifier.remotes())
    }

    /// The route that takes a request.
    ///
    /// # Errors
    /// None does.
    pub fn route(&self, asked: &Asked<'_>) -> Result<&Arc<Route>, Miss> {
        self.table.find(asked)
    }
}

fn operators(config: &Config, before: Option<&Before<'_>>) -> Option<Arc<Operators>> {
    let before = before.and_then(|before| before.snapshot.operators.as_deref());
    Operators::new(config.admin.as_ref()?, before).map(Arc::new)
}

/// Room for as many requests as the config says: what is in there is forgotten only when that changes.
fn recents(config: &Config, before: Option<&Before<'_>>) -> Option<Arc<Recents>> {
    let capacity = config.admin.as_ref()?.explain? as usize;
    let same = before.and_then(|before| before.snapshot.recent.clone()).filter(|same| same.capacity() == capacity);
    Some(same.unwrap_or_else(|| Arc::new(Recents::new(capacity))))
}

/// The one that there was, if it goes on.
fn tracer(config: &Config, before: Option<&Before<'_>>) -> Option<Arc<Tracer>> {
    let config = config.tracing.as_ref()?;
    let same = before.and_then(|before| before.snapshot.tracer.clone()).filter(|same| same.config() == config);
    same.or_else(|| Tracer::new(config).inspect_err(|error| log::error!("tracing: {error}")).ok())
}

fn compile<'c>(
    route: &'c config::Route,
    before: Option<&RouteBefore<'_>>,
    ids: &mut Ids,
    targets: &mut Targets<'c>,
    knowers: &Knowers,
    store: &Arc<Store>,
    now: Instant,
) -> Route {
    let mut plugins: Vec<Box<dyn Plugin>> = Vec::new();
    let config::Plugins { ip_allow, ip_deny, .. } = &route.plugins;
    if !(ip_allow.is_empty() && ip_deny.is_empty()) {
        plugins.push(Box::new(IpRules::new(ip_allow, ip_deny)));
    }
    if route.plugins.cors.is_some() {
        plugins.push(Box::new(Preflights));
    }
    if let Some(policy) = &route.plugins.auth {
        plugins.push(Box::new(Auth::new(policy, knowers)));
    }
    if let Some(asked) = &route.plugins.forward_auth {
        plugins.push(Box::new(ForwardAuth::new(asked)));
    }
    plugins.extend(route.plugins.custom.iter().map(|custom| Box::new(custom.clone()) as Box<dyn Plugin>));
    let limits = limits::compile(route, before, ids);
    if let Some(limits) = &limits {
        plugins.push(Box::new(RateLimit::new(limits.clone(), store.clone())));
    }
    let retries = route.retry.as_ref().map(|policy| {
        let same = before.filter(|before| before.config.retry.as_ref() == Some(policy));
        let known = same.and_then(|before| before.route.retries.clone());
        known.unwrap_or_else(|| Arc::new(Retries::new(policy.clone(), now)))
    });
    let hashed = route.balance.algorithm == BalanceAlgorithm::ConsistentHash;
    Route {
        name: route.name.as_str().into(),
        path: route.matcher.path.as_str().into(),
        matcher: route.matcher.clone(),
        answer: answer(&route.destinations),
        rewrite: route.rewrite.clone(),
        stripped: match &route.rewrite {
            // Its characters are those of a path.
            Some(Rewrite::Strip) => HeaderValue::from_str(&route.matcher.path).ok(),
            _ => None,
        },
        split: targets.split(route, before),
        sticky: match &route.destinations {
            Destinations::Groups { sticky, .. } => sticky.clone(),
            _ => None,
        },
        host_header: route.host_header.clone(),
        mirror: targets.mirror(route, before, now),
        hash_key: hashed.then(|| route.balance.key.clone()),
        limits,
        tally: before.map(|before| before.route.tally.clone()).unwrap_or_default(),
        answers_preflights: route.plugins.cors.is_some(),
        plugins,
        edits: route.plugins.headers.as_ref().and_then(|rules| RequestEdits::new(&rules.request)),
        compression: route.plugins.compression.clone().map(Arc::new),
        answers: Answers::new(&route.plugins),
        retries,
        timeouts: route.timeouts,
        max_body: route.limits.max_body,
        pace: route.limits.pace,
        peers: targets.peers(route),
    }
}

fn answer(destinations: &Destinations) -> Option<Answer> {
    match destinations {
        Destinations::Targets { .. } | Destinations::Groups { .. } => None,
        Destinations::Redirect { redirect } => Some(Answer::Redirect(redirect.clone())),
        Destinations::Respond { respond } => Some(Answer::Fixed {
            status: respond.status.0,
            // What may be in a field, as the config has seen to.
            content_type: respond.content_type.as_ref().and_then(|text| HeaderValue::from_str(text.as_str()).ok()),
            body: respond.body.clone().into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::target::Member;

    fn snapshot(text: &str) -> Snapshot {
        let loaded = config::parse("test.yaml", text, &|_| None).expect("a valid config");
        Snapshot::new(&loaded.config, Arc::new(Store::new(None, Instant::now())), Instant::now())
    }

    #[test]
    fn routes_share_the_targets_they_both_name_however_they_spell_them() {
        let snapshot = snapshot(concat!(
            "routes:\n",
            "  - { path: /a, targets: [http://x:1, http://y] }\n",
            "  - { path: /b, targets: [HTTP://Y:80/], breaker: off }\n",
        ));
        assert_eq!(snapshot.registry.all().len(), 2);
        let member = |route: usize, at: usize| {
            snapshot.routes[route].split.groups[0].roster.pool().members().nth(at).expect("one").clone()
        };
        assert!(Arc::ptr_eq(&member(0, 1).target, &member(1, 0).target));
        let guarded = |route: usize| member(route, 0).guarded;
        assert_eq!((guarded(0), guarded(1)), (true, false));
        let alike = |one: &Member, other: &Member| Arc::ptr_eq(&one.criteria, &other.criteria);
        assert!(
            alike(&member(0, 0), &member(0, 1)) && !alike(&member(0, 0), &member(1, 0)),
            "what they have alike is kept once"
        );
        assert!(Arc::ptr_eq(&snapshot.routes[0].peers, &snapshot.routes[1].peers));
        let (method, headers) = (http::Method::GET, http::HeaderMap::new());
        let asked = Asked { authority: None, path: "/b/7", method: &method, headers: &headers };
        assert_eq!(snapshot.route(&asked).map(|route| &*route.path), Ok("/b"));
    }

    #[test]
    fn plugins_stand_in_the_order_of_the_contract() {
        let snapshot = snapshot(concat!(
            "auth: { jwt: { secret: 0123456789abcdef0123456789abcdef } }\n",
            "routes:\n",
            "  - path: /a\n",
            "    targets: http://x:1\n",
            "    plugins: { rateLimit: { max: 1, window: 60 }, forwardAuth: { url: https://x }, auth: true, cors: { origins: \"*\" }, ipDeny: 10.0.0.1 }\n",
            "  - { path: /b, targets: http://x:1 }\n",
        ));
        let names =
            |route: usize| snapshot.routes[route].plugins.iter().map(|plugin| plugin.name()).collect::<Vec<_>>();
        assert_eq!((names(0), names(1)), (vec!["ipRules", "cors", "auth", "forwardAuth", "rateLimit"], vec![]));
    }
}
