//! How much longer a request waits, and for whom.
//!
//! Pingora's time-outs are for one read each, so that an answer which drips is never late; and they begin with
//! the connection, not with what is being waited for. Here is one moment at which it is over, moved as the
//! request goes on. Pure: the connection looks at it whenever there is nothing to be read from its client.

use std::time::{Duration, Instant};

use super::pace::{Pace, Waiting};

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
    /// The client, which should have sent.
    Client,
    /// The client, which should have taken what it is sent.
    Taker,
    /// The target, which had so long.
    Target(Duration),
    /// All together: the request has taken as long as it may.
    All,
}

/// The patience with one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    awaited: For,
    /// How fast the client has to be, if that matters.
    pace: Option<Pace>,
    /// What it has sent.
    received: u64,
    /// The end of all waiting.
    end: Option<Instant>,
    /// Who was late, until somebody has taken note.
    late: Option<Late>,
}

/// A client that takes nothing for so long is gone. nginx has the same, in `send_timeout`.
const TAKES: Duration = Duration::from_secs(60);

impl Patience {
    /// The client is to send on, each piece within `span`, as fast as `pace` asks for, and all is over at `end`.
    pub fn with_client(&mut self, span: Duration, pace: Option<Pace>, end: Option<Instant>) {
        *self = Patience { awaited: For::Client(span), pace, received: 0, end, late: None };
    }

    /// So much has come of it.
    pub fn received(&mut self, bytes: u64) {
        self.received = bytes;
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

    /// It may take as long as it takes, by drops: only signs of life count from now on.
    pub fn endless(&mut self) {
        (self.end, self.pace) = (None, None);
    }

    /// Nothing is waited for any more, but that the client takes what it is sent.
    pub fn rest(&mut self) {
        (self.awaited, self.end) = (For::Nobody, None);
    }

    /// Whether the client has not sent all of its request.
    pub fn is_with_client(&self) -> bool {
        matches!(self.awaited, For::Client(_))
    }

    /// When it is over; the client has been `silent`, from `now` on at the latest.
    pub fn due(&self, silent: &mut Waiting, now: impl FnOnce() -> Instant) -> Option<Instant> {
        let until = match self.awaited {
            For::Nobody => None,
            For::Client(span) => {
                let left = self.pace.map(|pace| silent.left(pace.allows(self.received)));
                Some(silent.begin(now()) + left.into_iter().chain([span]).min().unwrap_or(span))
            }
            For::Target { until, .. } => Some(until),
        };
        until.into_iter().chain(self.end).min()
    }

    /// When the client should have gone on `taking` what it is sent, that has taken so many bytes; from `now` on it takes
    /// nothing, at the latest.
    pub fn taken_by(&self, taking: &mut Waiting, taken: u64, now: Instant) -> Instant {
        let left = self.pace.map_or(TAKES, |pace| taking.left(pace.allows(taken)).min(TAKES));
        let until = taking.begin(now) + left;
        self.end.map_or(until, |end| end.min(until))
    }

    /// It has not, by `now`.
    pub fn is_not_taken(&mut self, now: Instant) {
        match self.end {
            Some(end) if end <= now => self.run_out(true, now),
            _ => {
                self.rest();
                self.late = Some(Late::Taker);
            }
        }
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
    use std::num::NonZeroU64;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When it is over for a client that falls silent then.
    fn due(patience: &Patience, silent: Instant) -> Option<Instant> {
        patience.due(&mut Waiting::default(), || silent)
    }

    #[test]
    fn a_client_is_late_when_it_has_been_silent_and_a_target_by_the_clock() {
        let now = Instant::now();
        let mut patience = Patience::default();
        assert_eq!(due(&patience, now), None);
        patience.with_client(SECOND, None, None);
        assert_eq!(due(&patience, now), Some(now + SECOND));
        assert_eq!(due(&patience, now + 9 * SECOND), Some(now + 10 * SECOND), "who is heard is not late");
        patience.run_out(false, now + SECOND);
        assert_eq!((patience.take_late(), patience.take_late()), (Some(Late::Client), None));
        patience.with_client(SECOND, None, None);
        patience.with_target(3 * SECOND, 2 * SECOND, now);
        assert_eq!(due(&patience, now + 9 * SECOND), Some(now + 3 * SECOND));
        patience.alive(now + 3 * SECOND);
        assert_eq!(due(&patience, now), Some(now + 5 * SECOND));
        patience.run_out(true, now + 5 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::Target(2 * SECOND)));
        assert_eq!(due(&patience, now), None, "while the answer to that is written");
    }

    #[test]
    fn all_has_an_end_whoever_is_waited_for() {
        let now = Instant::now();
        let mut patience = Patience::default();
        patience.with_client(9 * SECOND, None, Some(now + 5 * SECOND));
        assert_eq!(due(&patience, now), Some(now + 5 * SECOND));
        patience.with_target(9 * SECOND, SECOND, now);
        assert_eq!(due(&patience, now), Some(now + 5 * SECOND));
        patience.run_out(true, now + 5 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::All));
        patience.with_client(9 * SECOND, None, Some(now + 5 * SECOND));
        patience.run_out(false, now + 5 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::Client), "who has not sent all of it");
        patience.with_client(9 * SECOND, None, Some(now + 5 * SECOND));
        patience.run_out(true, now + 5 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::All), "whom nobody has listened to");
        patience.with_client(9 * SECOND, None, Some(now + 5 * SECOND));
        patience.with_target(9 * SECOND, SECOND, now);
        patience.endless();
        assert_eq!(due(&patience, now), Some(now + 9 * SECOND));
        patience.rest();
        patience.alive(now);
        assert_eq!(due(&patience, now), None);
    }

    #[test]
    fn an_answer_may_take_for_ever_as_long_as_something_comes() {
        let start = Instant::now();
        let mut patience = Patience::default();
        patience.with_client(SECOND, None, None);
        patience.with_target(30 * SECOND, 60 * SECOND, start);
        for event in 1..1_000 {
            let now = start + event * 50 * SECOND;
            patience.alive(now);
            assert_eq!(due(&patience, now), Some(now + 60 * SECOND));
        }
    }

    #[test]
    fn a_client_has_to_be_fast_enough_while_it_is_waited_for() {
        let pace = Pace { rate: NonZeroU64::new(100).expect("more than nothing"), grace: 10 * SECOND };
        let now = Instant::now();
        let (mut patience, mut silent) = (Patience::default(), Waiting::default());
        patience.with_client(60 * SECOND, Some(pace), None);
        assert_eq!(patience.due(&mut silent, || now), Some(now + 10 * SECOND));
        silent.end(now + 8 * SECOND);
        patience.received(300);
        // Nobody waits for it meanwhile.
        let later = now + 100 * SECOND;
        assert_eq!(patience.due(&mut silent, || later), Some(later + 5 * SECOND));
        silent.end(later + 5 * SECOND);
        assert_eq!(patience.due(&mut silent, || later), Some(later), "it has had its time");
        silent.end(later);
        patience.received(1_000_000);
        assert_eq!(patience.due(&mut silent, || later), Some(later + 60 * SECOND), "but never longer at a time");
        patience.with_target(SECOND, SECOND, now);
        assert_eq!(patience.due(&mut silent, || later), Some(now + SECOND));
    }

    #[test]
    fn a_client_has_to_take_what_it_is_sent() {
        let pace = Pace { rate: NonZeroU64::new(100).expect("more than nothing"), grace: 10 * SECOND };
        let now = Instant::now();
        let (mut patience, mut taking) = (Patience::default(), Waiting::default());
        assert_eq!(patience.taken_by(&mut taking, 0, now), now + TAKES, "whatever is asked of others");
        patience.with_client(SECOND, Some(pace), Some(now + 99 * SECOND));
        patience.with_target(SECOND, SECOND, now);
        let mut taking = Waiting::default();
        assert_eq!(patience.taken_by(&mut taking, 200, now), now + 12 * SECOND);
        let mut complete = patience;
        complete.rest();
        assert_eq!(complete.taken_by(&mut taking, 200, now), now + 12 * SECOND, "the last of it, too");
        taking.end(now + 11 * SECOND);
        assert_eq!(patience.taken_by(&mut taking, 300, now + 20 * SECOND), now + 22 * SECOND);
        patience.is_not_taken(now + 22 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::Taker));
        patience.with_client(SECOND, Some(pace), Some(now + 5 * SECOND));
        assert_eq!(patience.taken_by(&mut Waiting::default(), 0, now), now + 5 * SECOND);
        patience.is_not_taken(now + 5 * SECOND);
        assert_eq!(patience.take_late(), Some(Late::All));
        patience.with_client(SECOND, Some(pace), None);
        patience.endless();
        assert_eq!(patience.taken_by(&mut Waiting::default(), 0, now), now + TAKES, "a tunnel may be slow");
    }
}
