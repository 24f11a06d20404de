//! What a source says when it is asked: targets as it names them.

use std::net::SocketAddr;
use std::time::Duration;

use super::Lookout;
use super::dns::Service;
use super::file;
use super::source::Source;
use crate::config::units::{SourceKind, TargetUrl};
use crate::upstream::balance::reduced;

/// A target as a source names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Targets of a higher tier get something only when none of a lower one takes it.
    pub tier: u16,
    /// Where it is.
    pub url: TargetUrl,
    /// How much it gets, beside the others of its tier.
    pub weight: u32,
}

/// All that it names, and how long that is good, if it says so.
pub type Answer = (Vec<Named>, Option<Duration>);

/// Asks once. `None`: nothing has changed.
///
/// # Errors
/// Why there is no answer.
pub async fn ask(lookout: &Lookout, source: &Source) -> Result<Option<Answer>, String> {
    match &source.url.kind {
        SourceKind::Dns { scheme, host, port } => {
            let answer = lookout.ways().dns.addresses(host).await?;
            let url = |ip| format!("{scheme}://{}", SocketAddr::new(ip, *port));
            let targets = answer.found.into_iter().filter_map(|ip| named(0, &url(ip), 1));
            Ok(Some((targets.collect(), Some(answer.lasts))))
        }
        SourceKind::Srv { scheme, name } => {
            let answer = lookout.ways().dns.services(name).await?;
            // 0 is little, and not nothing (RFC 2782).
            let weights: Vec<u32> =
                answer.found.iter().map(|service| (u32::from(service.weight) * 10).max(1)).collect();
            let services = answer.found.iter().zip(reduced(&weights, u64::MAX));
            let targets = services.filter_map(|(Service { host, port, priority, .. }, weight)| {
                named(*priority, &format!("{scheme}://{host}:{port}"), weight)
            });
            Ok(Some((targets.collect(), Some(answer.lasts))))
        }
        SourceKind::File { path } => {
            let (stamp, read) = file::read(path.clone(), source.status().stamp).await;
            source.read(stamp);
            let Some(read) = read else { return Ok(None) };
            let targets = read?.into_iter().map(|(url, weight)| Named { tier: 0, url, weight });
            Ok(Some((targets.collect(), None)))
        }
    }
}

fn named(tier: u16, url: &str, weight: u32) -> Option<Named> {
    Some(Named { tier, url: url.parse().ok()?, weight })
}
