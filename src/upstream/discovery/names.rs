//! The names of targets, each looked up again when its time is over, or when connecting fails.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::Lookout;
use crate::upstream::target::Target;

/// Whether a target is known by a name, and not by its address.
pub fn is_name(target: &Target) -> bool {
    target.url.host.parse::<IpAddr>().is_err()
}

/// Looks a target's name up, and says how long what was found is good.
pub async fn look(lookout: &Lookout, target: &Target) -> Option<Duration> {
    let (host, port) = (target.url.host.as_str(), target.url.port);
    if let Ok(ip) = host.parse() {
        target.addresses.found(Ok(vec![SocketAddr::new(ip, port)]), target.url.as_str());
        return None;
    }
    let answer = lookout.dns.addresses(host).await;
    let lasts = answer.as_ref().ok().map(|answer| answer.lasts);
    let addresses = answer.map(|answer| answer.found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
    target.addresses.found(addresses, target.url.as_str());
    lasts
}

/// Does so for as long as the target is in use.
pub async fn watch(lookout: Arc<Lookout>, target: Weak<Target>, doubted: Arc<Notify>) {
    let mut lasts = Some(Duration::ZERO);
    loop {
        lookout.timing.pause(lasts, &doubted).await;
        let Some(target) = target.upgrade() else { return };
        lasts = look(&lookout, &target).await;
    }
}
