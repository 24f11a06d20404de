//! What runs on a request before it is forwarded: [`ip_rules`], [`cors`], [`auth`], [`forward_auth`], [`rate_limit`], and
//! whatever else is a [`Plugin`]; what is changed in what is sent: [`headers`];
//! and what is made of answers: [`answers`],
//! [`compression`].

pub mod answers;
pub mod auth;
pub mod compression;
pub mod cors;
pub mod custom;
pub mod forward_auth;
pub mod headers;
pub mod ip_rules;
pub mod rate_limit;
pub mod security_headers;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use self::auth::claims::Claims;
use self::auth::place::{self, TokenFrom};
use crate::refusal::Refusal;
use crate::tls::client::ClientCertificate;

/// A step in the life of a request that may refuse it.
///
/// Plugins run in the order of the route, for every request that the route takes, whatever its method or
/// protocol: an `Upgrade` exempts nothing.
#[async_trait]
pub trait Plugin: Send + Sync {
    /// Its name in the config.
    fn name(&self) -> &'static str;

    /// Decides on one request.
    ///
    /// # Errors
    /// The refusal, which is the answer; plugins after this one do not run then.
    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal>;

    /// What [`Plugin::on_request`] would say, for a request that is only asked about: one that counts, or asks others, does
    /// neither here. By default it is the same.
    ///
    /// # Errors
    /// The refusal that would be the answer.
    async fn preview(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        self.on_request(request).await
    }
}

/// What a plugin sees of a request, and what it may add.
#[derive(Debug)]
pub struct Request<'r> {
    /// What it is called.
    pub id: &'r HeaderValue,
    /// How its client wrote its URL: `https` or `http`.
    pub scheme: &'static str,
    /// The method.
    pub method: &'r Method,
    /// The path in normal form, without the query.
    pub path: &'r str,
    /// The query, without its question mark.
    pub query: Option<&'r str>,
    /// The header fields as the client sent them, identity headers taken out.
    pub headers: &'r HeaderMap,
    /// The certificate that the client has shown, if it came by TLS and has.
    pub certificate: Option<&'r ClientCertificate>,
    /// Who sent it.
    pub client_ip: IpAddr,
    /// When it arrived, for reckoning.
    pub now: Instant,
    /// When it arrived, by the clock on the wall.
    pub wall: SystemTime,
    /// What was found out and will be sent along.
    pub notes: &'r mut Notes,
}

/// What plugins add to a request and to its answer.
#[derive(Debug, Default)]
pub struct Notes {
    /// The user that a plugin found, sent upstream as `x-user-id`.
    pub user_id: Option<HeaderValue>,
    /// Further fields to send upstream, each in place of the client's.
    pub upstream: Vec<(HeaderName, HeaderValue)>,
    /// Where credentials are that the upstream is not to see.
    pub hidden: Vec<TokenFrom>,
    /// What the token says that limits go by.
    pub claims: Option<Arc<Claims>>,
    /// Fields to add to the answer, whoever gives it.
    pub answer: Vec<(HeaderName, HeaderValue)>,
    on_answer: Vec<OnAnswer>,
    /// Whether it is kept what plugins go by.
    pub(crate) is_explained: bool,
    facts: Option<Facts>,
}

/// What a plugin went by, as a JSON object that is made when somebody asks.
pub struct Facts(Box<dyn Fn() -> Value + Send + Sync>);

impl Facts {
    /// They.
    pub fn to_json(&self) -> Value {
        (self.0)()
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_json(), f)
    }
}

/// What is to be told the head of the upstream's answer.
struct OnAnswer(Box<Then>);

type Then = dyn FnOnce(&HeaderMap, Instant) + Send + Sync;

impl fmt::Debug for OnAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnAnswer")
    }
}

impl Notes {
    /// `query` without the credentials in it that nobody else is to see.
    pub fn visible_query(&self, query: &str) -> Option<Vec<u8>> {
        let names = self.hidden.iter().filter_map(|from| match from {
            TokenFrom::Query(name) => Some(name),
            _ => None,
        });
        place::without_all(query, names)
    }

    /// Keeps what a plugin goes by, for whoever wants to know why it decided as it did: a JSON object, in place of what it has
    /// said before. No credentials belong in it.
    ///
    /// Most requests are never explained, and some gateways explain none: what is in the object is taken by `facts`, which is
    /// not called at all then, and the object itself is made by what that gives, once somebody asks.
    pub fn explain<F: Fn() -> Value + Send + Sync + 'static>(&mut self, facts: impl FnOnce() -> F) {
        if self.is_explained {
            self.facts = Some(Facts(Box::new(facts())));
        }
    }

    /// What the last plugin said of itself.
    pub(crate) fn take_facts(&mut self) -> Option<Facts> {
        self.facts.take()
    }

    /// Has `then` run with the fields of the upstream's answer and the time, should one come.
    pub fn on_answer(&mut self, then: impl FnOnce(&HeaderMap, Instant) + Send + Sync + 'static) {
        self.on_answer.push(OnAnswer(Box::new(then)));
    }

    /// The upstream has answered.
    pub fn answered(&mut self, headers: &HeaderMap, now: Instant) {
        self.on_answer.drain(..).for_each(|then| then.0(headers, now));
    }
}
