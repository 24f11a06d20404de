//! What became of the last requests, for whoever asks.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use http::Method;
use parking_lot::Mutex;

use crate::failure::Failure;
use crate::trail::Trail;

/// Of that many requests that did not go as they should is known what became of them when they are none of the last any more:
/// a part of how many the last are.
const TROUBLED: usize = 4;
/// Of a path so many bytes are kept.
const PATH_BYTES: usize = 512;

/// A request that is over.
#[derive(Debug)]
pub struct Recent {
    /// Its correlation id.
    pub request_id: Box<str>,
    /// When it ended.
    pub at: SystemTime,
    /// Its method.
    pub method: Method,
    /// Its path in normal form, or the beginning of a long one.
    pub path: Box<str>,
    /// The path that its target was sent, where that is another.
    pub forwarded: Option<Box<str>>,
    /// Who sent it, seen through trusted proxies.
    pub client: IpAddr,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The name of its route, and the path.
    pub route: Option<(Arc<str>, Arc<str>)>,
    /// The config that it ran under.
    pub generation: u64,
    /// The status that the client got.
    pub status: u16,
    /// Why it ended as it did, in a word.
    pub reason: &'static str,
    /// From its head to the end of the answer.
    pub elapsed: Duration,
    /// The part of it in which no target had it.
    pub within: Duration,
    /// What happened.
    pub trail: Box<Trail>,
}

impl Recent {
    /// Bytes that were none, and were answered with `failure`.
    pub fn of_no_request(id: &str, peer: IpAddr, generation: u64, failure: Failure) -> Self {
        Recent {
            request_id: id.into(),
            at: SystemTime::now(),
            method: Method::default(),
            path: "-".into(),
            forwarded: None,
            client: peer,
            peer,
            route: None,
            generation,
            status: failure.status(),
            reason: failure.code(),
            elapsed: Duration::ZERO,
            within: Duration::ZERO,
            trail: Box::default(),
        }
    }

    /// Whether something broke, for the client or on the way. Where there is no target left it broke before, and what is
    /// refused for that would wash away what says why.
    fn is_troubled(&self) -> bool {
        let is_consequence = matches!(self.reason, "no_target_available" | "no_target_known" | "overloaded");
        self.status >= 500 && !is_consequence
            || self.trail.attempts.iter().any(|attempt| attempt.course.cause.is_some())
    }
}

/// As much of a path as is kept.
pub fn beginning(path: &str) -> Box<str> {
    let end = (0..=PATH_BYTES.min(path.len())).rev().find(|end| path.is_char_boundary(*end));
    path[..end.unwrap_or(0)].into()
}

/// The last requests, and the last of those in which something broke: they are few, and what everything else brings does not
/// wash them away.
#[derive(Debug)]
pub struct Recents {
    all: Ring,
    troubled: Ring,
}

impl Recents {
    /// Room for so many.
    pub fn new(capacity: usize) -> Self {
        Recents { all: Ring::new(capacity), troubled: Ring::new(capacity.div_ceil(TROUBLED)) }
    }

    /// How many there is room for.
    pub fn capacity(&self) -> usize {
        self.all.slots.len()
    }

    /// One more is over.
    pub fn add(&self, request: Recent) {
        let request = Arc::new(request);
        if request.is_troubled() {
            self.troubled.add(request.clone());
        }
        self.all.add(request);
    }

    /// Those that were called so, the last first. Clients choose the ids, and may choose one twice.
    pub fn named(&self, request_id: &str) -> Vec<Arc<Recent>> {
        let mut found = self.all.find(|request| &*request.request_id == request_id);
        let mut earlier = self.troubled.find(|request| &*request.request_id == request_id);
        let known: HashSet<*const Recent> = found.iter().map(Arc::as_ptr).collect();
        earlier.retain(|one| !known.contains(&Arc::as_ptr(one)));
        found.append(&mut earlier);
        found
    }

    /// The last in which something broke, the very last first.
    pub fn troubled(&self, most: usize) -> Vec<Arc<Recent>> {
        let mut troubled = self.troubled.find(|_| true);
        troubled.truncate(most);
        troubled
    }
}

#[derive(Debug)]
struct Ring {
    slots: Box<[Mutex<Option<Arc<Recent>>>]>,
    next: AtomicUsize,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Ring { slots: (0..capacity.max(1)).map(|_| Mutex::default()).collect(), next: AtomicUsize::new(0) }
    }

    fn add(&self, request: Arc<Recent>) {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        // What was there is dropped when the lock is free again.
        let _before = self.slots[at].lock().replace(request);
    }

    /// Those that are `wanted`, the last first.
    fn find(&self, wanted: impl Fn(&Recent) -> bool) -> Vec<Arc<Recent>> {
        let (count, next) = (self.slots.len(), self.next.load(Ordering::Relaxed));
        let slots = (1..=count).map(|back| &self.slots[(next + count - back) % count]);
        slots.filter_map(|slot| slot.lock().as_ref().filter(|request| wanted(request)).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn request(id: &str, status: u16) -> Recent {
        Recent {
            request_id: id.into(),
            at: SystemTime::now(),
            method: Method::GET,
            path: beginning("/"),
            forwarded: None,
            client: Ipv4Addr::LOCALHOST.into(),
            peer: Ipv4Addr::LOCALHOST.into(),
            route: None,
            generation: 1,
            status,
            reason: "forwarded",
            elapsed: Duration::ZERO,
            within: Duration::ZERO,
            trail: Box::default(),
        }
    }

    fn statuses(found: &[Arc<Recent>]) -> Vec<u16> {
        found.iter().map(|request| request.status).collect()
    }

    #[test]
    fn the_last_are_known_and_what_broke_stays_longer() {
        let recents = Recents::new(8);
        recents.add(request("broken", 502));
        for number in 0..10 {
            recents.add(request(&format!("r{number}"), 200));
        }
        let knows = |id: &str| statuses(&recents.named(id));
        assert_eq!((knows("r0"), knows("r1"), knows("r2"), knows("r9")), (vec![], vec![], vec![200], vec![200]));
        assert_eq!(knows("broken"), [502]);
        recents.add(request("r9", 504));
        assert_eq!(knows("r9"), [504, 200], "the last first, and each once");
        assert_eq!(statuses(&recents.troubled(9)), [504, 502]);
        assert_eq!(statuses(&recents.troubled(1)), [504]);
        (0..9).for_each(|_| recents.add(Recent { reason: "no_target_available", ..request("none", 503) }));
        assert_eq!(statuses(&recents.troubled(9)), [504, 502], "what follows from them is no news");
    }

    #[test]
    fn of_a_long_path_the_beginning_is_kept() {
        assert_eq!(&*beginning("/a"), "/a");
        assert_eq!(beginning(&format!("/{}", "ä".repeat(400))).len(), PATH_BYTES - 1);
    }
}
