//! Hashes that are the same in every process and version, so that replicas agree on who gets what.
//!
//! FNV-1a (Fowler, Noll, Vo), stirred at the end as MurmurHash3 does it, since FNV leaves its upper bits nearly as they were
//! for short keys. Who chooses keys can choose where they go; what that is worth is bounded by the load that a
//! target may carry.

const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01B3;

/// 64 bits of `bytes`.
pub fn of(bytes: &[u8]) -> u64 {
    stir(fnv(OFFSET, bytes))
}

/// 128 bits of `text`.
pub fn wide(text: &str) -> u128 {
    let (high, low) = (stir(fnv(OFFSET, text.as_bytes())), stir(fnv(!OFFSET, text.as_bytes())));
    u128::from(high) << 64 | u128::from(low)
}

fn fnv(offset: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(offset, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

fn stir(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ hash >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_for_good() {
        assert_eq!(
            (of(b""), of(b"a"), of(b"user-1")),
            (17_280_346_270_528_514_342, 9_413_272_369_427_828_315, of(b"user-1"))
        );
        assert_ne!(wide("http://a:1"), wide("http://a:2"));
    }

    #[test]
    fn neighbours_go_everywhere() {
        let mut slots = [0_u32; 16];
        (0..16_000_u32).for_each(|key| slots[(of(&key.to_be_bytes()) & 15) as usize] += 1);
        assert!(slots.iter().all(|count| (850..1_150).contains(count)), "{slots:?}");
    }
}
