//! Keys that an issuer publishes, fetched in the background and before they are needed.
//!
//! What is known stays in use while the issuer is down. A token that may be signed with an unknown key has it asked at once, one
//! question for all who wait, and then not again for a while.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use url::Url;

use super::jwks;
use super::key::Keys;
use super::schedule::{Doubt, Schedule, life};
use crate::config::conceal::named;
use crate::outbound;

/// All that asking may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// No set of keys is longer.
const MOST_BYTES: usize = 1024 * 1024;

/// Where an issuer publishes its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// There.
    Set(Url),
    /// Where its configuration says (OpenID Connect Discovery 1.0, section 4).
    Issuer(String),
}

/// The keys of one issuer.
pub struct Remote {
    place: Place,
    algorithms: Vec<Algorithm>,
    current: ArcSwap<Current>,
    state: Mutex<State>,
    /// Rung when a token has the issuer asked.
    wake: Arc<Notify>,
    is_kept: AtomicBool,
    /// How often it has been asked; changes when an answer is in.
    asked: watch::Sender<u64>,
}

/// Keys as they are at a moment.
#[derive(Debug, Default)]
pub struct Current {
    /// The keys.
    pub keys: Keys,
    /// Another number for other keys; 0 while there have never been any.
    pub generation: u64,
}

struct State {
    schedule: Schedule,
    status: Status,
}

/// How asking went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// When the issuer gave its keys the last time.
    pub succeeded: Option<SystemTime>,
    /// Why it did not since then, if it did not.
    pub error: Option<String>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Remote {
    /// Keys at `place`, good for `algorithms`, or for what each says where there are none. They are not known yet.
    pub fn new(place: Place, algorithms: Vec<Algorithm>, now: Instant) -> Self {
        let state = State { schedule: Schedule::new(now), status: Status::default() };
        Remote {
            place,
            algorithms,
            current: ArcSwap::default(),
            state: Mutex::new(state),
            wake: Arc::default(),
            is_kept: AtomicBool::new(false),
            asked: watch::Sender::default(),
        }
    }

    /// Whether these are the keys at `place`, for the same algorithms.
    pub fn is_of(&self, place: &Place, algorithms: &[Algorithm]) -> bool {
        (&self.place, &*self.algorithms) == (place, algorithms)
    }

    /// What is asked, for people.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Set(url) => named(url),
            Place::Issuer(issuer) => issuer.clone(),
        }
    }

    /// The keys that are known.
    pub fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// How asking went.
    pub fn status(&self) -> Status {
        self.state.lock().status.clone()
    }

    /// A token may be signed with a key that was not known to this `generation`: whether it is worth another look, after the
    /// issuer has been asked, or because somebody else had it asked since.
    pub async fn doubt(&self, generation: u64, now: Instant) -> bool {
        let mut asked = {
            let mut state = self.state.lock();
            if self.current.load().generation != generation {
                return true;
            }
            match state.schedule.doubt(now) {
                Doubt::Refuse => return false,
                Doubt::Join => {}
                Doubt::Ask => self.wake.notify_one(),
            }
            self.asked.subscribe()
        };
        tokio::time::timeout(TIMEOUT, asked.changed()).await.is_ok_and(|changed| changed.is_ok())
    }

    /// Waits until the issuer has been asked once, whatever came of it.
    pub async fn first(&self) {
        // The sender is our own and not gone.
        let _ = self.asked.subscribe().wait_for(|times| *times > 0).await;
    }

    /// Has the issuer asked whenever it is time, for as long as somebody holds this, unless that is done already.
    pub fn begin(self: &Arc<Self>) {
        if !self.is_kept.swap(true, Ordering::Relaxed) {
            tokio::spawn(Remote::keep(Arc::downgrade(self), self.wake.clone()));
        }
    }

    async fn keep(remote: Weak<Remote>, wake: Arc<Notify>) {
        loop {
            let Some(due) = remote.upgrade().map(|remote| remote.state.lock().schedule.due()) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = wake.notified() => {}
            }
            let Some(remote) = remote.upgrade() else { return };
            remote.state.lock().schedule.begins();
            // In a task of its own: whatever an answer does to whoever reads it, there is a next time.
            let asking = remote.clone();
            let asked = tokio::spawn(async move { tokio::time::timeout(TIMEOUT, asking.ask()).await }).await;
            let late = || Err(format!("no answer within {} s", TIMEOUT.as_secs()));
            let found = asked
                .map_or_else(|_| Err("its answer cannot be read".to_owned()), |asked| asked.unwrap_or_else(|_| late()));
            remote.settle(found, Instant::now(), SystemTime::now());
        }
    }

    /// The keys, and how long they are good.
    async fn ask(&self) -> Result<(Keys, Duration), String> {
        let at = |place: &str, why: String| format!("{place}: {why}");
        let url = match &self.place {
            Place::Set(url) => url.clone(),
            Place::Issuer(issuer) => {
                let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let url: Url = url.parse().map_err(|_| at(&url, "no URL".to_owned()))?;
                let answer = outbound::get(&url, MOST_BYTES).await.map_err(|why| at(&named(&url), why))?;
                set_of(issuer, &answer.body).map_err(|why| at(&named(&url), why))?
            }
        };
        let answer = outbound::get(&url, MOST_BYTES).await.map_err(|why| at(&named(&url), why))?;
        let keys = jwks::keys(&answer.body, &self.algorithms);
        let keys = keys.map_err(|what| at(&named(&url), format!("what it answers is {what}")))?;
        Ok((keys, life(&answer.headers)))
    }

    /// All at once for who looks at the state: the keys, that nobody is being asked, and that an answer is in.
    fn settle(&self, found: Result<(Keys, Duration), String>, now: Instant, wall: SystemTime) {
        let mut state = self.state.lock();
        let State { schedule, status } = &mut *state;
        match found {
            Ok((keys, life)) => {
                schedule.succeeded(life, now);
                if status.error.is_some() || status.succeeded.is_none() {
                    log::info!("{}: {} keys", self.name(), keys.len());
                }
                *status = Status { succeeded: Some(wall), error: None };
                let current = self.current.load();
                if current.keys != keys {
                    self.current.store(Arc::new(Current { keys, generation: current.generation + 1 }));
                }
            }
            Err(why) => {
                schedule.failed(now);
                if status.error.as_ref() != Some(&why) {
                    let known = self.current.load().keys.len();
                    log::warn!("cannot get the keys of tokens: {why}; {known} are known and stay");
                }
                status.error = Some(why);
            }
        }
        self.asked.send_modify(|times| *times += 1);
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Whoever waits for it to be asked again need not.
        self.wake.notify_one();
    }
}

/// Where a configuration says that keys are, if it is that of `issuer` and does not lead away from https.
fn set_of(issuer: &str, configuration: &[u8]) -> Result<Url, String> {
    // What is there may be anything, and is repeated as far as it is the name of an issuer.
    let configuration: Value =
        serde_json::from_slice(configuration).map_err(|_| "no configuration of an issuer (no JSON)".to_owned())?;
    let member = |name: &str| {
        let text = configuration.get(name).and_then(Value::as_str);
        text.ok_or_else(|| format!("no configuration of an issuer (without `{name}`)"))
    };
    let (named, keys) = (member("issuer")?, member("jwks_uri")?);
    if named != issuer {
        let other: String = named.chars().take(200).collect();
        return Err(format!("it is the configuration of {}", other.escape_debug()));
    }
    let is_safe = |url: &Url| url.scheme() == "https" || url.scheme() == "http" && issuer.starts_with("http:");
    Url::parse(keys).ok().filter(is_safe).ok_or("its keys are where no https is".to_owned())
}

#[cfg(test)]
mod tests;
