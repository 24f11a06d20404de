//! The time, read once for all that a task does at one go.
//!
//! A request asks for it eight times, in three goes: when it has come, when there is a connection for it, and when its answer has
//! come. To read the clock takes 20 to 50 ns, more on some virtual machines. Event loops are used to reading it once a turn; here
//! it is once a task and turn, since others have theirs between.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Instant;

thread_local! {
    static GO: Cell<Go> = const { Cell::new(Go::None) };
}

/// What the thread is at.
#[derive(Clone, Copy)]
enum Go {
    /// Nobody has begun one.
    None,
    /// Nobody has asked yet.
    Begun,
    /// This was the time when somebody asked.
    At(Instant),
}

/// Puts back what there was, in a panic as well.
struct Ending(Go);

impl Drop for Ending {
    fn drop(&mut self) {
        GO.set(self.0);
    }
}

/// Drives `task`, each poll of it at one go.
pub async fn by_goes<F: Future + Unpin>(mut task: F) -> F::Output {
    poll_fn(|cx| at_one_go(|| Pin::new(&mut task).poll(cx))).await
}

fn at_one_go<T>(work: impl FnOnce() -> T) -> T {
    let _ending = Ending(GO.replace(Go::Begun));
    work()
}

/// The time: within a go, that of its first question.
pub fn now() -> Instant {
    match GO.get() {
        Go::None => Instant::now(),
        Go::Begun => read(),
        Go::At(now) => now,
    }
}

/// The time of this very moment, for who measures what has been done since the last question. The rest of the go has it, too.
pub fn read() -> Instant {
    let now = Instant::now();
    if !matches!(GO.get(), Go::None) {
        GO.set(Go::At(now));
    }
    now
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;

    use super::*;

    /// What it is when the clock has moved on.
    fn later() -> Instant {
        let before = Instant::now();
        while Instant::now() == before {
            std::hint::spin_loop();
        }
        now()
    }

    #[test]
    fn it_stands_still_within_a_go_until_it_is_read() {
        let before = now();
        at_one_go(|| {
            let first = now();
            assert!(first >= before);
            assert_eq!(later(), first);
            let read = read();
            assert!(read > first);
            assert_eq!(later(), read);
            let inner = at_one_go(later);
            assert!(inner > read);
            assert_eq!(now(), read, "that of the other go");
        });
        let after = now();
        assert!(later() > after, "nobody is at a go");
    }

    #[tokio::test]
    async fn each_poll_of_a_task_is_a_go() {
        by_goes(pin!(async {
            let first = now();
            assert_eq!(later(), first);
            tokio::task::yield_now().await;
            assert!(now() > first);
        }))
        .await;
    }

    #[test]
    fn a_panic_ends_a_go() {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            at_one_go(|| {
                now();
                panic!("on purpose");
            })
        }));
        assert!(panicked.is_err());
        let after = now();
        assert!(later() > after);
    }
}
