//! What one request carries through the hooks. What is counted is held by a guard in here, so a client
//! that hangs up at any point gives everything back.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::HeaderValue;
use smallvec::SmallVec;

use crate::clock;
use crate::downstream::link::Link;
use crate::failure::Failure;
use crate::plugin::Notes;
use crate::snapshot::{Route, Snapshot};
use crate::trace::Trace;
use crate::trail::Trail;
use crate::upstream::attempt::Attempt;
use crate::upstream::mirror::Copy;
use crate::upstream::peer::Hop;
use crate::upstream::target::Member;

/// One request.
pub struct RequestCtx {
    /// The connection it came on.
    pub link: Option<Arc<Link>>,
    /// The config it runs under, from beginning to end.
    pub snapshot: Arc<Snapshot>,
    /// When its head had been read.
    pub started: Instant,
    /// Its correlation id.
    pub request_id: HeaderValue,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Who sent it, seen through trusted proxies.
    pub client: IpAddr,
    /// Whether the other end is a trusted proxy.
    pub from_trusted: bool,
    /// The route that takes it.
    pub route: Option<Arc<Route>>,
    /// The path that its target sees, where that is another than it asked for.
    pub rewritten: Option<String>,
    /// What plugins found out.
    pub notes: Notes,
    /// The attempt that is under way.
    pub attempt: Option<Attempt>,
    /// Of what it shares with others that should go to the same target, where there is such a thing.
    pub hash: u64,
    /// The group of the route that it belongs to.
    pub group: usize,
    /// The copy that is made of it, until all of it has been handed over.
    pub copy: Option<Copy>,
    /// Whether there has been a copy, or is to be none.
    pub mirrored: bool,
    /// Where that goes, if this has been chosen before Pingora asks for it.
    pub chosen: Option<Hop>,
    /// Targets that were tried, by id.
    pub tried: SmallVec<[u32; 4]>,
    /// The target of the last attempt.
    pub member: Option<Arc<Member>>,
    /// Connections that were tried for it or used again.
    pub tries: u32,
    /// How often it was sent, as far as it got.
    pub sent: u32,
    /// How long attempts at targets took that are over.
    pub away: Duration,
    /// It is going to be sent again, in place of handing on an answer.
    pub again: bool,
    /// The code of the answer, where the gateway gives it.
    pub code: Option<&'static str>,
    /// The status that was meant, where the answer has no room for it.
    pub meant: Option<u16>,
    /// Why the last attempt failed, as far as the client is concerned.
    pub failure: Option<Failure>,
    /// Its trace, where spans are sent.
    pub trace: Option<Trace>,
    /// What became of it, if anybody may ask.
    pub trail: Option<Box<Trail>>,
    _in_flight: InFlight,
}

impl RequestCtx {
    /// A request whose head has just been read.
    pub fn new(snapshot: Arc<Snapshot>, in_flight: InFlight) -> Self {
        RequestCtx {
            link: None,
            trace: None,
            trail: snapshot.recent.as_ref().map(|_| Box::default()),
            snapshot,
            started: clock::now(),
            request_id: HeaderValue::from_static("-"),
            peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            from_trusted: false,
            route: None,
            rewritten: None,
            notes: Notes::default(),
            attempt: None,
            chosen: None,
            hash: 0,
            group: 0,
            copy: None,
            mirrored: false,
            tried: SmallVec::new(),
            member: None,
            tries: 0,
            sent: 0,
            away: Duration::ZERO,
            again: false,
            code: None,
            meant: None,
            failure: None,
            _in_flight: in_flight,
        }
    }
}

impl RequestCtx {
    /// Takes out the attempt that is under way, which is over, and has `settle` say how it ended. Gives what that gives.
    pub fn end_attempt<R>(&mut self, now: Instant, settle: impl FnOnce(&mut Attempt, &HeaderValue) -> R) -> Option<R> {
        let attempt = self.attempt.take()?;
        Some(self.end(attempt, now, settle))
    }

    /// The same of an attempt that has been taken out.
    pub fn end<R>(
        &mut self,
        mut attempt: Attempt,
        now: Instant,
        settle: impl FnOnce(&mut Attempt, &HeaderValue) -> R,
    ) -> R {
        self.away += attempt.age(now);
        let result = settle(&mut attempt, &self.request_id);
        if let Some(trail) = &mut self.trail {
            trail.attempts.push(attempt.tried(self.started, now));
        }
        result
    }
}

/// Counts one request for as long as it lives.
pub struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    /// Counts one more in `count`.
    pub fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        InFlight(count.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
