//! Writing to a client that may not take what it is sent.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use super::alarm::Alarm;
use crate::downstream::link::Link;

/// What waits for one client.
#[derive(Debug, Default)]
pub struct Taking {
    /// What it has taken of an answer.
    pub bytes: u64,
    is_stalled: bool,
}

impl Taking {
    /// By who has taken so much already.
    pub fn after(bytes: u64) -> Self {
        Taking { bytes, is_stalled: false }
    }

    /// What `write` gives; `None` if the client has kept it waiting for too long. While it waits, so does the request.
    pub fn poll<T>(
        &mut self,
        (link, alarm): (&Link, &mut Alarm),
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Option<T>> {
        let written = link.pause.watch(cx, |cx| {
            if let Poll::Ready(written) = write(cx) {
                return Poll::Ready(Some(written));
            }
            self.is_stalled = true;
            let due = link.stalls(self.bytes, Instant::now());
            ready!(alarm.poll(due, cx));
            link.is_not_taken(Instant::now());
            Poll::Ready(None)
        });
        if written.is_ready() && std::mem::take(&mut self.is_stalled) {
            link.goes_on(Instant::now());
        }
        written
    }
}
