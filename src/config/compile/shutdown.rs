//! `shutdown:`

use std::time::Duration;

use super::Compiler;
use crate::config::file;
use crate::config::model::Shutdown;

impl Compiler<'_> {
    pub(super) fn shutdown(&self, written: Option<&file::Shutdown>) -> Shutdown {
        let of = |written: Option<crate::config::units::Period>, seconds| {
            written.map_or(Duration::from_secs(seconds), |period| period.0)
        };
        Shutdown {
            drain: of(written.and_then(|written| written.drain), 5),
            timeout: of(written.and_then(|written| written.timeout), 30),
        }
    }
}
