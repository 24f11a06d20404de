//! What came of reading the config again.

use std::time::SystemTime;

use serde::Serialize;

use crate::endpoint::stats::clock::timestamp;

/// Changes that a line of the log tells.
const TOLD: usize = 20;

/// Why it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// The process has begun.
    Start,
    /// A file has changed.
    File,
    /// SIGHUP.
    Signal,
    /// Somebody has asked for it on the admin listener.
    Admin,
}

impl Cause {
    /// For people: why, in a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Start => "at the start",
            Cause::File => "since a file has changed",
            Cause::Signal => "after SIGHUP",
            Cause::Admin => "by the admin listener",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is what requests run under.
    Applied,
    /// It says the same as the one before.
    Unchanged,
    /// It cannot run; the one before goes on.
    Rejected,
}

/// All of that.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When.
    #[serde(serialize_with = "time")]
    pub at: SystemTime,
    /// Why it was read.
    pub cause: Cause,
    /// What came of it.
    pub outcome: Outcome,
    /// The config that runs since then: 1 is the first.
    pub generation: u64,
    /// What is another since then.
    pub changes: Vec<String>,
    /// What is said in the file and waits for the next process.
    pub needs_restart: Vec<&'static str>,
    /// Findings that do not keep it from running, as `FILE:L:C: where: what`.
    pub warnings: Vec<String>,
    /// And those that do.
    pub errors: Vec<String>,
}

impl Report {
    /// One with nothing more to it.
    pub fn new(at: SystemTime, cause: Cause, outcome: Outcome, generation: u64) -> Self {
        let (changes, needs_restart, warnings, errors) = Default::default();
        Report { at, cause, outcome, generation, changes, needs_restart, warnings, errors }
    }

    /// Whether it says something that the one before does not: a config that runs now, or what else is wrong or to be done.
    pub fn is_news_after(&self, before: &Report) -> bool {
        let said = |of: &Report| (of.needs_restart.clone(), of.warnings.clone(), of.errors.clone());
        self.outcome == Outcome::Applied || said(self) != said(before)
    }

    /// Writes it to the log.
    pub fn log(&self) {
        let (generation, why) = (self.generation, self.cause.as_str());
        self.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        match self.outcome {
            Outcome::Applied => log::info!("config {generation} runs, read {why}: {}", some(&self.changes)),
            Outcome::Unchanged => log::info!("config {generation} goes on: it was read {why} and says the same"),
            Outcome::Rejected => {
                self.errors.iter().for_each(|error| log::error!("{error}"));
                log::error!("config {generation} goes on: what was read {why} cannot run");
            }
        }
        if !self.needs_restart.is_empty() {
            log::warn!("of the config, {} waits for a restart or an upgrade", self.needs_restart.join(", "));
        }
    }
}

/// The first few of many: one line is not the place for thousands, and the report has them.
fn some(changes: &[String]) -> String {
    match changes.split_at_checked(TOLD) {
        Some((first, rest)) if !rest.is_empty() => format!("{}; and {} more", first.join("; "), rest.len()),
        _ => changes.join("; "),
    }
}

fn time<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*at))
}

#[cfg(test)]
mod tests {
    use super::some;

    #[test]
    fn a_line_tells_a_few_of_many_changes() {
        let changes = |count: usize| -> Vec<String> { (1..=count).map(|nth| nth.to_string()).collect() };
        assert_eq!((some(&changes(0)), some(&changes(2))), (String::new(), "1; 2".to_owned()));
        assert!(some(&changes(20)).ends_with("; 19; 20") && some(&changes(22)).ends_with("; 20; and 2 more"));
    }
}
