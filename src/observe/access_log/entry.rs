//! What a line tells.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, Version, header};
use pingora::http::RequestHeader;

/// One request.
#[derive(Debug)]
pub struct Entry<'e> {
    /// Its head; `None` for bytes that were no request.
    pub request: Option<&'e RequestHeader>,
    /// The request's method.
    pub method: &'e str,
    /// The target that served it, or was tried last.
    pub target: Option<&'e str>,
    /// The path in normal form where it has one, without the query, which may hold secrets.
    pub path: &'e str,
    /// The query as far as anybody may see it, where it has one.
    pub query: Option<Cow<'e, str>>,
    /// The path that the target was sent, where that is another.
    pub forwarded: Option<&'e str>,
    /// The name of the route that took it.
    pub route: Option<&'e str>,
    /// The status that the client got; 499 if it left before.
    pub status: u16,
    /// From the request's head to the end of the answer.
    pub elapsed: Duration,
    /// The correlation id.
    pub request_id: &'e str,
    /// Who sent it, seen through trusted proxies.
    pub client: IpAddr,
    /// The user that authentication found.
    pub user: Option<&'e [u8]>,
    /// Bytes of the bodies of the request and its answer.
    pub bytes: (u64, u64),
    /// How many connections were tried for it, or used again.
    pub attempts: u32,
    /// Why the gateway answered itself, if it did.
    pub code: Option<&'static str>,
    /// Why the request ended as it did, in a word: the same, where there is one.
    pub reason: &'static str,
}

impl Entry<'_> {
    /// Whether it went as requests go, so that one is like the other.
    pub fn is_routine(&self) -> bool {
        self.status < 400 && self.code.is_none() && self.attempts <= 1
    }

    /// The value of a field of the request, the first where there are several.
    pub fn field(&self, name: &HeaderName) -> Option<Cow<'_, str>> {
        self.request?.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    /// Its `Host`.
    pub fn host(&self) -> Option<Cow<'_, str>> {
        self.field(&header::HOST)
    }

    /// What was spoken: `HTTP/1.1`.
    pub fn protocol(&self) -> &'static str {
        match self.request.map(|request| request.version) {
            Some(Version::HTTP_2) => "HTTP/2",
            Some(Version::HTTP_10) => "HTTP/1.0",
            Some(_) => "HTTP/1.1",
            None => "-",
        }
    }

    /// The user as text.
    pub fn user_text(&self) -> Option<Cow<'_, str>> {
        self.user.map(String::from_utf8_lossy)
    }
}
