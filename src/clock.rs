//! The time, read once for all that a task does at one go.
//!
//! A request asks for it about ten times, in two goes: when it has come, and when its answer has. To read the clock takes 20 to
//! 50 ns, more on some virtual machines. Event loops are used to reading it once a turn; here it is once a request and turn, since
//! others have theirs between.

use std::cell::Cell;
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

/// Does `work` at one go.
pub fn at_one_go<T>(work: impl FnOnce() -> T) -> T {
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
    use std::thread::sleep;
    use std::time::Duration;

    use super::*;

    fn later() -> Instant {
        sleep(Duration::from_millis(2));
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
