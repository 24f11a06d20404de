//! `breaker:`

use std::num::NonZeroU32;
use std::time::Duration;

use super::Compiler;
use crate::config::file::{self, Preset, Switch};
use crate::config::located::Located;
use crate::config::model::{Backoff, Breaker};
use crate::config::units::Factor;
use crate::ratio::Ratio;

/// Why shares need a block of their own.
const NO_SHARE: &str = "it belongs to failureRatio or slowRatio; write one of these, or remove it";

impl Compiler<'_> {
    /// The breaker that a block at `path` describes; without a block, the standard one.
    pub(super) fn breaker(&mut self, written: Option<&Located<Switch<file::Breaker>>>, path: &str) -> Option<Breaker> {
        let Some(block) = written else { return Some(preset(Preset::Standard)) };
        let Switch::On(written) = &block.value else { return None };
        let base = preset(written.preset);
        self.breaker_is_sound(written, &base, path);
        let ratio = written.failure_ratio.as_ref().map(|ratio| ratio.value).or(base.failure_ratio);
        let slow_ratio = written.slow_ratio.as_ref().map(|ratio| ratio.value).or(base.slow_ratio);
        let shares = ratio.is_some() || slow_ratio.is_some();
        let cooldown = written.cooldown.map_or(base.cooldown, |period| period.0.0);
        // The most that nobody has written is at least the cooldown that somebody has.
        let backoff = base.backoff.map(|backoff| Backoff { max: backoff.max.max(cooldown), ..backoff });
        // A share that is written stands in place of the row that nobody has written.
        let row = base.failures.filter(|_| written.failure_ratio.is_none());
        Some(Breaker {
            failures: written.failures.as_ref().map(|count| count.value.0).or(row),
            failure_ratio: ratio,
            mode: written.mode.as_ref().map(|mode| mode.value),
            slower_than: written.slower_than.as_ref().map(|period| period.0.0).or(base.slower_than),
            slow_ratio,
            window: shares.then(|| written.window.as_ref().map_or(WINDOW, |period| period.0.0)),
            min_requests: shares.then(|| written.min_requests.as_ref().map_or(MIN_REQUESTS, |count| count.0)),
            cooldown,
            backoff: written.backoff.as_ref().map(|backoff| self::backoff(&backoff.value)).or(backoff),
            probe_timeout: written.probe_timeout.map(|period| period.0.0),
            statuses: written.statuses.as_ref().map_or(base.statuses, |ranges| ranges.0.clone()),
            grpc_statuses: written.grpc_statuses.as_ref().map_or(base.grpc_statuses, |statuses| statuses.0.clone()),
        })
    }

    /// Tells of keys that contradict each other or have no meaning together.
    fn breaker_is_sound(&mut self, written: &file::Breaker, base: &Breaker, path: &str) {
        let has_ratio = written.failure_ratio.is_some() || base.failure_ratio.is_some();
        let has_slow = written.slow_ratio.is_some() || base.slow_ratio.is_some();
        match (&written.failures, &written.mode) {
            (Some(failures), None) if has_ratio => {
                let message = "there is a failureRatio, too; say with mode: any (either opens the circuit) or mode: all (both are needed) how they go together";
                self.error(failures.at, format!("{path}.failures"), message);
            }
            (None, Some(mode)) => self.error(mode.at, format!("{path}.mode"), MODE),
            (Some(_), Some(mode)) if !has_ratio => self.error(mode.at, format!("{path}.mode"), MODE),
            _ => {}
        }
        if !has_ratio && !has_slow {
            if let Some(window) = &written.window {
                self.error(window.at, format!("{path}.window"), NO_SHARE);
            }
            if let Some(count) = &written.min_requests {
                self.error(count.at, format!("{path}.minRequests"), NO_SHARE);
            }
        }
        for (key, ratio) in [("failureRatio", &written.failure_ratio), ("slowRatio", &written.slow_ratio)] {
            if let Some(ratio) = ratio.as_ref().filter(|ratio| ratio.value == Ratio::percent(0)) {
                self.error(ratio.at, format!("{path}.{key}"), "every circuit would open at once; write 1% or more");
            }
        }
        if let (Some(slow), None, None) = (&written.slow_ratio, &written.slower_than, base.slower_than) {
            let message = "nothing says what is slow; write slowerThan: 2s, say, beside it";
            self.error(slow.at, format!("{path}.slowRatio"), message);
        }
        let cooldown = written.cooldown.map_or(base.cooldown, |period| period.0.0);
        if let Some(max) = written.backoff.as_ref().map(|backoff| &backoff.max).filter(|max| max.0.0 < cooldown) {
            let message = format!("{} is shorter than the cooldown that it is the most of; write more", max.0);
            self.error(max.at, format!("{path}.backoff.max"), message);
        }
    }
}

const MODE: &str = "it says how failures and failureRatio go together; write both of these, or remove it";
const WINDOW: Duration = Duration::from_secs(10);
const MIN_REQUESTS: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");

fn preset(preset: Preset) -> Breaker {
    const THREE: Option<NonZeroU32> = NonZeroU32::new(3);
    let standard = Breaker {
        failures: THREE,
        failure_ratio: None,
        mode: None,
        slower_than: None,
        slow_ratio: None,
        window: None,
        min_requests: None,
        cooldown: Duration::from_secs(60),
        backoff: None,
        probe_timeout: None,
        statuses: Breaker::default_statuses(),
        grpc_statuses: Breaker::default_grpc_statuses(),
    };
    let backoff = Backoff { factor: Factor::default(), max: Duration::from_secs(300), jitter: Ratio::percent(20) };
    let busy = Breaker {
        failures: None,
        failure_ratio: Some(Ratio::percent(50)),
        window: Some(WINDOW),
        min_requests: Some(MIN_REQUESTS),
        cooldown: Duration::from_secs(10),
        backoff: Some(backoff),
        ..standard.clone()
    };
    match preset {
        Preset::Standard => standard,
        Preset::Busy => busy,
        Preset::Latency => {
            let slow = (Some(Duration::from_secs(1)), Some(Ratio::percent(80)));
            Breaker { slower_than: slow.0, slow_ratio: slow.1, ..busy }
        }
        Preset::Patient => {
            let many = NonZeroU32::new(10);
            Breaker { failures: many, cooldown: Duration::from_secs(15), ..standard }
        }
    }
}

fn backoff(written: &file::Backoff) -> Backoff {
    Backoff { factor: written.factor, max: written.max.0.0, jitter: written.jitter.unwrap_or(Ratio::percent(20)) }
}
