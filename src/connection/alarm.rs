//! A timer for one connection, that is set far more often than it rings.
//!
//! Each request moves the moment at which it has waited for too long, and next to none gets there. So the
//! timer is left as it is when that moment moves away from it; when it rings too early, it is set again.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// One connection's.
#[derive(Debug, Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready at `due`; else the task is woken by then.
    pub fn poll(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let due = due.into();
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= due {
                self.0 = None;
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_when_it_is_due_wherever_it_was_set_before() {
        let start = tokio::time::Instant::now().into_std();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut alarm = Alarm::default();
        let poll_once = |alarm: &mut Alarm, seconds| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            alarm.poll(at(seconds), &mut cx).is_ready()
        };
        assert!(!poll_once(&mut alarm, 30) && !poll_once(&mut alarm, 60) && !poll_once(&mut alarm, 20));
        let elapsed = || tokio::time::Instant::now().into_std() - start;
        poll_fn(|cx| alarm.poll(at(40), cx)).await;
        assert_eq!(elapsed().as_secs(), 40, "later than it was set first");
        assert!(!poll_once(&mut alarm, 90));
        poll_fn(|cx| alarm.poll(at(50), cx)).await;
        assert_eq!(elapsed().as_secs(), 50, "and earlier");
        assert!(poll_once(&mut alarm, 45), "what is over is over");
    }
}
