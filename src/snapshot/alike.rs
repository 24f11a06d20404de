//! What many routes have alike, kept once: what every request looks at stays in the processor's caches, however many
//! routes there are.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// One `V` for each `K` that was asked for.
pub struct Alike<K, V>(HashMap<K, Arc<V>>);

impl<K, V> Default for Alike<K, V> {
    fn default() -> Self {
        Alike(HashMap::new())
    }
}

impl<K: Eq + Hash, V> Alike<K, V> {
    /// That of `key`: what `make` gives, if nobody has asked before.
    pub fn of(&mut self, key: K, make: impl FnOnce(&K) -> V) -> Arc<V> {
        let known = self.0.get(&key).cloned();
        known.unwrap_or_else(|| {
            let new = Arc::new(make(&key));
            self.0.insert(key, new.clone());
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_made_once() {
        let mut alike = Alike::default();
        let (one, same) = (alike.of(1, |key| key + 10), alike.of(1, |_| unreachable!("it is known")));
        let other = alike.of(2, |key| key + 10);
        assert!(Arc::ptr_eq(&one, &same) && (*one, *other) == (11, 12));
    }
}
