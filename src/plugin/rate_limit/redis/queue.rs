//! Where requests wait for a server, and who serves them finds them.

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::lanes::Lanes;
use crate::plugin::rate_limit::algorithm::Decision;
use crate::plugin::rate_limit::fingerprint::Fingerprint;
use crate::plugin::rate_limit::rule::Asked;

/// A request to be decided.
#[derive(Debug)]
pub struct Request {
    /// What it asks.
    pub asked: Asked,
    /// Takes the decision. Dropped, there is none.
    pub answer: oneshot::Sender<Decision>,
    /// Nothing is asked: it has been used, and is counted, room or not.
    pub is_charge: bool,
    /// How often it has been sent elsewhere.
    pub hops: u8,
    /// The server has not got the slot yet that it is asked for, and is told that we know.
    pub asking: bool,
}

impl Request {
    /// A request that has not been anywhere.
    pub fn new(asked: Asked, is_charge: bool, answer: oneshot::Sender<Decision>) -> Self {
        Request { asked, answer, is_charge, hops: 0, asking: false }
    }

    /// Requests in the same lane go together.
    pub fn lane(&self) -> Fingerprint {
        self.asked.lane.aside(u32::from(self.is_charge) | u32::from(self.asking) << 1)
    }
}

/// The requests in one lane, in the order they came.
pub type Call = (Fingerprint, Vec<Request>);

/// The requests that wait for one server.
#[derive(Debug, Default)]
pub struct Queue {
    lanes: Mutex<Open>,
    /// Rung when some of them can go, or none ever will.
    bell: Notify,
}

#[derive(Debug, Default)]
struct Open {
    lanes: Lanes<Fingerprint, Request>,
    closed: bool,
}

impl Queue {
    /// Lets `request` wait; gives it back when nobody serves any more. Who serves is disturbed only when there is
    /// something to do: not by one more who waits behind a call in flight.
    pub fn arrive(&self, request: Request) -> Option<Request> {
        let mut open = self.lanes.lock();
        if open.closed {
            return Some(request);
        }
        let is_first = open.lanes.arrive(request.lane(), request);
        drop(open);
        if is_first {
            self.bell.notify_one();
        }
        None
    }

    /// Waits until somebody can go, or none ever will.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// All who can go now; their calls are in flight from here on. `None`: nobody comes any more.
    pub fn depart(&self) -> Option<Vec<Call>> {
        let mut open = self.lanes.lock();
        (!open.closed).then(|| open.lanes.depart())
    }

    /// The call in `lane` has been answered.
    pub fn land(&self, lane: &Fingerprint) {
        if self.lanes.lock().lanes.land(lane) {
            self.bell.notify_one();
        }
    }

    /// The call in `lane` has failed: gives back those who wait behind it.
    pub fn crash(&self, lane: &Fingerprint) -> Vec<Request> {
        self.lanes.lock().lanes.crash(lane)
    }

    /// Nobody is to wait any more. Who waits is told by the end of its channel.
    pub fn close(&self) {
        let gone = std::mem::replace(&mut *self.lanes.lock(), Open { lanes: Lanes::default(), closed: true });
        drop(gone);
        self.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;
    use crate::plugin::rate_limit::algorithm::Quota;
    use crate::plugin::rate_limit::fingerprint::Hasher;
    use crate::plugin::rate_limit::rule::{Limits, Rule};

    /// Requests for one counter, each with the end that waits.
    fn requests() -> impl FnMut() -> (Request, oneshot::Receiver<Decision>) {
        let quota = Quota::fixed(NonZeroU32::MIN, Duration::from_secs(1));
        let (limits, hasher) = (Arc::new(Limits::new(vec![Rule::by_address(1, quota)], false)), Hasher::default());
        move || {
            let (answer, decision) = oneshot::channel();
            (Request::new(limits.ask_for(&[0], 1, &hasher), false, answer), decision)
        }
    }

    #[test]
    fn who_serves_is_woken_for_those_who_can_go_whoever_lets_them() {
        let (queue, mut request) = (Queue::default(), requests());
        let woken = || queue.rung().now_or_never().is_some();
        assert!(!woken());
        assert!(queue.arrive(request().0).is_none());
        assert!(woken());
        let calls = queue.depart().expect("it is open");
        assert!(queue.arrive(request().0).is_none());
        assert!(!woken(), "a call for the same counter is in flight");
        queue.land(&calls[0].0);
        assert!(woken());
        assert_eq!(queue.depart().map(|calls| calls.len()), Some(1));
        queue.land(&calls[0].0);
        assert!(!woken(), "nobody waits");
    }

    #[test]
    fn nobody_waits_for_what_is_closed() {
        let (queue, mut request) = (Queue::default(), requests());
        let (early, mut told) = request();
        assert!(queue.arrive(early).is_none());
        queue.close();
        assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(queue.arrive(request().0).is_some() && queue.depart().is_none());
        assert!(queue.rung().now_or_never().is_some());
    }
}
