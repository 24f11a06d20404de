//! How much longer a request waits, and for whom.
//!
//! Pingora's time-outs are for one read each, so that an answer which drips is never late; and they begin with
//! the connection, not with what is being waited for. Here is one moment at which it is over, moved as the
//! request goes on. Pure: the connection looks at it whenever there is nothing to be read from its client.

use std::time::{Duration, Instant};

/// Who is waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum For {
    /// Nobody.
    #[default]
    Nobody,
    /// The client, to go on with its request, from when it has been silent.
    Client(Duration),
    /// The target, for so long and until then; each sign of life gives it so much more.
    Target { span: Duration, until: Instant, more: Duration },
}

/// Who has kept a request waiting for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The client.
    Client,
    /// The target, which had so long.
    Target(Duration),
    /// All together: the request has taken as long as it may.
    All,
}

/// The patience with one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    awaited: For,
    /// The end of all waiting.
    end: Option<Instant>,
    /// Who was late, until somebody has taken note.
    late: Option<Late>,
}

impl Patience {
    /// The client is to send on, each piece within `span`, and all is over at `end`.
    pub fn with_client(&mut self, span: Duration, end: Option<Instant>) {
        *self = Patience { awaited: For::Client(span), end, late: None };
    }

    /// The target is to give a sign of life within `span`, and within `more` after each that it gives.
    pub fn with_target(&mut self, span: Duration, more: Duration, now: Instant) {
        self.awaited = For::Target { span, until: now + span, more };
    }

    /// The target has given a sign of life, or could not.
    pub fn alive(&mut self, now: Instant) {
        if let For::Target { span, until, more } = &mut self.awaited {
            (*span, *until) = (*more, now + *more);
        }
    }

    /// It may take as long as it takes: only signs of life count from now on.
    pub fn endless(&mut self) {
        self.end = None;
    }

    /// Nothing is waited for any more.
    pub fn rest(&mut self) {
        (self.awaited, self.end) = (For::Nobody, None);
    }

    /// Whether the client has not sent all of its request.
    pub fn is_with_client(&self) -> bool {
        matches!(self.awaited, For::Client(_))
    }

    /// When it is over; the client has been `silent` since.
    pub fn due(&self, silent: impl FnOnce() -> Instant) -> Option<Instant> {
        let until = match self.awaited {
            For::Nobody => None,
            For::Client(span) => Some(silent() + span),
            For::Target { until, .. } => Some(until),
        };
        until.into_iter().chain(self.end).min()
    }

    /// The end of all waiting, if there is one.
    pub fn end(&self) -> Option<Instant> {
        self.end
    }

    /// It is over, at `now`; the client is to blame if it has sent nothing when it should have.
    pub fn run_out(&mut self, is_heard: bool, now: Instant) {
        let is_over = self.end.is_some_and(|end| end <= now);
        self.late = Some(match self.awaited {
            For::Client(_) if !(is_over && is_heard) => Late::Client,
            For::Target { span, .. } if !is_over => Late::Target(span),
            _ => Late::All,
        });
        self.rest();
    }

    /// Who was late, if that is why the attempt has ended.
    pub fn take_late(&mut self) -> Option<Late> {
        self.late.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_is_late_when_it_has_been_silent_and_a_target_by_the_clock() {
        let now = Instant::now();
        let mut patience = Patience::default();
        assert_eq!(patience.due(|| now), None);
        patience.with_client(SECOND, None);
        assert_eq!(patience.due(|| now), Some(now + SECOND));
        assert_eq!(patience.due(|| now + 9 * SECOND), Some(now + 10 * SECOND), "who is heard is not late");
        patience.run_out(false, now + SECOND);
        assert_eq!((patience.take_late(), patience.take_late()), (Some(Late::Client), None));
        patience.with_client(SECOND, None);
        patience.with_target(3 * SECOND, 2 * SECOND, now);
        assert_eq!(patience.due(|| now + 9 * SECOND), Some(now + 3 * SECOND));
        patience.alive(now + 3 * SECOND);
        assert_eq!(patience.due(|| now), Some(now + 5 * SECOND));
        patience.run_out(true, now + 5 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::Target(2 * SECOND)));
        assert_eq!(patience.due(|| now), None, "while the answer to that is written");
    }

    #[test]
    fn all_has_an_end_whoever_is_waited_for() {
        let now = Instant::now();
        let mut patience = Patience::default();
        patience.with_client(9 * SECOND, Some(now + 5 * SECOND));
        assert_eq!(patience.due(|| now), Some(now + 5 * SECOND));
        patience.with_target(9 * SECOND, SECOND, now);
        assert_eq!(patience.due(|| now), Some(now + 5 * SECOND));
        patience.run_out(true, now + 5 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::All));
        patience.with_client(9 * SECOND, Some(now + 5 * SECOND));
        patience.run_out(false, now + 5 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::Client), "who has not sent all of it");
        patience.with_client(9 * SECOND, Some(now + 5 * SECOND));
        patience.run_out(true, now + 5 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::All), "whom nobody has listened to");
        patience.with_client(9 * SECOND, Some(now + 5 * SECOND));
        patience.with_target(9 * SECOND, SECOND, now);
        patience.endless();
        assert_eq!(patience.due(|| now), Some(now + 9 * SECOND));
        patience.rest();
        patience.alive(now);
        assert_eq!(patience.due(|| now), None);
    }
}
