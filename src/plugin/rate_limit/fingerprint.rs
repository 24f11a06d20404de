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

    /// Another one, for the same counters in another matter.
    pub fn aside(self) -> Self {
        Fingerprint([!self.0[0], self.0[1]])
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

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }
}

/// A map by fingerprint.
pub type Map<V> = std::collections::HashMap<Fingerprint, V, std::hash::BuildHasherDefault<Hashed>>;
