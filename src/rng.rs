//! Chance: small, seeded, good enough to spread load and to shuffle a schedule. Not for secrets.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

/// xorshift64* (Marsaglia 2003; Vigna 2016), of which the upper half is used.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same numbers for the same seed.
    pub fn seeded(seed: u64) -> Self {
        // 0 would stay 0 for ever.
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).max(1))
    }

    /// Other numbers each time.
    pub fn random() -> Self {
        Rng::seeded(RandomState::new().hash_one(0))
    }

    /// Another sequence, which this one decides.
    pub fn fork(&mut self) -> Self {
        Rng::seeded(self.next() << 31 | self.next())
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// 64 bits.
    pub fn word(&mut self) -> u64 {
        self.next() << 62 ^ self.next() << 31 ^ self.next()
    }

    /// A number from 0 up to 1.
    pub fn unit(&mut self) -> f64 {
        self.next() as f64 / (1_u64 << 31) as f64
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33
    }
}

thread_local!(static LOCAL: RefCell<Rng> = RefCell::new(Rng::random()));

/// Chance that belongs to the thread, so that nobody waits for it.
pub fn with_local<R>(use_it: impl FnOnce(&mut Rng) -> R) -> R {
    LOCAL.with_borrow_mut(use_it)
}

/// From now on the chance of this thread is that of `seed`.
#[cfg(test)]
pub fn seed_local(seed: u64) {
    LOCAL.set(Rng::seeded(seed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence_and_units_are_spread() {
        let draw = |seed| (0..8).map(|_| Rng::seeded(seed).below(1 << 30)).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert!(Rng::seeded(0).below(u64::MAX) > 0);
        let mut rng = Rng::random();
        let mean =
            (0..10_000).map(|_| rng.unit()).inspect(|unit| assert!((0.0..1.0).contains(unit))).sum::<f64>() / 1e4;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
