//! `cors`: whose pages a browser lets read answers (Fetch Standard, section 3.2).
//!
//! What it does is in two places: a question of a browser whether it may send a request (a preflight) is answered at
//! once, since it comes without credentials and so must not meet `auth`; and every answer of the route, the gateway's
//! own included, says who may read it. What an upstream has said of that is replaced.

use async_trait::async_trait;
use bytes::Bytes;
use http::header::MaxSizeReached;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::{Plugin, Request};
use crate::config;
use crate::config::Among;
use crate::config::units::WebOrigin;
use crate::downstream::answer::vary;
use crate::refusal::Refusal;
use crate::routing::methods::is_forwardable;

/// What only the gateway says.
const OWN: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];
/// Names of fields that are asked for, and repeated where all are allowed, have no more bytes.
const MOST_NAMES: usize = 4096;

/// One route's.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<WebOrigin>,
    credentials: bool,
    /// `None`: the one that is asked for.
    methods: Option<HeaderValue>,
    /// `None`: those that are asked for.
    headers: Option<HeaderValue>,
    exposed: HeaderValue,
    max_age: HeaderValue,
}

impl Cors {
    /// As `config` says.
    pub fn new(config: &config::Cors) -> Self {
        Cors {
            origins: config.origins.clone(),
            credentials: config.credentials,
            methods: list(&config.methods),
            headers: list(&config.headers),
            exposed: list(&config.expose_headers).unwrap_or(HeaderValue::from_static("*")),
            max_age: config.max_age.as_secs().into(),
        }
    }

    /// Writes into the fields of an answer what a browser has to know that has sent `asked` by `method`.
    ///
    /// # Errors
    /// There are tens of thousands of fields.
    pub fn dress(&self, method: &Method, asked: &HeaderMap, fields: &mut HeaderMap) -> Result<(), MaxSizeReached> {
        OWN.iter().for_each(|name| drop(fields.remove(name)));
        let is_preflight = is_preflight(method, asked);
        let everybody = self.origins.contains(&WebOrigin::Any);
        if !everybody || is_preflight {
            vary(fields, "Origin")?;
        }
        if is_preflight {
            vary(fields, "Access-Control-Request-Method")?;
            vary(fields, "Access-Control-Request-Headers")?;
        }
        let Some(origin) = (if everybody { Some(HeaderValue::from_static("*")) } else { self.known(asked) }) else {
            return Ok(());
        };
        let mut say = |name, value: HeaderValue| match value.is_empty() {
            true => Ok(None),
            false => fields.try_insert(name, value),
        };
        say(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)?;
        if self.credentials {
            say(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))?;
        }
        if !is_preflight {
            say(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.clone())?;
            return Ok(());
        }
        let methods = self.methods.clone().or_else(|| asked_method(asked));
        let headers = self.headers.clone().or_else(|| asked_headers(asked));
        say(header::ACCESS_CONTROL_ALLOW_METHODS, methods.unwrap_or(HeaderValue::from_static("")))?;
        say(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.unwrap_or(HeaderValue::from_static("")))?;
        say(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone())?;
        Ok(())
    }

    /// The origin of a request, if it has one and its pages may read answers.
    fn known(&self, asked: &HeaderMap) -> Option<HeaderValue> {
        let origin = only(asked, &header::ORIGIN)?;
        self.origins.iter().any(|known| known.has(origin.as_bytes())).then(|| origin.clone())
    }
}

/// Names with commas between them; `None`: all.
fn list<T: AsRef<str>>(names: &Among<T>) -> Option<HeaderValue> {
    let Among::These(names) = names else { return None };
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    // Methods and names of fields are made of what a field may hold.
    Some(HeaderValue::from_maybe_shared(Bytes::from(names.join(", "))).unwrap_or(HeaderValue::from_static("")))
}

/// Whether a browser asks if it may send a request (Fetch Standard, section 4.8).
pub fn is_preflight(method: &Method, asked: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && asked.contains_key(header::ORIGIN)
        && asked.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The method of the request that a preflight is about.
pub fn announced(method: &Method, asked: &HeaderMap) -> Option<Method> {
    let announced = is_preflight(method, asked).then(|| asked_method(asked)).flatten();
    announced.and_then(|method| Method::from_bytes(method.as_bytes()).ok())
}

/// A field that there is exactly one of.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn asked_method(asked: &HeaderMap) -> Option<HeaderValue> {
    let method = only(asked, &header::ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(method.as_bytes()).ok().filter(is_forwardable).map(|_| method.clone())
}

fn asked_headers(asked: &HeaderMap) -> Option<HeaderValue> {
    let names = only(asked, &header::ACCESS_CONTROL_REQUEST_HEADERS)?;
    let mut each = names.as_bytes().split(|byte| *byte == b',');
    let good = names.len() <= MOST_NAMES && each.all(|name| HeaderName::from_bytes(name.trim_ascii()).is_ok());
    good.then(|| names.clone())
}

/// What answers preflights, before anybody asks for credentials that they cannot have.
#[derive(Debug)]
pub struct Preflights;

#[async_trait]
impl Plugin for Preflights {
    fn name(&self) -> &'static str {
        "cors"
    }

    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        if is_preflight(request.method, request.headers) { Err(Refusal::Preflight) } else { Ok(()) }
    }
}
