//! Connections that have not asked for anything yet: so many may wait, and when more come, the one that has waited for longest
//! makes room. Whoever opens connections and says nothing keeps nobody else out.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Those that wait.
#[derive(Debug)]
pub struct Waiting {
    most: usize,
    /// The first has waited for longest.
    places: Mutex<VecDeque<Arc<Notify>>>,
}

/// A place among them.
#[derive(Debug)]
pub struct Place<'w> {
    waiting: &'w Waiting,
    bell: Arc<Notify>,
}

impl Waiting {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        Waiting { most, places: Mutex::default() }
    }

    /// A place for one more.
    pub fn enter(&self) -> Place<'_> {
        let bell = Arc::<Notify>::default();
        let mut places = self.places.lock();
        if places.len() >= self.most
            && let Some(first) = places.pop_front()
        {
            first.notify_one();
        }
        places.push_back(bell.clone());
        Place { waiting: self, bell }
    }
}

impl Place<'_> {
    /// Ready when somebody else needs the place.
    pub async fn is_lost(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.places.lock().retain(|bell| !Arc::ptr_eq(bell, &self.bell));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_has_waited_for_longest_makes_room() {
        let waiting = Waiting::new(2);
        let (first, second) = (waiting.enter(), waiting.enter());
        assert!(first.is_lost().now_or_never().is_none());
        let third = waiting.enter();
        assert!(first.is_lost().now_or_never().is_some() && second.is_lost().now_or_never().is_none());
        drop(second);
        let _fourth = waiting.enter();
        assert!(third.is_lost().now_or_never().is_none(), "there was room");
    }
}
