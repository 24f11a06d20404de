//! Counters by number: 128 bits that stand for a rule and a client.
//!
//! Keyed and secret to the process, so that nobody can choose two clients that look alike: of a million, some
//! two do with a probability of 10^-27.

use std::hash::{BuildHasher, Hash, RandomState};

use super::key::Client;

/// Stands for a counter, or for several that are asked together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u64; 2]);

impl Hash for Fingerprint {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

impl Fingerprint {
    /// One of `parts`, each as likely as the others.
    pub fn part(self, parts: usize) -> usize {
        // Maps go by the other half.
        (self.0[1] % parts as u64) as usize
    }

    /// Another one for each `matter` that the same counters are asked in; 0: itself.
    pub fn aside(self, matter: u32) -> Self {
        Fingerprint([self.0[0] ^ u64::from(matter) << 32, self.0[1]])
    }
}

/// Makes fingerprints.
#[derive(Debug, Default)]
pub struct Hasher([RandomState; 2]);

impl Hasher {
    /// That of the counter of `client` under the rule `id`.
    pub fn counter(&self, id: u32, client: &Client) -> Fingerprint {
        self.of((id, client))
    }

    /// That of some counters together: of one alone, its own. `None` without any.
    pub fn lane(&self, mut counters: impl Iterator<Item = Fingerprint>) -> Option<Fingerprint> {
        let first = counters.next()?;
        Some(counters.fold(first, |lane, next| self.of((lane.0, next.0))))
    }

    /// That of a counter that is used in another way.
    pub fn variant(&self, counter: Fingerprint, way: impl Hash) -> Fingerprint {
        self.of((counter.0, way))
    }

    fn of(&self, what: impl Hash) -> Fingerprint {
        Fingerprint([self.0[0].hash_one(&what), self.0[1].hash_one(&what)])
    }
}

/// The hasher of maps whose keys are fingerprints: they have been hashed already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashed(u64);

impl std::hash::Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// A map by fingerprint.
pub type Map<V> = std::collections::HashMap<Fingerprint, V, std::hash::BuildHasherDefault<Hashed>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_lanes_and_ways_of_use_are_told_apart() {
        let hasher = Hasher::default();
        let client = |name: &str| Client::Named(name.into());
        let (a, b) = (hasher.counter(1, &client("a")), hasher.counter(1, &client("b")));
        assert_eq!(a, hasher.counter(1, &client("a")));
        let all = [a, b, hasher.counter(2, &client("a")), hasher.variant(a, 2), a.aside(1), a.aside(2)];
        let lanes = [[a, b], [b, a]].map(|pair| hasher.lane(pair.into_iter()).expect("two"));
        let mut seen: Map<()> = Map::default();
        assert!(all.into_iter().chain(lanes).all(|one| seen.insert(one, ()).is_none()), "two look alike");
        assert_eq!(hasher.lane([a].into_iter()), Some(a));
        assert_eq!(hasher.lane(std::iter::empty()), None);
        assert_ne!(a, Hasher::default().counter(1, &client("a")), "another process makes others");
    }

    #[test]
    fn words_pass_the_hasher_as_they_are_and_bytes_are_mixed() {
        use std::hash::Hasher as _;
        let (mut word, mut bytes) = (Hashed::default(), Hashed::default());
        word.write_u64(7);
        bytes.write(&[1, 2]);
        assert_eq!((word.finish(), bytes.finish()), (7, 0x0102));
    }
}
