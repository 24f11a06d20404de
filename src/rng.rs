//! Chance for tests: small, seeded, good enough to shuffle a schedule.

/// xorshift64* (Marsaglia 2003; Vigna 2016), of which the upper half is used. The seed is not 0.
pub struct Rng(pub u64);

impl Rng {
    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}
