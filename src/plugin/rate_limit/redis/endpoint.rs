//! Where a connection is made to: a server, or whichever server sentinels say is the primary.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::SentinelClient;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisResult};
use tokio::sync::Mutex;

use crate::config::{Redis as Config, Servers};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The same by way of sentinels, some of which may not answer: they are asked side by side.
const SENTINEL_TIMEOUT: Duration = Duration::from_secs(3);

/// Where a connection is made to.
pub struct Endpoint {
    /// For people: `host:port`, without any password.
    pub name: String,
    kind: Kind,
    timeout: Duration,
}

enum Kind {
    Server(Client),
    Sentinels(Mutex<SentinelClient>),
}

impl Endpoint {
    /// What `config` names, where it names one: not for a cluster.
    ///
    /// # Errors
    /// An address is none, or certificates are no good.
    pub fn new(config: &Config) -> RedisResult<Self> {
        let kind = match &config.servers {
            Servers::One(url) => Kind::Server(config.client(url.reveal())?),
            Servers::Sentinel(url) => Kind::Sentinels(Mutex::new(config.sentinels(url)?)),
            Servers::Cluster(_) => return Err((ErrorKind::InvalidClientConfig, "a cluster is no server").into()),
        };
        Ok(Endpoint { name: config.servers.to_string(), kind, timeout: config.timeout })
    }

    /// The server at `host` and `port`, reached as `like` is: with its credentials, and with TLS if it is.
    ///
    /// # Errors
    /// Certificates are no good.
    pub fn of_node(config: &Config, like: &ConnectionInfo, host: &str, port: u16) -> RedisResult<Self> {
        let host = host.to_owned();
        let address = match like.addr() {
            ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            _ => ConnectionAddr::Tcp(host, port),
        };
        let client = config.client(like.clone().set_addr(address))?;
        let name = client.get_connection_info().addr().to_string();
        Ok(Endpoint { name, kind: Kind::Server(client), timeout: config.timeout })
    }

    /// Whether somebody may say that it is somewhere else from now on, while the old place still answers.
    pub fn may_move(&self) -> bool {
        matches!(self.kind, Kind::Sentinels(_))
    }

    /// Where it is right now.
    ///
    /// # Errors
    /// Nobody answers who knows the primary.
    pub async fn place(&self) -> RedisResult<Client> {
        match &self.kind {
            Kind::Server(client) => Ok(client.clone()),
            Kind::Sentinels(sentinels) => {
                let asked = async { sentinels.lock().await.async_get_client().await };
                let late = |_| (ErrorKind::Io, "no sentinel has answered in time");
                tokio::time::timeout(SENTINEL_TIMEOUT, asked).await.map_err(late)?
            }
        }
    }

    /// A new connection, and where it leads.
    ///
    /// # Errors
    /// Nobody is there, or nobody who knows the primary.
    pub async fn connect(&self) -> RedisResult<(MultiplexedConnection, ConnectionAddr)> {
        let client = self.place().await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(self.timeout));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok((connection, client.get_connection_info().addr().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::Secret;

    #[test]
    fn a_cluster_is_no_server() {
        let config = Config::at("redis://a", Duration::from_millis(50));
        let cluster = Config { servers: Servers::Cluster(vec![Secret::new("redis://a")]), ..config };
        assert!(Endpoint::new(&cluster).is_err());
    }
}
