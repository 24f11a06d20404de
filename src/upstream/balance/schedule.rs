//! Weights as a sequence of turns, in which each target comes as often as its weight says and never in lumps.

/// A sequence that is longer than this is made shorter, at the price of exactness.
const LONGEST: u64 = 65_536;

/// Whose turn it is, turn by turn, over and over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// After so many it begins again.
    count: usize,
    /// Nothing where targets take turns in their order.
    turns: Box<[u32]>,
}

impl Schedule {
    /// The turns of targets with these weights, none of which is 0.
    ///
    /// Equal weights take turns in their order. Others are spread: the turns of a target are as far apart as
    /// its weight says, and begin at a part of that distance that is another one for each target (multiples of
    /// the golden ratio, which never crowd), so that the light ones do not come all together.
    pub fn new(weights: &[u32]) -> Self {
        let weights = reduced(weights, LONGEST);
        if weights.iter().all(|weight| *weight == 1) {
            return Schedule { count: weights.len(), turns: Box::default() };
        }
        const GOLDEN: f64 = 0.618_033_988_749_894_9;
        let turns = weights.iter().enumerate().flat_map(|(target, weight)| {
            let (phase, weight) = ((target as f64 * GOLDEN).fract(), *weight);
            (0..weight).map(move |turn| ((f64::from(turn) + phase) / f64::from(weight), target as u32))
        });
        let mut turns: Vec<(f64, u32)> = turns.collect();
        turns.sort_by(|(a, first), (b, second)| a.total_cmp(b).then(first.cmp(second)));
        Schedule { count: turns.len(), turns: turns.into_iter().map(|(_, target)| target).collect() }
    }

    /// The target of a turn. Turns are counted on and on.
    pub fn target(&self, turn: usize) -> usize {
        let at = turn % self.count;
        self.turns.get(at).map_or(at, |target| *target as usize)
    }

    /// After how many turns it begins again.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no target.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The smallest whole numbers that stand to each other as `weights` do, or nearly so if their sum would be more
/// than `most`. None becomes 0.
pub fn reduced(weights: &[u32], most: u64) -> Vec<u32> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let sum: u64 = weights.iter().map(|weight| u64::from(weight / divisor)).sum();
    let scaled = |weight: u32| match sum {
        sum if sum <= most => weight,
        sum => u32::try_from((u64::from(weight) * most + sum / 2) / sum).unwrap_or(u32::MAX).max(1),
    };
    weights.iter().map(|weight| scaled(weight / divisor)).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(weights: &[u32]) -> Vec<usize> {
        let schedule = Schedule::new(weights);
        (0..schedule.len()).map(|turn| schedule.target(turn)).collect()
    }

    #[test]
    fn equal_weights_take_turns_in_their_order() {
        assert_eq!(turns(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(turns(&[70, 70]), [0, 1]);
        assert!(Schedule::new(&[]).is_empty());
        assert_eq!(Schedule::new(&[1, 1]).target(usize::MAX), 1);
    }

    #[test]
    fn each_comes_as_often_as_its_weight_and_is_spread() {
        for weights in [&[5, 1, 1][..], &[1, 2], &[95, 5], &[3, 3, 2, 1], &[10, 20, 30], &[1, 99, 1, 99]] {
            let turns = turns(weights);
            let least = reduced(weights, u64::MAX);
            for (target, weight) in least.iter().enumerate() {
                let at: Vec<usize> = (0..turns.len()).filter(|turn| turns[*turn] == target).collect();
                assert_eq!(at.len(), *weight as usize, "{weights:?}");
                let around = at.iter().zip(at.iter().cycle().skip(1));
                let gaps = around.map(|(a, b)| if b > a { b - a } else { b + turns.len() - a });
                let even = turns.len() as f64 / f64::from(*weight);
                // A turn may have to make room for one of each other target.
                let most = even.ceil() as usize + weights.len() - 1;
                assert!(gaps.into_iter().all(|gap| gap <= most), "{weights:?}: {target} at {at:?}");
            }
        }
        assert_eq!(turns(&[5, 1, 1]), [0, 0, 2, 0, 0, 1, 0]);
    }

    #[test]
    fn what_would_be_too_long_is_nearly_right() {
        let schedule = Schedule::new(&[999_983, 499_979, 1]);
        assert!(schedule.len() as u64 <= LONGEST + 3, "{}", schedule.len());
        let count = |target| (0..schedule.len()).filter(|turn| schedule.target(*turn) == target).count() as f64;
        assert!((count(0) / count(1) - 2.0).abs() < 0.01 && count(2) == 1.0);
        assert_eq!(reduced(&[u32::MAX, 1], 10), [10, 1]);
    }
}
