//! `resolve:`

use std::time::Duration;

use super::Compiler;
use crate::config::file;
use crate::config::located::Located;
use crate::config::model::Resolve;
use crate::config::units::Period;

/// More often is of no use, and a load for others.
const LEAST: Duration = Duration::from_millis(100);

impl Compiler<'_> {
    pub(super) fn resolve(&mut self, written: Option<&Located<file::Resolve>>) -> Resolve {
        let written = written.map(Located::block).unwrap_or_default();
        let max = written.max.map_or(Duration::from_secs(30), |period| period.value.0.0);
        let min = written.min.map_or(Duration::from_secs(1).min(max), |period| period.value.0.0);
        for (key, period) in [("min", &written.min), ("max", &written.max)] {
            if let Some(period) = period.as_ref().filter(|period| period.value.0.0 < LEAST) {
                let message = format!("{} is too often; write 100ms or more", period.value.0);
                self.error(period.at, format!("resolve.{key}"), message);
            }
        }
        if let Some(min) = written.min {
            self.nests(min.at, ("resolve.min", min.value.0), ("max", Period(max)));
        }
        Resolve {
            nameservers: written.nameservers.0,
            min,
            max,
            timeout: written.timeout.map_or(Duration::from_secs(2), |period| period.0.0),
        }
    }
}
