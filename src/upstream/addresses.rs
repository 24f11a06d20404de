//! Where a target is: the addresses of its host, as they were found last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

/// The addresses of one target.
#[derive(Debug)]
pub struct Addresses {
    found: ArcSwap<Resolution>,
    /// Which of several is next.
    next: AtomicUsize,
    /// Rung when some have been found.
    news: Notify,
}

#[derive(Debug)]
enum Resolution {
    Known(Arc<[SocketAddr]>),
    /// Why not.
    Unknown(String),
}

/// Addresses, each once, beginning with the one whose turn it is.
#[derive(Debug)]
pub struct Turns {
    known: Arc<[SocketAddr]>,
    first: usize,
    given: usize,
}

impl Iterator for Turns {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        let at = (self.first + self.given).checked_rem(self.known.len())?;
        let left = self.size_hint().0 > 0;
        self.given += usize::from(left);
        left.then(|| self.known[at])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.known.len() - self.given;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Turns {}

impl Addresses {
    /// None yet, for this reason.
    pub fn unknown(why: String) -> Self {
        let found = ArcSwap::from_pointee(Resolution::Unknown(why));
        Addresses { found, next: AtomicUsize::new(0), news: Notify::new() }
    }

    /// The addresses to try; of several, each is first in turn.
    ///
    /// # Errors
    /// Why there is none.
    pub fn turns(&self) -> Result<Turns, String> {
        let known = match &**self.found.load() {
            Resolution::Known(known) => known.clone(),
            Resolution::Unknown(why) => return Err(why.clone()),
        };
        let first = if known.len() > 1 { self.next.fetch_add(1, Ordering::Relaxed) % known.len() } else { 0 };
        Ok(Turns { known, first, given: 0 })
    }

    /// All there are.
    pub fn all(&self) -> Vec<SocketAddr> {
        match &**self.found.load() {
            Resolution::Known(known) => known.to_vec(),
            Resolution::Unknown(_) => Vec::new(),
        }
    }

    /// Whether there is any.
    pub fn is_known(&self) -> bool {
        matches!(**self.found.load(), Resolution::Known(_))
    }

    /// Comes back when there is.
    pub async fn found_some(&self) {
        loop {
            // From here on it hears of news.
            let news = self.news.notified();
            if self.is_known() {
                return;
            }
            news.await;
        }
    }

    /// Takes the result of a lookup of the target called `name`: addresses, of which there is at least one, or
    /// why there are none. Those that were found before stay in use then.
    pub fn found(&self, found: Result<Vec<SocketAddr>, String>, name: &str) {
        let known = self.found.load();
        match (found, &**known) {
            (Ok(addresses), Resolution::Known(same)) if addresses[..] == **same => {}
            (Ok(addresses), _) => {
                log::debug!("{name}: resolved to {addresses:?}");
                self.found.store(Arc::new(Resolution::Known(addresses.into())));
                self.news.notify_waiters();
            }
            (Err(why), Resolution::Known(_)) => log::debug!("{name}: {why}; its known addresses stay in use"),
            (Err(why), Resolution::Unknown(same)) => {
                if why != *same {
                    log::warn!("{name}: {why}");
                }
                self.found.store(Arc::new(Resolution::Unknown(why)));
            }
        }
    }
}
