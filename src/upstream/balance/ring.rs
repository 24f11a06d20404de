//! Consistent hashing: the same key goes to the same target, and when targets come or go, only the keys of those
//! that came or went go elsewhere.
//!
//! The ring is Pingora's ketama. Looking a key up in it takes longer the more targets there are, so it is
//! looked up beforehand for 65,536 slots; a key's slot is known at once, and so is its place in the ring.
//!
//! A popular key would drown its target. So a target that has more under way than a fair share and a
//! little is passed over for the next in the ring (Mirrokni, Thorup, Zadimoghaddam: "Consistent hashing with
//! bounded loads", 2016).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use pingora_ketama::{Bucket, Continuum};

use super::schedule::reduced;

/// Targets have 160 places in the ring for each unit of their weight; here are so many units a target at most.
const UNITS: u64 = 8;

/// Which target a key goes to, and which next.
pub struct Ring {
    /// The place in the ring of each slot.
    slots: Box<[u32]>,
    /// The target at each place.
    places: Box<[u32]>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

impl Ring {
    /// A ring of targets, each with what it is known by and its weight. There is at least one.
    pub fn new(targets: &[(u128, u32)]) -> Self {
        let weights: Vec<u32> = targets.iter().map(|(_, weight)| *weight).collect();
        let weights = reduced(&weights, targets.len() as u64 * UNITS);
        // Ketama knows nodes by address. What a target is known by makes one up, so that the place of a target
        // does not depend on where it is right now.
        let address = |id: u128| SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(id)), 1);
        let buckets: Vec<Bucket> =
            targets.iter().zip(weights).map(|((id, _), weight)| Bucket::new(address(*id), weight)).collect();
        let ring = Continuum::new(&buckets);
        let by_address: HashMap<SocketAddr, u32> =
            targets.iter().enumerate().map(|(target, (id, _))| (address(*id), target as u32)).collect();
        let slots = (0..=u16::MAX).map(|slot| ring.node_idx(&u32::from(slot).to_be_bytes()) as u32).collect();
        let mut places = Vec::new();
        let mut at = 0;
        while let Some(target) = ring.get_addr(&mut at).and_then(|address| by_address.get(address)) {
            places.push(*target);
            if at == 0 {
                break;
            }
        }
        Ring { slots, places: places.into() }
    }

    /// The targets of a key by its hash, nearest first, over and over.
    pub fn walk(&self, hash: u64) -> impl Iterator<Item = usize> + use<'_> {
        let first = self.slots[usize::from(hash as u16)] as usize;
        (first..).map(|place| self.places[place % self.places.len()] as usize)
    }
}

/// Whether a target with so many requests under way, `mine` of `all`, has more than `factor` (in hundredths) times
/// its fair share, `weight` of `weights`, would one be added.
pub fn is_over(mine: u32, all: u32, weight: u32, weights: u64, factor: u32) -> bool {
    let share = u128::from(factor) * (u128::from(all) + 1) * u128::from(weight);
    let bound = share.div_ceil(100 * u128::from(weights.max(1)));
    u128::from(mine) + 1 > bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn ring(ids: impl IntoIterator<Item = u64>) -> Ring {
        // Any ids will do, as long as they are no neighbours.
        let spread = |id: u64| u128::from(id + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        Ring::new(&ids.into_iter().map(|id| (spread(id), 1)).collect::<Vec<_>>())
    }

    fn owners(ring: &Ring) -> Vec<usize> {
        (0..=u64::from(u16::MAX)).map(|hash| ring.walk(hash).next().expect("a target")).collect()
    }

    #[test]
    fn keys_are_spread_by_weight() {
        for count in [1, 3, 10, 100] {
            let owners = owners(&ring(0..count));
            let share = 65_536.0 / count as f64;
            for target in 0..count as usize {
                let owned = owners.iter().filter(|owner| **owner == target).count() as f64;
                assert!((0.6..1.5).contains(&(owned / share)), "{target} of {count} owns {owned}");
            }
        }
        let weighted = Ring::new(&[(7 << 100, 300), (5 << 90, 100)]);
        let heavy = owners(&weighted).iter().filter(|owner| **owner == 0).count();
        assert!((44_000..54_000).contains(&heavy), "{heavy}");
    }

    #[test]
    fn a_target_that_goes_takes_only_its_own_keys_along() {
        let (before, after) = (owners(&ring(0..10)), owners(&ring((0..10).filter(|id| *id != 4))));
        for (old, new) in before.iter().zip(&after) {
            // Behind the one that is gone, numbers move up.
            let new = if *new >= 4 { new + 1 } else { *new };
            assert!(*old == new || *old == 4, "{old} became {new}");
        }
    }

    #[test]
    fn a_walk_meets_every_target() {
        let ring = ring(0..50);
        for hash in [0, 7, 65_535, u64::MAX] {
            let met: std::collections::HashSet<usize> = ring.walk(hash).take(ring.places.len()).collect();
            assert_eq!(met.len(), 50);
        }
    }

    /// Keys as the internet has them: a few are asked for all the time.
    #[test]
    fn no_target_carries_more_than_its_bound() {
        let (ring, mut rng) = (ring(0..10), Rng::seeded(3));
        let mut under_way = [0_u32; 10];
        for all in 0..5_000 {
            let hash = rng.below(4) * 7_919;
            let is_over = |target: &usize| is_over(under_way[*target], all, 1, 10, 125);
            let target = ring.walk(hash).find(|target| !is_over(target)).expect("not all are over the mean");
            under_way[target] += 1;
            let most = *under_way.iter().max().expect("ten");
            assert!(f64::from(most) <= (f64::from(all + 1) * 0.125).ceil(), "{under_way:?}");
        }
        assert!(!is_over(0, 0, 1, 1_000, 125), "the first request goes where its key says");
        assert!(is_over(u32::MAX, u32::MAX, 1, 2, 100));
    }
}
