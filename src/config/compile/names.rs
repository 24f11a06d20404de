//! Which names will be looked up.

use std::net::IpAddr;

use url::Url;

use super::Compiler;
use crate::config::error::Position;
use crate::config::names::{Named, Way};
use crate::config::redis::Servers;
use crate::config::units::{Origin, SourceKind};

impl Compiler<'_> {
    /// Notes a host that is no address, where nobody has noted it yet.
    pub(super) fn leads_to(&mut self, at: Position, path: &str, name: &str, way: Way) {
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let is_name = !name.is_empty() && name.parse::<IpAddr>().is_err();
        if !is_name || !self.known_names.insert((name.to_owned(), way)) {
            return;
        }
        self.names.push(Named { at, path: path.to_owned(), name: name.to_owned(), way, is_hidden: false });
    }

    /// The same of a target, or of what knows some.
    pub(super) fn leads_to_targets(&mut self, at: Position, path: &str, origin: &Origin) {
        match origin {
            Origin::Url(url) => self.leads_to(at, path, &url.host, Way::Addresses),
            Origin::Source(source) => match &source.kind {
                SourceKind::Dns { host, .. } => self.leads_to(at, path, host, Way::Addresses),
                SourceKind::Srv { name, .. } => self.leads_to(at, path, name, Way::Services),
                SourceKind::File { .. } => {}
            },
        }
    }

    /// The same of servers of Redis. Of their URLs, which have passwords in them, nothing but the host is kept.
    pub(super) fn leads_to_redis(&mut self, at: Position, path: &str, servers: &Servers) {
        let host =
            |url: &str| Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        let hosts: Vec<String> = match servers {
            Servers::One(url) => vec![host(url.reveal())],
            Servers::Sentinel(url) => url.sentinels.iter().map(|(host, _)| host.clone()).collect(),
            Servers::Cluster(urls) => urls.iter().map(|url| host(url.reveal())).collect(),
        };
        let others = self.names.len();
        hosts.iter().for_each(|host| self.leads_to(at, path, host, Way::System));
        self.names[others..].iter_mut().for_each(|named| named.is_hidden = true);
    }
}
