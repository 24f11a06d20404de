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
use pingora::{Error, ErrorType, Result};
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
                write(session, news, false).await?;
            }
        }
        write(session, Bytes::new(), true).await
    }
}

/// Writes a piece, unless it is not taken: what comes after a piece that is broken off would be taken for the rest of it.
async fn write(session: &mut ServerSession, piece: Bytes, is_last: bool) -> Result<()> {
    let written = tokio::time::timeout(PATIENCE, session.write_response_body(piece, is_last)).await;
    written.unwrap_or_else(|_| Error::e_explain(ErrorType::WriteTimedout, "telling how things stand"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::gathered::{Gathered, SHORT};
    use crate::shared::tests::shared;

    /// It kept one of the few places for ever.
    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_looks_on_no_longer() {
        let (mut client, stream) = duplex(1_000);
        client.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
        let mut session =
            ServerSession::new_http1(Box::new(Gathered::new(Box::new(stream), SHORT, AtomicBool::new(false))));
        assert!(session.read_request().await.expect("a request"));
        let (source, news) = watch::channel(Bytes::new());
        let source = Arc::new(source);
        let viewer = Viewer { _source: source.clone(), news };
        let shared = shared("live");
        let told = tokio::spawn(async move { viewer.tell(&mut session, &shared).await.is_err() });
        let mut ticks = tokio::time::interval(EVERY);
        for _ in 0..60 {
            ticks.tick().await;
            source.send_replace(Bytes::from_static(&[b'x'; 600]));
        }
        assert!(told.is_finished() && told.await.expect("no panic"));
    }
}
