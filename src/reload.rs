//! The config, read again while the gateway runs: when a file has changed, on SIGHUP, or when an operator says so.
//!
//! It is read whole, looked at whole and taken whole, or not at all: then the one before goes on. A request runs under the
//! config that it began with. What did not change goes on as it is: targets with their circuits and counts, connections,
//! turns, limits.

mod making;
pub mod report;
mod watch;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval_at};

use self::making::{Made, Making, Next};
use self::report::{Cause, Outcome, Report};
use self::watch::{Watch, look};
use crate::config::files::Files;
use crate::config::{Config, Problem};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::upstream::discovery::Lookout;

/// How often files are looked at. What has changed is read one look later.
const LOOK: Duration = Duration::from_millis(500);
/// How often targets that are gone are looked for.
const SWEEP: Duration = Duration::from_secs(10);

/// Where a config is from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// All files that it depends on, itself included.
    pub files: Files,
    /// What was found in it that does not keep it from running.
    pub warnings: Vec<String>,
}

impl Origin {
    /// The names of those that can change.
    fn watched(&self) -> impl Iterator<Item = &str> {
        self.files.watched().map(|(name, _)| name)
    }

    /// These, as they were when they were read.
    fn look(&self) -> watch::Look {
        self.files.watched().map(|(_, stamp)| stamp).collect()
    }
}

/// What was found in a file, each as `FILE:L:C: where: what`.
pub fn told(file: &Path, problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}:{problem}", file.display())).collect()
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
        let begun = Report::new(SystemTime::now(), Cause::Start, Outcome::Applied, 1);
        Reloads { asks, asked: Mutex::new(Some(asked)), last: Mutex::new(begun) }
    }
}

impl Reloads {
    /// This is what there was to be said of the first config.
    pub fn begin(&self, warnings: Vec<String>) {
        self.last.lock().warnings = warnings;
    }

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

/// A config that runs since now, and what is to be said of it.
struct Taken {
    warnings: Vec<String>,
    changes: Vec<String>,
    needs_restart: Vec<&'static str>,
}

/// What reads the config.
pub struct Reloader {
    shared: Arc<Shared>,
    lookout: Arc<Lookout>,
    origin: Option<Origin>,
    /// The config that the process began with, whose sockets and threads it has.
    begun: Arc<Config>,
    /// The one that runs.
    current: Arc<Config>,
    watch: Watch,
    make: fn(Making) -> Made,
    /// Those that ran before, until nobody has them: whoever is the last to let a large one go has to take it apart.
    retired: Vec<(Arc<Snapshot>, Arc<Config>)>,
    swept: Instant,
}

impl Reloader {
    /// One for a gateway that runs `config`, which is from there, if it is from anywhere.
    pub fn new(shared: Arc<Shared>, lookout: Arc<Lookout>, config: Config, origin: Option<Origin>) -> Self {
        let mut watch = Watch::default();
        if let Some(origin) = &origin {
            watch.reads(origin.look(), true);
        }
        let (begun, current) = (Arc::new(Config { routes: Vec::new(), ..config.clone() }), Arc::new(config));
        Reloader {
            shared,
            lookout,
            origin,
            begun,
            current,
            watch,
            make: Making::make,
            retired: Vec::new(),
            swept: Instant::now(),
        }
    }

    /// Reads the config whenever it is time, for ever.
    pub async fn run(mut self) {
        let Some(mut asked) = self.shared.reloads.asked.lock().take() else { return };
        let mut looks = interval_at((Instant::now() + LOOK).into(), LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (cause, answer) = tokio::select! {
                ask = asked.recv() => match ask {
                    Some(Ask { cause, answer }) => (cause, Some(answer)),
                    None => return,
                },
                // Its time goes on, however often somebody asks.
                _ = looks.tick() => match self.has_changed().await {
                    true => (Cause::File, None),
                    false => continue,
                },
            };
            let report = self.report(cause).await;
            if cause == Cause::Signal && report.outcome == Outcome::Rejected {
                // Whoever sends it may have put the log away, whatever the config says by now.
                let shared = self.shared.clone();
                // What goes wrong is told in the log.
                let _ = spawn_blocking(move || shared.access_log.reopen()).await;
            }
            // A file may have been touched and no more, or be as bad as it was when it was tried the last time.
            if cause != Cause::File || report.is_news_after(&self.shared.reloads.last()) {
                report.log();
                *self.shared.reloads.last.lock() = report.clone();
            }
            if let Some(answer) = answer {
                // Who does not wait for it knows why.
                let _ = answer.send(report);
            }
        }
    }

    /// Whether files have changed. Meanwhile what is not used any more is let go.
    async fn has_changed(&mut self) -> bool {
        let names: Vec<String> = self.origin.iter().flat_map(Origin::watched).map(str::to_owned).collect();
        let gone: Vec<_> = self.retired.extract_if(.., |(snapshot, _)| Arc::strong_count(snapshot) == 1).collect();
        let (is_due, now) = (self.swept.elapsed() >= SWEEP || !gone.is_empty(), Instant::now());
        let registry = is_due.then(|| self.shared.snapshot.load().registry.clone());
        if is_due {
            self.swept = now;
        }
        // Disks may take their time, and so does what is large.
        let looked = spawn_blocking(move || {
            drop(gone);
            registry.iter().for_each(|registry| registry.sweep(now));
            look(&names)
        });
        looked.await.is_ok_and(|look| self.origin.is_some() && self.watch.has_changed(look))
    }

    /// Reads the config and, if it is good and another one, has it run. Whatever goes wrong with that, there is another time.
    async fn report(&mut self, cause: Cause) -> Report {
        let at = SystemTime::now();
        let ended = AssertUnwindSafe(self.reload()).catch_unwind().await;
        let made = ended.unwrap_or_else(|panic| Err(vec![making::fault(&*panic)]));
        let generation = self.shared.snapshot.load().generation;
        let report = |outcome| Report::new(at, cause, outcome, generation);
        match made {
            Err(errors) => Report { errors, ..report(Outcome::Rejected) },
            Ok(Taken { warnings, changes, needs_restart }) => {
                let outcome = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Applied };
                Report { warnings, changes, needs_restart, ..report(outcome) }
            }
        }
    }

    async fn reload(&mut self) -> Result<Taken, Vec<String>> {
        let Some(origin) = &self.origin else {
            return Err(vec!["this config is in no file, so it cannot be read again".to_owned()]);
        };
        let making = Making {
            file: origin.file.clone(),
            files: origin.files.again(),
            begun: self.begun.clone(),
            current: self.current.clone(),
            running: self.shared.snapshot.load_full(),
        };
        // On none of the threads that serve: a large config takes a while.
        let make = self.make;
        match spawn_blocking(move || make(making)).await {
            Ok(Made { files, is_lacking, next }) => {
                if let Some(origin) = &mut self.origin {
                    origin.files = files;
                    self.watch.reads(origin.look(), !is_lacking);
                }
                Ok(self.take(next?).await)
            }
            Err(error) => {
                // The same files would come to the same end.
                self.watch.gives_up();
                Err(vec![error.try_into_panic().map_or_else(|error| error.to_string(), |panic| making::fault(&*panic))])
            }
        }
    }

    /// Has new requests run under it: from one moment to the next, all of it.
    async fn take(&mut self, next: Next) -> Taken {
        let Next { config, warnings, changes, needs_restart, output, snapshot } = next;
        if let Some(snapshot) = snapshot {
            if config.resolve != self.current.resolve {
                self.lookout.look_as(&config.resolve);
            }
            snapshot.settle_in(&self.lookout).await;
            self.retired
                .push((self.shared.snapshot.swap(snapshot), std::mem::replace(&mut self.current, config.clone())));
        }
        self.shared.access_log.switch(config.access_log.clone(), output);
        Taken { warnings, changes, needs_restart }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::observe::access_log::AccessLog;
    use crate::plugin::rate_limit::Store;

    /// It was the end of all reading, and nobody was told.
    #[tokio::test]
    async fn a_panic_is_told_and_is_not_the_end() {
        let path = std::env::temp_dir().join(format!("aegis-reload-{}.yaml", std::process::id()));
        let text = "listen: 127.0.0.1:0\nroutes: [{ path: /, target: http://127.0.0.1:1 }]\n";
        std::fs::write(&path, text).expect("written");
        let mut files = Files::default();
        let config = config::load_noting(&path, &mut files, None).expect("a valid config").config;
        let snapshot = Snapshot::new(&config, Arc::new(Store::new(None, Instant::now())), Instant::now());
        let log = AccessLog::open(&config.access_log).expect("a log");
        let (shared, lookout) = (Arc::new(Shared::new(snapshot, log)), Arc::new(Lookout::new(&config.resolve)));
        let origin = Origin { file: path.clone(), files, warnings: Vec::new() };
        let reloader = Reloader::new(shared.clone(), lookout, config, Some(origin));
        let make = |_: Making| panic!("it was wrong");
        let task = tokio::spawn(Reloader { make, ..reloader }.run());
        for _ in 0..2 {
            let report = shared.reloads.ask(Cause::Admin).await.expect("a report");
            assert_eq!((report.outcome, report.generation), (Outcome::Rejected, 1));
            assert!(report.errors[0].ends_with("it was wrong"), "{:?}", report.errors);
            assert!(shared.reloads.rejected().is_some());
        }
        assert!(!task.is_finished());
        std::fs::remove_file(path).expect("removed");
    }
}
