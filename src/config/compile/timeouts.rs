//! `timeouts:`

use std::time::Duration;

use super::Compiler;
use crate::config::file;
use crate::config::located::Located;
use crate::config::model::Timeouts;
use crate::config::units::Period;

/// Who means seconds hardly writes more.
const MUCH_FOR_A_CONNECTION: Duration = Duration::from_secs(60);

impl Compiler<'_> {
    /// What a block at `path` describes.
    pub(super) fn timeouts(&mut self, written: Option<&file::Timeouts>, path: &str) -> Timeouts {
        let written = written.cloned().unwrap_or_default();
        let total = written.total.and_then(|total| total.value.0);
        let connect = written.connect.map(|Located { at, index, is_filled, value }| Located {
            at,
            index,
            is_filled,
            value: value.period,
        });
        self.seconds_are_meant(written.connect, path);
        // But `read` goes on in tunnels, which `total` does not end.
        for (key, part) in [("connect", &connect), ("firstByte", &written.first_byte)] {
            if let (Some(part), Some(total)) = (part, total) {
                self.nests(part.at, (&format!("{path}.{key}"), part.value.0), ("total", total));
            }
        }
        let total = total.map(|total| total.0);
        // What nobody has written ends with `total`.
        let or = |written: Option<Located<file::Positive>>, seconds| {
            let default = Duration::from_secs(seconds);
            written.map_or(total.map_or(default, |total| default.min(total)), |period| period.value.0.0)
        };
        Timeouts {
            connect: or(connect, 2),
            first_byte: or(written.first_byte, 30),
            read: written.read.map_or(Duration::from_secs(60), |period| period.value.0.0),
            total,
            idle: written.idle.map_or(Duration::from_secs(60), |period| period.0.0),
        }
    }

    /// Doubts a number that is more likely one of milliseconds.
    fn seconds_are_meant(&mut self, connect: Option<Located<file::Connect>>, path: &str) {
        if let Some(Located { at, value: file::Connect { period, bare: true }, .. }) = connect
            && period.0.0 > MUCH_FOR_A_CONNECTION
        {
            let seconds = period.0.0.as_secs();
            let message = format!("{seconds} are seconds; write {seconds}ms, or {seconds}s if that is meant");
            self.warn(at, format!("{path}.connect"), message);
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
