//! Where Redis is: one server, the primary that sentinels name, or a cluster.

use std::fmt;
use std::time::Duration;

use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsCertificates, TlsMode};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::units::{Period, Secret, SentinelUrl};

/// A Redis (or Valkey) of any kind.
#[derive(Clone, Debug)]
pub struct Redis {
    /// Where it is.
    pub servers: Servers,
    /// The longest one call may take.
    pub timeout: Duration,
    /// The files that TLS was set up with, by their keys in the config.
    pub files: Vec<(&'static str, String)>,
    /// What was in them.
    pub certificates: TlsCertificates,
}

/// Where Redis is.
#[derive(Clone, Debug, PartialEq)]
pub enum Servers {
    /// One server, by its URL.
    One(Secret),
    /// Whichever server these sentinels say is the primary.
    Sentinel(SentinelUrl),
    /// The nodes of a cluster that are asked for all others first.
    Cluster(Vec<Secret>),
}

impl PartialEq for Redis {
    fn eq(&self, other: &Self) -> bool {
        let contents = |redis: &Redis| {
            let TlsCertificates { client_tls, root_cert } = redis.certificates.clone();
            (client_tls.map(|own| (own.client_cert, own.client_key)), root_cert)
        };
        let written = |redis: &Redis| (redis.servers.clone(), redis.timeout, redis.files.clone());
        written(self) == written(other) && contents(self) == contents(other)
    }
}

impl Redis {
    /// One server, and no certificates.
    pub fn at(url: &str, timeout: Duration) -> Self {
        let certificates = TlsCertificates { client_tls: None, root_cert: None };
        Redis { servers: Servers::One(Secret::new(url)), timeout, files: Vec::new(), certificates }
    }

    /// A client of the server at `address`.
    ///
    /// # Errors
    /// The address is none, or the certificates are no good.
    pub fn client(&self, address: impl IntoConnectionInfo) -> RedisResult<Client> {
        let info: ConnectionInfo = address.into_connection_info()?;
        match info.addr() {
            ConnectionAddr::TcpTls { .. } => Client::build_with_tls(info, self.certificates.clone()),
            _ => Client::open(info),
        }
    }

    /// A client of the sentinels at `url`.
    ///
    /// # Errors
    /// An address is none, or the certificates are no good.
    pub fn sentinels(&self, url: &SentinelUrl) -> RedisResult<SentinelClient> {
        let address = |(host, port): &(String, u16)| match url.tls {
            true => ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host.clone(), *port),
        };
        let sentinels = url.sentinels.iter().map(address);
        let mut builder = SentinelClientBuilder::new(sentinels, url.service.clone(), SentinelServerType::Master)?;
        builder = builder.set_client_to_redis_db(url.db);
        if let Some(user) = &url.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = &url.password {
            builder = builder.set_client_to_redis_password(password.reveal());
        }
        if let Some(user) = &url.sentinel_user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = &url.sentinel_password {
            builder = builder.set_client_to_sentinel_password(password.reveal());
        }
        if url.tls {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(self.certificates.clone())
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(self.certificates.clone());
        }
        builder.build()
    }
}

impl Serialize for Redis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.servers {
            Servers::One(url) => map.serialize_entry("url", &masked(url))?,
            Servers::Sentinel(url) => map.serialize_entry("url", &url.to_string())?,
            Servers::Cluster(urls) => {
                map.serialize_entry("cluster", &urls.iter().map(masked).collect::<Vec<_>>())?;
            }
        }
        map.serialize_entry("timeout", &Period(self.timeout))?;
        for (key, file) in &self.files {
            map.serialize_entry(key, file)?;
        }
        map.end()
    }
}

/// A URL's user, password and query are nobody's business; host, port and database are.
fn masked(url: &Secret) -> String {
    let Ok(mut url) = url::Url::parse(url.reveal()) else { return "********".to_owned() };
    if url.password().is_some() || !url.username().is_empty() {
        // Neither can fail for a URL that has a host, and one that has a user has a host.
        let _ = url.set_password(None);
        let _ = url.set_username("********");
    }
    url.set_query(None);
    url.to_string()
}

/// The addresses, for people.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = |url: &Secret| match url::Url::parse(url.reveal()) {
            Ok(url) => format!("{}:{}", url.host_str().unwrap_or("-"), url.port().unwrap_or(6379)),
            Err(_) => "-".to_owned(),
        };
        match self {
            Servers::One(url) => f.write_str(&hosts(url)),
            Servers::Sentinel(url) => write!(f, "{} of sentinels {}", url.service, url.hosts()),
            Servers::Cluster(urls) => {
                write!(f, "cluster {}", urls.iter().map(hosts).collect::<Vec<_>>().join(","))
            }
        }
    }
}
