//! A config made ready to run: read, looked at whole, and built. All that takes long, and all that can fail.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::told;
use crate::config::changes::{as_run, changes, needing_restart};
use crate::config::files::Files;
use crate::config::{self, Config, LoadError, Loaded};
use crate::observe::access_log::Output;
use crate::plugin::rate_limit::redis::Redis;
use crate::snapshot::Snapshot;
use crate::snapshot::before::Before;

/// What one is made from.
pub struct Making {
    /// Where it is.
    pub file: PathBuf,
    /// What is known of the files that it depends on.
    pub files: Files,
    /// The config that the process began with.
    pub begun: Arc<Config>,
    /// The one that runs.
    pub current: Arc<Config>,
    /// And how.
    pub running: Arc<Snapshot>,
}

/// What came of it.
pub struct Made {
    /// The files that it depends on.
    pub files: Files,
    /// Whether a file was not to be had, which may be another time.
    pub is_lacking: bool,
    /// What can run, or why nothing can.
    pub next: Result<Next, Vec<String>>,
}

/// What is taken in place of what there was, all of it good.
pub struct Next {
    /// As it runs.
    pub config: Arc<Config>,
    /// What does not keep it from running.
    pub warnings: Vec<String>,
    /// What is another than before.
    pub changes: Vec<String>,
    /// What is written and waits for another process.
    pub needs_restart: Vec<&'static str>,
    /// Where the access log goes.
    pub output: Output,
    /// `None`: it says the same as the one that runs.
    pub snapshot: Option<Arc<Snapshot>>,
}

impl Making {
    /// Makes it.
    pub fn make(mut self) -> Made {
        let loaded = config::load_noting(&self.file, &mut self.files, Some(&self.current));
        let mut is_lacking = self.files.are_lacking();
        let next = loaded.map_err(failed).and_then(|loaded| {
            let log = &loaded.config.access_log;
            let output = Output::open(log).map_err(|why| {
                is_lacking = true;
                vec![format!("cannot open the access log {}: {why}", log.file)]
            })?;
            self.build(loaded, output)
        });
        Made { files: self.files, is_lacking, next }
    }

    fn build(&self, Loaded { config, warnings, .. }: Loaded, output: Output) -> Result<Next, Vec<String>> {
        let needs_restart = needing_restart(&self.begun, &config);
        let config = as_run(config, &self.begun, &self.current);
        let changes = changes(&self.current, &config);
        let snapshot = if changes.is_empty() { None } else { Some(Arc::new(self.snapshot(&config)?)) };
        let warnings = told(&self.file, &warnings);
        Ok(Next { config: Arc::new(config), warnings, changes, needs_restart, output, snapshot })
    }

    fn snapshot(&self, config: &Config) -> Result<Snapshot, Vec<String>> {
        let redis = match &config.redis {
            same if *same == self.current.redis => self.running.store.redis().cloned(),
            Some(new) => Some(Arc::new(Redis::new(new).map_err(|error| vec![format!("redis: {error}")])?)),
            None => None,
        };
        let tls = match &config.tls {
            same if *same == self.current.tls => self.running.tls.clone(),
            Some(new) => {
                let made = new.terminator(self.running.tls.as_deref());
                Some(Arc::new(made.map_err(|error| vec![format!("tls: {error}")])?))
            }
            None => None,
        };
        let before = Before::new(&self.current, &self.running);
        let snapshot = Snapshot::after(before, config, self.running.store.with(redis), Instant::now());
        Ok(snapshot.ending_tls_by(tls))
    }
}

fn failed(error: LoadError) -> Vec<String> {
    match error {
        LoadError::Unreadable { .. } => vec![error.to_string()],
        LoadError::Invalid { file, problems } => told(file.as_ref(), &problems),
    }
}

/// What is said of a panic, which is never the config's fault alone.
pub fn fault(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a fault of the gateway itself keeps this config from being taken: {}", text.unwrap_or("no reason given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_says_why() {
        let said = |panic: Result<(), Box<dyn Any + Send>>| fault(&*panic.expect_err("a panic"));
        let number = 7;
        assert!(said(std::panic::catch_unwind(|| panic!("why"))).ends_with(": why"));
        assert!(said(std::panic::catch_unwind(|| panic!("why {number}"))).ends_with(": why 7"));
        assert!(said(Err(Box::new(number))).ends_with(": no reason given"));
    }
}
