//! How a process stops being one that clients come to, step by step.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// A step on the way to the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// There is no end in sight.
    #[default]
    Serving,
    /// Clients are sent away: whoever is answered should connect anew, elsewhere.
    Draining,
    /// Connections on which nothing is under way are closed.
    Closing,
}

/// The stage of a process. It goes one way only.
#[derive(Debug, Default)]
pub struct Drain {
    stage: watch::Sender<Stage>,
    /// The same for whoever looks at every request.
    is_begun: AtomicBool,
    /// Whether another process serves in its place.
    is_handed_on: AtomicBool,
}

impl Drain {
    /// It has come to this stage, if not to a later one.
    pub fn advance(&self, stage: Stage) {
        self.is_begun.store(true, Ordering::Release);
        self.stage.send_if_modified(|current| {
            let is_later = stage > *current;
            *current = stage.max(*current);
            is_later
        });
    }

    /// Another process serves in its place.
    pub fn hand_on(&self) {
        self.is_handed_on.store(true, Ordering::Release);
    }

    /// Whether whoever comes here is served, by this process or the one in its place.
    pub fn is_ready(&self) -> bool {
        !self.is_begun() || self.is_handed_on.load(Ordering::Acquire)
    }

    /// Whether clients are sent away.
    pub fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Acquire)
    }

    /// Waits for a stage.
    pub async fn reached(&self, stage: Stage) {
        // The sender is our own and not gone.
        let _ = self.stage.subscribe().wait_for(|current| *current >= stage).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_goes_one_way_and_wakes_who_waits() {
        let drain = Drain::default();
        assert!(!drain.is_begun() && drain.is_ready());
        drain.reached(Stage::Serving).await;
        let waiting = drain.reached(Stage::Draining);
        let (closing, ()) = tokio::join!(
            async {
                waiting.await;
                drain.reached(Stage::Closing).await;
                *drain.stage.borrow()
            },
            async {
                drain.advance(Stage::Closing);
                drain.advance(Stage::Draining);
            }
        );
        assert_eq!(closing, Stage::Closing);
        assert!(drain.is_begun() && !drain.is_ready());
        drain.hand_on();
        assert!(drain.is_ready());
    }
}
