//! The names of targets, each looked up again when its time is over, or when connecting fails.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{First, Lookout};
use crate::upstream::health;
use crate::upstream::target::Target;

/// Whether a target is known by a name, and not by its address.
pub fn is_name(target: &Target) -> bool {
    target.url.host.parse::<IpAddr>().is_err()
}

/// A target that is known by its address is there.
pub fn here(target: &Target) {
    if let Ok(ip) = target.url.host.parse() {
        target.addresses.found(Ok(vec![SocketAddr::new(ip, target.url.port)]), target.url.as_str());
    }
}

/// Looks a target's name up, and says how long what was found is good.
async fn look(lookout: &Lookout, target: &Target) -> Option<Duration> {
    // Nobody closes the semaphore.
    let _place = lookout.places.acquire().await;
    let answer = lookout.ways().dns.addresses(&target.url.host).await;
    let lasts = answer.as_ref().ok().map(|answer| answer.lasts);
    let at = |ip| SocketAddr::new(ip, target.url.port);
    target.addresses.found(answer.map(|answer| answer.found.into_iter().map(at).collect()), target.url.as_str());
    lasts
}

/// Does so for as long as the target is in use; after the `first` time it is checked.
pub async fn watch(lookout: Arc<Lookout>, target: Weak<Target>, first: First) {
    let mut first = Some(first);
    loop {
        let (lasts, doubted) = {
            let Some(target) = target.upgrade() else { return };
            let lasts = look(&lookout, &target).await;
            if first.take().is_some() {
                health::watch::begin(&target);
            }
            (lasts, target.doubted.clone())
        };
        lookout.ways().timing.pause(lasts, &doubted).await;
    }
}
