//! Names, by DNS (hickory-resolver): what they lead to, and for how long.
//!
//! The hosts file and the servers are those of the system unless the config names servers; when either file
//! changes, both are read anew. A name that DNS does not know may still be known to the system in another way
//! (mDNS, NIS, a plug-in of the C library), so the system is asked, too, unless the config names servers.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use parking_lot::Mutex;

use crate::config;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The system does not say how long what it knows is good.
const SYSTEM_LASTS: Duration = Duration::from_secs(5);
/// A lookup by the system that takes longer has failed.
const SYSTEM_TIMEOUT: Duration = Duration::from_secs(5);

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// At least one.
    pub found: Vec<T>,
    /// How long that is good.
    pub lasts: Duration,
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where it is.
    pub host: String,
    /// And behind which port.
    pub port: u16,
    /// Those with the least go first.
    pub priority: u16,
    /// How much it gets, beside others of the same priority.
    pub weight: u16,
}

/// What looks names up.
pub struct Dns {
    config: config::Resolve,
    /// As the files of the system were when it was made.
    resolver: Mutex<Option<(Stamps, TokioResolver)>>,
}

type Stamps = [Option<SystemTime>; 2];

impl Dns {
    /// What looks names up as the config says.
    pub fn new(config: &config::Resolve) -> Self {
        Dns { config: config.clone(), resolver: Mutex::new(None) }
    }

    /// The addresses of a host, those left out that this machine has no way to.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, String> {
        let wrong = |why: String| format!("cannot resolve \"{host}\": {why}");
        let by_dns = match self.resolver() {
            Ok(resolver) => match resolver.lookup_ip(host).await {
                Ok(found) => Ok((found.iter().collect::<Vec<_>>(), lasts(found.valid_until()))),
                Err(error) => Err(error.to_string()),
            },
            Err(why) => Err(why),
        };
        let (found, lasts) = match by_dns {
            Ok(found) => found,
            Err(why) if self.config.nameservers.is_empty() => {
                by_system(host).await.map(|found| (found, SYSTEM_LASTS)).map_err(|_| wrong(why))?
            }
            Err(why) => return Err(wrong(why)),
        };
        let reachable: Vec<IpAddr> = found.iter().copied().filter(|ip| has_way_to(*ip)).collect();
        // With no way to any of them, trying tells why.
        let mut found = if reachable.is_empty() { found } else { reachable };
        found.sort_unstable();
        found.dedup();
        if found.is_empty() { Err(wrong("it has no address".to_owned())) } else { Ok(Answer { found, lasts }) }
    }

    /// The SRV records of a name.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn services(&self, name: &str) -> Result<Answer<Service>, String> {
        let wrong = |why: String| format!("cannot resolve \"{name}\": {why}");
        let found = self.resolver().map_err(wrong)?.lookup(name, RecordType::SRV).await;
        let found = found.map_err(|error| wrong(error.to_string()))?;
        let services = found.answers().iter().filter_map(|record| match &record.data {
            // "." says that there is decidedly no such service here (RFC 2782).
            RData::SRV(srv) if !srv.target.is_root() => Some(Service {
                host: srv.target.to_utf8().trim_end_matches('.').to_owned(),
                port: srv.port,
                priority: srv.priority,
                weight: srv.weight,
            }),
            _ => None,
        });
        let services: Vec<Service> = services.filter(|service| service.port != 0).collect();
        let lasts = lasts(found.valid_until());
        if services.is_empty() {
            return Err(wrong("it has no SRV record".to_owned()));
        }
        Ok(Answer { found: services, lasts })
    }

    fn resolver(&self) -> Result<TokioResolver, String> {
        let stamps = [HOSTS, RESOLV_CONF].map(|file| changed(Path::new(file)));
        let mut resolver = self.resolver.lock();
        if let Some((known, resolver)) = &*resolver
            && *known == stamps
        {
            return Ok(resolver.clone());
        }
        let made = self.make()?;
        *resolver = Some((stamps, made.clone()));
        Ok(made)
    }

    fn make(&self) -> Result<TokioResolver, String> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if self.config.nameservers.is_empty() {
            Resolver::builder(provider).map_err(|error| format!("cannot read {RESOLV_CONF}: {error}"))?
        } else {
            let servers = self.config.nameservers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.0.port();
                    connection
                });
                NameServerConfig::new(server.0.ip(), true, connections.into())
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Resolver::builder_with_config(config, provider)
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.timeout = self.config.timeout;
        options.attempts = 1;
        // How long answers are good is looked after here.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map_err(|error| error.to_string())
    }
}

fn lasts(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn changed(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

async fn by_system(host: &str) -> Result<Vec<IpAddr>, String> {
    let lookup = tokio::net::lookup_host((host, 0));
    let found = tokio::time::timeout(SYSTEM_TIMEOUT, lookup).await.map_err(|_| "no answer".to_owned())?;
    Ok(found.map_err(|error| error.to_string())?.map(|address| address.ip()).collect())
}

/// Whether the machine knows a way to an address, as far as its routes tell: nothing is sent.
fn has_way_to(ip: IpAddr) -> bool {
    let here: std::net::SocketAddr = match ip {
        IpAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    std::net::UdpSocket::bind(here).and_then(|socket| socket.connect((ip, 9))).is_ok()
}
