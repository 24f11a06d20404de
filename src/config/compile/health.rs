//! `healthCheck:`

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{Compiler, at_route};
use crate::config::Position;
use crate::config::file::{self, Switch};
use crate::config::located::Located;
use crate::config::model::{CheckKind, HealthCheck, Route, UpstreamTls};
use crate::config::units::StatusRange;
use crate::ratio::Ratio;

const TWO: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");
const THREE: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");
const INTERVAL: Duration = Duration::from_secs(5);
/// More often is a load, and no check.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);

impl Compiler<'_> {
    /// The check that a block at `path` describes.
    pub(super) fn health_check(
        &mut self,
        written: Option<&Located<Switch<file::HealthCheck>>>,
        path: &str,
        tls: &UpstreamTls,
    ) -> Option<HealthCheck> {
        let Switch::On(written) = &written?.value else { return None };
        self.check_is_sound(written, path);
        let http = written.kind == CheckKind::Http;
        let well = || vec![StatusRange { first: 200, last: 399 }];
        Some(HealthCheck {
            kind: written.kind,
            path: http.then(|| written.path.as_ref().map_or("/", |path| path.as_str()).to_owned()),
            host: written.host.as_ref().map(|host| host.value.clone()),
            statuses: match &written.statuses {
                Some(statuses) => statuses.value.0.clone(),
                None if http => well(),
                None => Vec::new(),
            },
            service: written.service.as_ref().map(|service| service.value.clone()),
            port: written.port.map(|port| port.0),
            interval: written.interval.map_or(INTERVAL, |period| period.value.0.0),
            jitter: written.jitter.unwrap_or(Ratio::percent(10)),
            timeout: written.timeout.map_or(Duration::from_secs(2), |period| period.0.0),
            healthy_after: written.healthy_after.map_or(TWO, |count| count.0),
            unhealthy_after: written.unhealthy_after.map_or(THREE, |count| count.0),
            reopens: written.reopens,
            tls: tls.clone(),
        })
    }

    /// Tells of keys that have no meaning, or none beside this type.
    fn check_is_sound(&mut self, written: &file::HealthCheck, path: &str) {
        let kind = written.kind;
        self.belongs(written.path.as_ref().map(|path| path.at), kind == CheckKind::Http, path, "path", "http");
        self.belongs(written.statuses.as_ref().map(|s| s.at), kind == CheckKind::Http, path, "statuses", "http");
        self.belongs(written.service.as_ref().map(|s| s.at), kind == CheckKind::Grpc, path, "service", "grpc");
        self.belongs(written.host.as_ref().map(|host| host.at), kind != CheckKind::Tcp, path, "host", "http");
        let is_path = |text: &str| text.starts_with('/') && http::uri::PathAndQuery::try_from(text).is_ok();
        if let Some(wrong) = written.path.as_ref().filter(|path| !is_path(path)) {
            let message = format!("\"{}\" is no path; write one such as /health", wrong.value);
            self.error(wrong.at, format!("{path}.path"), message);
        }
        if let Some(host) = written.host.as_ref().filter(|host| http::uri::Authority::try_from(host.as_str()).is_err())
        {
            let message = format!("\"{}\" is no host; write one such as users.internal", host.value);
            self.error(host.at, format!("{path}.host"), message);
        }
        if let Some(statuses) = written.statuses.as_ref().filter(|statuses| statuses.is_empty())
            && !self.told_of(&format!("{path}.statuses"))
        {
            let message = "no answer would be good; write [200-399], say, or leave it out";
            self.error(statuses.at, format!("{path}.statuses"), message);
        }
        if let Some(written) = written.interval.filter(|interval| interval.value.0.0 < LEAST_INTERVAL) {
            let message = format!("{} is too often; write 50ms or more", written.value.0);
            self.error(written.at, format!("{path}.interval"), message);
        }
    }

    fn belongs(&mut self, at: Option<Position>, does: bool, path: &str, key: &str, kind: &str) {
        if let (Some(at), false) = (at, does) {
            let message = format!("it belongs to type: {kind}; write that, or remove it");
            self.error(at, format!("{path}.{key}"), message);
        }
    }

    /// A target is checked in one way, whichever routes name it, so they have to agree on it.
    pub(super) fn one_check_a_target(&mut self, written: &[Located<file::Route>], routes: &[Route]) {
        let mut first: HashMap<&str, (&Located<file::Route>, &HealthCheck)> = HashMap::new();
        for (written, route) in written.iter().zip(routes) {
            let Some(check) = &route.health_check else { continue };
            for target in route.destinations.targets() {
                let (theirs, other) = *first.entry(target.origin.as_str()).or_insert((written, check));
                if other != check {
                    let at = written.health_check.as_ref().map_or(written.at, |check| check.at);
                    let (url, theirs) = (&target.origin, at_route(theirs));
                    self.error(
                        at,
                        format!("{}.healthCheck", at_route(written)),
                        format!("{url} is a target of {theirs} too, which checks it in another way; write the same in both, or off"),
                    );
                    break;
                }
            }
        }
    }
}
