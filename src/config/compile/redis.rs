//! `redis:`

use std::time::Duration;

use redis::{ClientTlsConfig, TlsCertificates};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::{Compiler, at_route, start};
use crate::config::error::Position;
use crate::config::file::{self, KeyPart, Scope};
use crate::config::located::Located;
use crate::config::model::{RateLimit, Route};
use crate::config::redis::{Redis, Servers};
use crate::config::units::Secret;

const FORM: &str = "redis://[user:password@]host[:port][/db]";

impl Compiler<'_> {
    pub(super) fn redis(&mut self, written: &file::Redis) -> Option<Redis> {
        let timeout = self.redis_timeout(written.timeout.as_ref());
        let (files, certificates) = self.certificates(written);
        let from_environment = Secret::new(self.variable("REDIS_URL").unwrap_or_default());
        let (at, path, servers) = match (&written.url, &written.cluster) {
            (Some(_), Some(cluster)) => {
                self.error(cluster.at, "redis.cluster", "there is a redis.url, too; write one of the two");
                return None;
            }
            (None, Some(cluster)) => (cluster.at, "redis.cluster", self.cluster(cluster)?),
            (url, None) => {
                let (at, path, url) = match url {
                    Some(url) => (url.at, "redis.url", &url.value),
                    None => (start(), "the environment variable REDIS_URL", &from_environment),
                };
                (at, path, self.servers(at, path, url)?)
            }
        };
        let redis = Redis { servers, timeout, files, certificates };
        self.connects(&redis, at, path);
        self.leads_to_redis(at, path, &redis.servers);
        Some(redis)
    }

    fn redis_timeout(&mut self, written: Option<&Located<crate::config::units::Period>>) -> Duration {
        match written {
            Some(timeout) if !(Duration::from_millis(1)..=Duration::from_secs(10)).contains(&timeout.0) => {
                self.error(timeout.at, "redis.timeout", format!("{} is out of range; write 1ms to 10s", timeout.value));
                Duration::ZERO
            }
            Some(timeout) => timeout.0,
            None => Duration::from_millis(50),
        }
    }

    fn servers(&mut self, at: Position, path: &str, url: &Secret) -> Option<Servers> {
        let text = url.reveal();
        match text.split_once("://").map(|(scheme, _)| scheme) {
            _ if text.is_empty() => None,
            Some("redis+sentinel" | "rediss+sentinel") => match text.parse() {
                Ok(url) => Some(Servers::Sentinel(url)),
                Err(message) => {
                    self.error(at, path, message);
                    None
                }
            },
            _ => self.is_server(at, path, url).then(|| Servers::One(url.clone())),
        }
    }

    fn cluster(&mut self, written: &Located<file::OneOrMany<Located<Secret>>>) -> Option<Servers> {
        if written.is_empty() {
            self.error(written.at, "redis.cluster", format!("there is no node; write [{FORM}]"));
        }
        let mut good = !written.is_empty();
        for url in written.iter() {
            good &= self.is_server(url.at, &format!("redis.cluster[{}]", url.index), &url.value);
        }
        let first = written.first().map(|url| scheme(&url.value));
        if let Some(other) = written.iter().find(|url| Some(scheme(&url.value)) != first).filter(|_| good) {
            let message = "some nodes are to be reached with TLS and some without; write the same scheme for all";
            self.error(other.at, format!("redis.cluster[{}]", other.index), message);
        }
        good.then(|| Servers::Cluster(written.iter().map(|url| url.value.clone()).collect()))
    }

    /// Whether `url` is that of a server. The error names what is wrong with it, never the password in it.
    fn is_server(&mut self, at: Position, path: &str, url: &Secret) -> bool {
        let wrong = match scheme(url) {
            "redis" | "rediss" | "valkey" | "valkeys" => match redis::Client::open(url.reveal()) {
                Ok(_) if url.reveal().ends_with("#insecure") => {
                    "#insecure would take anybody for Redis; set redis.caFile".to_owned()
                }
                Ok(_) => return true,
                Err(error) => format!("no Redis URL ({}); write {FORM}", error.category()),
            },
            _ => format!("no Redis URL; write {FORM}"),
        };
        self.error(at, path, wrong);
        false
    }

    /// The files of TLS, and what is in them.
    fn certificates(&mut self, written: &file::Redis) -> (Vec<(&'static str, String)>, TlsCertificates) {
        let mut files = Vec::new();
        let mut read = |key: &'static str, file: &Option<Located<String>>| {
            let file = file.as_ref()?;
            files.push((key, file.value.clone()));
            match self.read(&file.value) {
                Ok(bytes) => Some(bytes.to_vec()),
                Err(error) => {
                    // The key may be there itself.
                    let name = if key == "keyFile" { "it" } else { &file.value };
                    let message = format!("cannot read {name}: {error}; write the name of a PEM file");
                    self.error(file.at, format!("redis.{key}"), message);
                    None
                }
            }
        };
        let root_cert = read("caFile", &written.ca_file);
        let (cert, key) = (read("certFile", &written.cert_file), read("keyFile", &written.key_file));
        if let (Some(file), Some(bytes)) = (&written.ca_file, &root_cert)
            && !matches!(CertificateDer::pem_slice_iter(bytes).next(), Some(Ok(_)))
        {
            let message = format!("there is no certificate in {}; write the name of a PEM file", file.value);
            self.error(file.at, "redis.caFile", message);
        }
        if let (Some(alone), None) | (None, Some(alone)) = (&written.cert_file, &written.key_file) {
            self.error(alone.at, "redis", "a certificate and its key go together; write both certFile and keyFile");
        }
        let client_tls = cert.zip(key).map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        (files, TlsCertificates { client_tls, root_cert })
    }

    /// Whether clients can be made of it all.
    fn connects(&mut self, redis: &Redis, at: Position, path: &str) {
        let (tls, made) = match &redis.servers {
            Servers::One(url) => (is_tls(url), redis.client(url.reveal()).map(drop)),
            Servers::Sentinel(url) => (url.tls, redis.sentinels(url).map(drop)),
            Servers::Cluster(urls) => {
                (urls.iter().any(is_tls), urls.iter().try_for_each(|url| redis.client(url.reveal()).map(drop)))
            }
        };
        if let (Err(error), false) = (&made, self.told_of("redis")) {
            let message = format!("TLS cannot be set up: {error}; caFile, certFile and keyFile are PEM files");
            self.error(at, path, message);
        }
        if !tls && !redis.files.is_empty() {
            self.error(at, path, "caFile, certFile and keyFile are for TLS; write rediss://, or remove them");
        }
    }

    /// The counters of a list are asked in one call, which a cluster takes only for keys in one slot.
    pub(super) fn cluster_has_one_slot(
        &mut self,
        redis: Option<&Redis>,
        written: &[Located<file::Route>],
        routes: &[Route],
    ) {
        if !redis.is_some_and(|redis| matches!(redis.servers, Servers::Cluster(_))) {
            return;
        }
        for (written, route) in written.iter().zip(routes) {
            let mut tags = route.plugins.rate_limit.iter().map(tag);
            let first = tags.next();
            if tags.any(|tag| Some(tag) != first) {
                let message = "limits that decide together have to go by the same key in a Redis cluster, where one call reaches one slot; write the same key and prefixes in all of them";
                self.error(
                    super::rate_limit::limit_at(written),
                    format!("{}.plugins.rateLimit", at_route(written)),
                    message,
                );
            }
        }
    }
}

/// What the hash tag of a limit's counters is made of.
fn tag(limit: &RateLimit) -> (&[KeyPart], (u8, u8), Option<&Scope>) {
    let scope = limit.key.contains(&KeyPart::Route).then_some(&limit.scope);
    (&limit.key, (limit.prefixes.ipv4, limit.prefixes.ipv6), scope)
}

fn is_tls(url: &Secret) -> bool {
    matches!(scheme(url), "rediss" | "valkeys")
}

fn scheme(url: &Secret) -> &str {
    url.reveal().split_once("://").map_or("", |(scheme, _)| scheme)
}
