//! The config, read again while the gateway runs: when a file has changed, on SIGHUP, or when an operator says so.
//!
//! It is read whole, looked at whole and taken whole, or not at all: then the one before goes on. A request runs under the
//! config that it began with. What did not change goes on as it is: targets with their circuits and counts, connections,
//! turns, limits.

pub mod report;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use self::report::{Cause, Outcome, Report};
use self::watch::{Watch, look};
use crate::config::changes::{changes, needing_restart};
use crate::config::{self, Config, LoadError, Loaded};
use crate::observe::access_log::Output;
use crate::plugin::rate_limit::redis::Redis;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::snapshot::before::Before;
use crate::tls::terminator::Terminator;
use crate::upstream::discovery::Lookout;

/// How often files are looked at. What has changed is read one look later.
const LOOK: Duration = Duration::from_millis(500);

/// Where a config is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// All files that it depends on, itself included.
    pub files: Vec<String>,
}

/// Through which reading is asked for, and what came of it last.
pub struct Reloads {
    asks: mpsc::UnboundedSender<Ask>,
    /// Until somebody carries them out.
    asked: Mutex<Option<mpsc::UnboundedReceiver<Ask>>>,
    last: Mutex<Report>,
}

/// Somebody wants the config to be read.
struct Ask {
    cause: Cause,
    answer: oneshot::Sender<Report>,
}

impl Default for Reloads {
    fn default() -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let begun = Report {
            at: SystemTime::now(),
            cause: Cause::Start,
            outcome: Outcome::Applied,
            generation: 1,
            changes: Vec::new(),
            needs_restart: Vec::new(),
            warnings: Vec::new(),
            errors: Vec::new(),
        };
        Reloads { asks, asked: Mutex::new(Some(asked)), last: Mutex::new(begun) }
    }
}

impl Reloads {
    /// Has the config read, and tells what came of it; `None` if the process is about to end.
    pub async fn ask(&self, cause: Cause) -> Option<Report> {
        self.request(cause).await.ok()
    }

    /// Has it read some time soon.
    pub fn request(&self, cause: Cause) -> oneshot::Receiver<Report> {
        let (answer, answered) = oneshot::channel();
        // If nobody is there to take it, the receiver says so.
        let _ = self.asks.send(Ask { cause, answer });
        answered
    }

    /// What came of it the last time.
    pub fn last(&self) -> Report {
        self.last.lock().clone()
    }

    /// Since when the file says something that cannot run, if it does.
    pub fn rejected(&self) -> Option<SystemTime> {
        let last = self.last.lock();
        (last.outcome == Outcome::Rejected).then_some(last.at)
    }
}

/// What reads the config.
pub struct Reloader {
    shared: Arc<Shared>,
    lookout: Arc<Lookout>,
    origin: Option<Origin>,
    /// The config that the process began with, whose sockets and threads it has.
    begun: Config,
    /// The one that runs.
    current: Config,
    watch: Watch,
    /// What ends the TLS of clients, and what keeps its certificates true.
    tls: Option<(Arc<Terminator>, AbortHandle)>,
}

/// What is taken in place of what there was, all of it good.
struct Next {
    loaded: Loaded,
    output: Output,
    redis: Option<Arc<Redis>>,
}

impl Reloader {
    /// One for a gateway that runs `config`, which is from there, if it is from anywhere.
    pub fn new(
        shared: Arc<Shared>,
        lookout: Arc<Lookout>,
        (config, origin): (Config, Option<Origin>),
        tls: Option<(Arc<Terminator>, AbortHandle)>,
    ) -> Self {
        // Files may have changed since they were read: the first looks tell.
        Reloader { shared, lookout, origin, begun: config.clone(), current: config, watch: Watch::default(), tls }
    }

    /// Reads the config whenever it is time, for ever.
    pub async fn run(mut self) {
        let Some(mut asked) = self.shared.reloads.asked.lock().take() else { return };
        loop {
            let (cause, answer) = tokio::select! {
                ask = asked.recv() => match ask {
                    Some(Ask { cause, answer }) => (cause, Some(answer)),
                    None => return,
                },
                () = sleep(LOOK) => match self.has_changed().await {
                    true => (Cause::File, None),
                    false => continue,
                },
            };
            let report = self.reload(cause).await;
            // At the first look the file may have been touched, and no more.
            if cause != Cause::File || report.outcome != Outcome::Unchanged {
                report.log();
                *self.shared.reloads.last.lock() = report.clone();
            }
            if let Some(answer) = answer {
                // Who does not wait for it knows why.
                let _ = answer.send(report);
            }
        }
    }

    async fn has_changed(&mut self) -> bool {
        let Some(origin) = &self.origin else { return false };
        let files = origin.files.clone();
        // Disks may take their time.
        let looked = tokio::task::spawn_blocking(move || look(&files)).await;
        looked.is_ok_and(|look| self.watch.has_changed(look))
    }

    async fn reload(&mut self, cause: Cause) -> Report {
        let (at, generation) = (SystemTime::now(), self.shared.snapshot.load().generation);
        let mut report = Report {
            at,
            cause,
            outcome: Outcome::Rejected,
            generation,
            changes: Vec::new(),
            needs_restart: Vec::new(),
            warnings: Vec::new(),
            errors: Vec::new(),
        };
        match self.read().await.and_then(|loaded| self.prepare(loaded)) {
            Err(errors) => report.errors = errors,
            Ok(next) => {
                report.warnings = self.told(&next.loaded);
                report.changes = changes(&self.current, &next.loaded.config);
                report.needs_restart = needing_restart(&self.begun, &next.loaded.config);
                report.outcome = if report.changes.is_empty() { Outcome::Unchanged } else { Outcome::Applied };
                report.generation = self.take(next, report.outcome).await;
            }
        }
        report
    }

    fn told(&self, loaded: &Loaded) -> Vec<String> {
        let file = self.origin.as_ref().map(|origin| origin.file.display().to_string()).unwrap_or_default();
        loaded.warnings.iter().map(|warning| format!("{file}:{warning}")).collect()
    }

    /// What the file says.
    async fn read(&mut self) -> Result<Loaded, Vec<String>> {
        let Some(origin) = &self.origin else {
            return Err(vec!["this config is in no file, so it cannot be read again".to_owned()]);
        };
        let (file, known) = (origin.file.clone(), origin.files.clone());
        let read = move || {
            // Before it is read: what changes meanwhile shows at the next look.
            let mut files = Vec::new();
            let before = look(&known);
            let loaded = config::load_noting(&file, &mut files);
            let is_known = files == known;
            (loaded, if is_known { before } else { look(&files) }, files)
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (loaded, look, files) = read.map_err(|error| vec![format!("the config cannot be read: {error}")])?;
        self.origin = Some(Origin { file: origin.file.clone(), files });
        self.watch.reads(look);
        loaded.map_err(|error| match error {
            LoadError::Unreadable { .. } => vec![error.to_string()],
            LoadError::Invalid { file, problems } => {
                problems.iter().map(|problem| format!("{file}:{problem}")).collect()
            }
        })
    }

    /// All that can still go wrong.
    fn prepare(&self, loaded: Loaded) -> Result<Next, Vec<String>> {
        let config = &loaded.config;
        let output = Output::open(&config.access_log)
            .map_err(|why| vec![format!("cannot open the access log {}: {why}", config.access_log.file)])?;
        let redis = match (&config.redis, &self.current.redis) {
            (new, old) if new == old => self.shared.snapshot.load().store.redis().cloned(),
            (Some(new), _) => Some(Arc::new(Redis::new(new).map_err(|error| vec![format!("redis: {error}")])?)),
            (None, _) => None,
        };
        if let (Some((terminator, _)), Some(tls)) = (&self.tls, &config.tls)
            && Some(tls) != self.current.tls.as_ref()
        {
            tls.renew(terminator).map_err(|error| vec![format!("tls: {error}")])?;
        }
        Ok(Next { loaded, output, redis })
    }

    /// Has new requests run under it; the number of the config that they run under.
    async fn take(&mut self, next: Next, outcome: Outcome) -> u64 {
        let Next { loaded: Loaded { config, .. }, output, redis } = next;
        self.shared.access_log.switch(config.access_log.format, output);
        let current = self.shared.snapshot.load_full();
        if outcome == Outcome::Unchanged {
            self.current = config;
            return current.generation;
        }
        if config.resolve != self.current.resolve {
            self.lookout.look_as(&config.resolve);
        }
        if let (Some((terminator, keeper)), Some(tls)) = (&mut self.tls, &config.tls)
            && Some(tls) != self.current.tls.as_ref()
        {
            keeper.abort();
            *keeper = tokio::spawn(tls.keeper(terminator.clone()).keep()).abort_handle();
        }
        let store = current.store.with(redis);
        let before = Before::new(&self.current, &current);
        let snapshot = Arc::new(Snapshot::after(before, &config, store, Instant::now()));
        snapshot.settle_in(&self.lookout).await;
        let generation = snapshot.generation;
        self.shared.snapshot.store(snapshot);
        self.current = config;
        generation
    }
}
