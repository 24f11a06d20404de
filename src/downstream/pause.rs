//! A request rests while its client does not take what it is sent.
//!
//! Pingora drives the half of a request that reads the target and the half that writes to the client together, with a queue
//! between them: while the client takes nothing, the other half reads on until the queue is full, which is ten pieces of up to
//! 64 KiB. So the request as a whole is left alone until what it waits for has come about, and nothing else.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::task::coop::{RestoreOnPending, consume_budget, has_budget_remaining, poll_proceed};

/// What a task may do in one turn, in tokio's reckoning, is less than this.
const MOST_OF_A_TURN: usize = 1_000;

/// To read a head and send it on, and a piece of a body.
const SMALL_TURN: usize = 3;

/// That of one request, or of one connection's requests.
#[derive(Debug, Default)]
pub struct Pause(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// A write waits for the client.
    is_blocked: AtomicBool,
    /// It is worth to be tried again.
    may_go_on: AtomicBool,
    /// Both sides say what they like when they like: no request, but a tunnel.
    is_tunnel: AtomicBool,
}

impl Pause {
    /// Does `write`, as often as is needed to know that it has to wait.
    pub fn watch<T>(&self, cx: &mut Context<'_>, mut write: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let written = write(cx);
        if written.is_ready() || self.0.is_tunnel.load(Ordering::Relaxed) {
            return written;
        }
        self.0.may_go_on.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::new(GoOn { state: self.0.clone(), task: cx.waker().clone() }));
        let written = write(&mut Context::from_waker(&waker));
        if written.is_pending() {
            self.0.is_blocked.store(true, Ordering::Relaxed);
            end_turn(cx);
        }
        written
    }

    /// Drives `request`, but for when it rests.
    pub async fn rest_in<F: Future + Unpin>(&self, mut request: F) -> F::Output {
        poll_fn(|cx| {
            if self.0.is_blocked.load(Ordering::Relaxed) && !self.0.may_go_on.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            // Whoever has to wait still will say so again.
            self.0.is_blocked.store(false, Ordering::Relaxed);
            Pin::new(&mut request).poll(cx)
        })
        .await
    }

    /// The same in turns so small that little is read of an answer before any of it is written.
    pub async fn rest_in_small_turns<F: Future + Unpin>(&self, mut request: F) -> F::Output {
        self.rest_in(poll_fn(|cx| {
            shorten_turn(cx);
            Pin::new(&mut request).poll(cx)
        }))
        .await
    }

    /// What waited is given up: something else is to be waited for.
    pub fn is_over(&self) {
        self.0.is_blocked.store(false, Ordering::Relaxed);
    }

    /// From now on it is a tunnel, or a request again.
    pub fn set_tunnel(&self, is_tunnel: bool) {
        self.0.is_tunnel.store(is_tunnel, Ordering::Relaxed);
    }
}

/// The half that reads the target is polled in the same turn. It reads nothing more if all of the turn has been used.
fn end_turn(cx: &mut Context<'_>) {
    for _ in 0..MOST_OF_A_TURN {
        if !has_budget_remaining() || pin!(consume_budget()).poll(cx).is_pending() {
            return;
        }
    }
}

/// Leaves no more of the turn than a small one. How much there is cannot be asked: all of it is used, and the last of it given back.
fn shorten_turn(cx: &mut Context<'_>) {
    let mut last: [Option<RestoreOnPending>; SMALL_TURN] = Default::default();
    let mut used = 0;
    while used < MOST_OF_A_TURN && has_budget_remaining() {
        let Poll::Ready(taken) = poll_proceed(cx) else { break };
        if let Some(before) = last[used % SMALL_TURN].replace(taken) {
            before.made_progress();
        }
        used += 1;
    }
    // Each gives back all that was taken since: the oldest has the last word.
    for nth in (0..used).rev().take(SMALL_TURN) {
        last[nth % SMALL_TURN] = None;
    }
}

/// Wakes a task, and says that it was the write that could go on.
struct GoOn {
    state: Arc<State>,
    task: Waker,
}

impl Wake for GoOn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.state.may_go_on.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    /// Two halves, as Pingora has them; how many pieces have been read.
    async fn halves(pause: &Pause, read: &std::cell::Cell<u32>, mut taken: mpsc::Receiver<()>) {
        let (to_client, mut pieces) = mpsc::channel(4);
        let reads = async {
            loop {
                // A socket that always has something.
                consume_budget().await;
                read.set(read.get() + 1);
                if to_client.send(()).await.is_err() {
                    return;
                }
            }
        };
        let writes = async {
            while pieces.recv().await.is_some() {
                let gone = poll_fn(|cx| pause.watch(cx, |cx| taken.poll_recv(cx))).await.is_none();
                if gone {
                    return;
                }
            }
        };
        tokio::select! { biased; () = writes => {}, () = reads => {} }
    }

    #[tokio::test]
    async fn nothing_more_is_read_while_nothing_is_taken() {
        let (pause, read) = (Pause::default(), std::cell::Cell::new(0));
        let (take, taken) = mpsc::channel(100);
        let mut request = pin!(pause.rest_in(Box::pin(halves(&pause, &read, taken))));
        assert!(timeout(Duration::from_millis(20), request.as_mut()).await.is_err());
        let before = read.get();
        assert!((1..=6).contains(&before), "{before}");
        assert!(timeout(Duration::from_millis(20), request.as_mut()).await.is_err());
        assert_eq!(read.get(), before, "it rests");
        for _ in 0..3 {
            take.send(()).await.expect("somebody takes");
        }
        assert!(timeout(Duration::from_millis(20), request.as_mut()).await.is_err());
        assert!((before..=before + 4).contains(&read.get()), "{before} and then {}", read.get());
        drop(take);
        assert!(timeout(Duration::from_secs(9), request).await.is_ok(), "the client is gone");
    }

    #[tokio::test]
    async fn in_small_turns_little_is_read_before_any_of_it_is_written() {
        for round in 0..5 {
            let (pause, read) = (Pause::default(), std::cell::Cell::new(0));
            let (take, taken) = mpsc::channel(100);
            let mut request = pin!(pause.rest_in_small_turns(Box::pin(halves(&pause, &read, taken))));
            assert!(timeout(Duration::from_millis(50), request.as_mut()).await.is_err());
            assert!((1..=3).contains(&read.get()), "{round}: {}", read.get());
            for _ in 0..50 {
                take.send(()).await.expect("somebody takes");
            }
            assert!(timeout(Duration::from_millis(200), request.as_mut()).await.is_err());
            assert!((50..=55).contains(&read.get()), "{round}: {}", read.get());
        }
    }

    #[tokio::test]
    async fn a_tunnel_goes_on() {
        let (pause, read) = (Pause::default(), std::cell::Cell::new(0));
        let (_take, taken) = mpsc::channel(100);
        pause.set_tunnel(true);
        let mut request = pin!(pause.rest_in(Box::pin(halves(&pause, &read, taken))));
        assert!(timeout(Duration::from_millis(20), request.as_mut()).await.is_err());
        assert_eq!(read.get(), 6, "until nothing fits in between");
    }
}
