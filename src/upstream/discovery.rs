//! Where a target is: its addresses, looked up when the gateway starts and again while it runs.
//!
//! A name that cannot be resolved stops nobody: its target fails until it resolves. When a later lookup
//! fails, the addresses known so far stay in use.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::{Error, ErrorType};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::Backend;
use pingora_load_balancing::discovery::{ServiceDiscovery, Static};

use super::target::Target;
use crate::config::units::TargetUrl;

/// A lookup that takes longer has failed; the next one may do better.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks a host name up in the way the system does it: `/etc/hosts`, then DNS.
struct Dns {
    host: String,
    port: u16,
}

#[async_trait]
impl ServiceDiscovery for Dns {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        let reason =
            |e: String| Error::explain(ErrorType::ConnectNoRoute, format!("cannot resolve \"{}\": {e}", self.host));
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup)
            .await
            .map_err(|_| reason(format!("no answer within {LOOKUP_TIMEOUT:?}")))?
            .map_err(|e| reason(e.to_string()))?;
        let backends: BTreeSet<Backend> = found.filter_map(|address| Backend::new(&address.to_string()).ok()).collect();
        if backends.is_empty() {
            return Err(reason("it has no address".to_owned()));
        }
        Ok((backends, HashMap::new()))
    }
}

/// What finds the addresses of `url`, and whether it is worth asking again.
fn discovery_of(url: &TargetUrl) -> (Box<dyn ServiceDiscovery + Send + Sync>, bool) {
    match url.host.parse::<IpAddr>() {
        Ok(ip) => {
            let address = std::net::SocketAddr::new(ip, url.port);
            let backends = Backend::new(&address.to_string()).into_iter().collect();
            (Static::new(backends), false)
        }
        Err(_) => (Box::new(Dns { host: url.host.clone(), port: url.port }), true),
    }
}

/// Resolves every target once, all at a time; what cannot be resolved is logged.
pub async fn resolve_all(targets: &[Arc<Target>]) {
    let lookups: Vec<_> =
        targets.iter().cloned().map(|target| tokio::spawn(async move { resolve(&target).await })).collect();
    for lookup in lookups {
        // A lookup that panicked has told so on its own; its target stays unresolved.
        let _ = lookup.await;
    }
}

/// Looks the names of `targets` up again every `every`, each for as long as its target is in use.
pub fn keep_resolved(targets: &[Arc<Target>], every: Duration) {
    for target in targets.iter().filter(|target| discovery_of(&target.url).1) {
        let target = Arc::downgrade(target);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(target) = target.upgrade() else { return };
                resolve(&target).await;
            }
        });
    }
}

async fn resolve(target: &Target) {
    let (discovery, _) = discovery_of(&target.url);
    let found = discovery.discover().await.map(|(backends, _)| {
        let inet = |backend: Backend| match backend.addr {
            SocketAddr::Inet(address) => Some(address),
            _ => None,
        };
        backends.into_iter().filter_map(inet).collect()
    });
    let found =
        found.map_err(|e| e.context.as_ref().map_or_else(|| e.to_string(), |context| context.as_str().to_owned()));
    target.addresses.found(found, target.url.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::criteria::Criteria;

    fn target(url: &str) -> Arc<Target> {
        Arc::new(Target::new(url.parse().expect("a URL"), Criteria::none_but_5xx(), None, None))
    }

    #[tokio::test]
    async fn literal_addresses_and_names_resolve_and_nonsense_says_why() {
        let targets = [
            target("http://127.0.0.1:1"),
            target("http://[::1]:2"),
            target("http://localhost:3"),
            target("http://no-such-host.invalid:4"),
        ];
        resolve_all(&targets).await;
        let known = |target: &Target| target.addresses.turns().expect("it is known").collect::<Vec<_>>();
        assert_eq!(known(&targets[0]), ["127.0.0.1:1".parse().expect("an address")]);
        assert_eq!(known(&targets[1]), ["[::1]:2".parse().expect("an address")]);
        let named = known(&targets[2]);
        assert!(named.iter().all(|address| address.ip().is_loopback() && address.port() == 3), "{named:?}");
        let reason = targets[3].addresses.turns().expect_err("it does not exist");
        assert!(reason.contains("no-such-host.invalid"), "{reason}");
    }

    #[tokio::test]
    async fn a_failing_lookup_keeps_the_last_good_addresses() {
        let target = target("http://127.0.0.1:1");
        resolve(&target).await;
        target.addresses.found(Err("gone".into()), "a");
        assert!(target.addresses.turns().is_ok());
    }
}
