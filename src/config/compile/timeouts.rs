//! `timeouts:`

use std::time::Duration;

use super::Compiler;
use crate::config::file;
use crate::config::located::Located;
use crate::config::model::Timeouts;
use crate::config::units::Period;

impl Compiler<'_> {
    /// What a block at `path` describes.
    pub(super) fn timeouts(&mut self, written: Option<&file::Timeouts>, path: &str) -> Timeouts {
        let written = written.cloned().unwrap_or_default();
        let total = written.total.and_then(|total| total.value.0);
        for (key, part) in [("connect", &written.connect), ("firstByte", &written.first_byte), ("read", &written.read)]
        {
            if let (Some(part), Some(total)) = (part, total) {
                self.nests(part.at, (&format!("{path}.{key}"), part.value.0), ("total", total));
            }
        }
        let or = |written: Option<Located<file::Positive>>, seconds| {
            written.map_or(Duration::from_secs(seconds), |period| period.value.0.0)
        };
        Timeouts {
            connect: or(written.connect, 2),
            first_byte: or(written.first_byte, 30),
            read: or(written.read, 60),
            total: total.map(|total| total.0),
            idle: written.idle.map_or(Duration::from_secs(60), |period| period.0.0),
        }
    }

    /// Sees that a time-out which is written can come before the one around it, `outer`.
    pub(super) fn nests(
        &mut self,
        at: crate::config::Position,
        (path, inner): (&str, Period),
        (outer_name, outer): (&str, Period),
    ) {
        if inner > outer {
            let message =
                format!("{inner} can never pass, since {outer_name} is {outer}; write less, or a longer {outer_name}");
            self.error(at, path, message);
        }
    }
}
