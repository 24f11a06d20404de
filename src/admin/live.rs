//! `GET /events`: how things stand, once a second, as server-sent events (HTML Standard, section 9.2).
//!
//! What is told is put together once for all who look on, and not at all while nobody does.

mod now;
mod sampler;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use pingora::Result;
use pingora_core::protocols::http::ServerSession;
use tokio::sync::watch;

use self::sampler::Sampler;
use super::{Denial, answer};
use crate::drain::Stage;
use crate::shared::Shared;

/// No more are told at a time.
const MOST_VIEWERS: usize = 32;
/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// Who takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who looks on.
#[derive(Default)]
pub struct Live {
    source: Mutex<Weak<watch::Sender<Bytes>>>,
}

/// One who does. What is told is put together as long as there is one.
pub struct Viewer {
    _source: Arc<watch::Sender<Bytes>>,
    news: watch::Receiver<Bytes>,
}

impl Live {
    /// One more looks on.
    ///
    /// # Errors
    /// There are too many already.
    pub fn join(&self, shared: &Arc<Shared>) -> Result<Viewer, Denial> {
        let mut source = self.source.lock();
        if let Some(source) = source.upgrade() {
            if source.receiver_count() >= MOST_VIEWERS {
                let why = format!("{MOST_VIEWERS} look on already.");
                return Err(Denial::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_viewers", why));
            }
            return Ok(Viewer { news: source.subscribe(), _source: source });
        }
        let (sender, news) = watch::channel(Bytes::new());
        let sender = Arc::new(sender);
        *source = Arc::downgrade(&sender);
        tokio::spawn(tell(shared.clone(), Arc::downgrade(&sender)));
        Ok(Viewer { _source: sender, news })
    }
}

/// Puts together what is told, until nobody listens any more.
async fn tell(shared: Arc<Shared>, viewers: Weak<watch::Sender<Bytes>>) {
    let mut sampler = Sampler::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(viewers) = viewers.upgrade() else { return };
        let now = sampler.look(&shared, Instant::now());
        let data = serde_json::to_string(&now).unwrap_or_default();
        viewers.send_replace(format!("data: {data}\n\n").into());
    }
}

impl Viewer {
    /// Tells it all to `session`, until either ends.
    ///
    /// # Errors
    /// Nobody takes it.
    pub async fn tell(mut self, session: &mut ServerSession, shared: &Shared) -> Result<()> {
        answer::begin(session, "text/event-stream").await?;
        self.news.mark_changed();
        loop {
            tokio::select! {
                biased;
                () = shared.drain.reached(Stage::Closing) => break,
                changed = self.news.changed() => if changed.is_err() { break },
            }
            let news = self.news.borrow_and_update().clone();
            if !news.is_empty() {
                let Ok(written) = tokio::time::timeout(PATIENCE, session.write_response_body(news, false)).await else {
                    break;
                };
                written?;
            }
        }
        session.write_response_body(Bytes::new(), true).await
    }
}
