use std::sync::Arc;

use super::*;

const ALL: [Algorithm; 4] = [Algorithm::RoundRobin, Algorithm::TwoChoices, Algorithm::Hash, Algorithm::Random];

/// What a balance is asked with, over and over.
struct Bench {
    balance: Arc<Balance>,
    turn: Arc<AtomicUsize>,
    rng: Rng,
    hash: u64,
}

fn bench(algorithm: Algorithm, weights: &[u32]) -> Bench {
    let known = |target: usize| u128::from(target as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let targets: Vec<(u128, u32)> = weights.iter().enumerate().map(|(at, weight)| (known(at), *weight)).collect();
    Bench { balance: Arc::new(Balance::new(algorithm, &targets)), turn: Arc::default(), rng: Rng::seeded(5), hash: 0 }
}

impl Bench {
    fn pick<T>(
        &mut self,
        load: impl Fn(usize) -> f64,
        ask: impl FnMut(usize, bool) -> Answer<T>,
    ) -> Option<(usize, T)> {
        self.hash = self.hash.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let hash = self.hash >> 32;
        self.balance.pick(Circumstances { turn: &self.turn, rng: &mut self.rng, hash, load }, ask)
    }

    /// How often each is picked in so many rounds, if those that are `closed` say no.
    fn shares<const N: usize>(&mut self, rounds: usize, closed: [bool; N]) -> [usize; N] {
        let mut shares = [0; N];
        for _ in 0..rounds {
            let ask = |target: usize, _| if closed[target] { Answer::No } else { Answer::Yes(()) };
            if let Some((target, ())) = self.pick(|_| 0.0, ask) {
                shares[target] += 1;
            }
        }
        shares
    }
}

#[test]
fn every_target_gets_its_turn() {
    let mut three = bench(Algorithm::RoundRobin, &[1; 3]);
    let picked: Vec<usize> =
        (0..7).filter_map(|_| three.pick(|_| 0.0, |_, _| Answer::Yes(()))).map(|(target, ())| target).collect();
    assert_eq!(picked, [0, 1, 2, 0, 1, 2, 0]);
    for algorithm in ALL {
        assert_eq!(bench(algorithm, &[]).pick(|_| 0.0, |_, _| Answer::Yes(())), None);
        assert_eq!(bench(algorithm, &[1]).pick(|_| 0.0, |_, _| Answer::Yes(())), Some((0, ())));
        assert_eq!(bench(algorithm, &[1]).shares(3, [true]), [0]);
    }
}

#[test]
fn the_share_of_an_open_target_falls_to_all_others_alike() {
    let mut three = bench(Algorithm::RoundRobin, &[1; 3]);
    assert_eq!(three.shares(300, [false, true, false]), [150, 0, 150]);
    assert_eq!(three.shares(10, [true, true, false]), [0, 0, 10]);
    assert_eq!(three.shares(10, [true, true, true]), [0, 0, 0]);
    for algorithm in [Algorithm::TwoChoices, Algorithm::Hash, Algorithm::Random] {
        let shares = bench(algorithm, &[1; 5]).shares(20_000, [false, true, false, false, false]);
        assert!(
            shares[1] == 0 && shares.iter().filter(|share| (3_500..6_700).contains(*share)).count() == 4,
            "{algorithm:?}: {shares:?}"
        );
    }
}

#[test]
fn targets_are_picked_by_weight() {
    for algorithm in ALL {
        let shares = bench(algorithm, &[6, 3, 1]).shares(20_000, [false; 3]);
        let near = |share: usize, part: f64| (0.8..1.25).contains(&(share as f64 / (part * 20_000.0)));
        assert!(near(shares[0], 0.6) && near(shares[1], 0.3), "{algorithm:?}: {shares:?}");
    }
    assert_eq!(bench(Algorithm::RoundRobin, &[6, 3, 1]).shares(1_000, [false; 3]), [600, 300, 100]);
}

#[test]
fn eight_threads_share_to_within_one_request() {
    let bench = bench(Algorithm::RoundRobin, &[1; 3]);
    let threads: Vec<_> = (0..8)
        .map(|seed| {
            let (balance, turn) = (bench.balance.clone(), bench.turn.clone());
            let mut own = Bench { balance, turn, rng: Rng::seeded(seed), hash: 0 };
            std::thread::spawn(move || own.shares(3_000, [false; 3]))
        })
        .collect();
    let mut total = [0; 3];
    for thread in threads {
        let shares = thread.join().expect("no panic");
        (0..3).for_each(|i| total[i] += shares[i]);
    }
    assert_eq!(total, [8_000; 3]);
}

/// A known gateway answers 503 here: eight threads move the turn while one looks for the only target up.
#[test]
fn the_only_target_that_admits_is_never_missed() {
    for algorithm in ALL {
        let bench = bench(algorithm, &[1, 90, 1, 1, 1, 1, 5]);
        let threads: Vec<_> = (0..8)
            .map(|seed| {
                let (balance, turn) = (bench.balance.clone(), bench.turn.clone());
                let mut own = Bench { balance, turn, rng: Rng::seeded(seed), hash: seed };
                let ask = |target, _| if target == 5 { Answer::Yes(()) } else { Answer::No };
                std::thread::spawn(move || (0..3_000).all(|_| own.pick(|_| 0.0, ask) == Some((5, ()))))
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().expect("no panic")), "{algorithm:?}");
    }
}

#[test]
fn none_is_asked_twice_or_after_a_yes_and_the_reluctant_are_asked_last() {
    for algorithm in ALL {
        for count in [1_usize, 2, 5, 70, 300] {
            let mut bench = bench(algorithm, &vec![1; count]);
            let mut rng = Rng::seeded(count as u64);
            for _ in 0..50 {
                let answers: Vec<u64> = (0..count).map(|_| rng.below(3)).collect();
                let (mut asked, mut forced) = (Vec::new(), Vec::new());
                let picked = bench.pick(
                    |target| target as f64,
                    |target, forces| {
                        if forces { &mut forced } else { &mut asked }.push(target);
                        match answers[target] {
                            0 => Answer::Yes(()),
                            1 if forces => Answer::Yes(()),
                            1 => Answer::RatherNot,
                            _ => Answer::No,
                        }
                    },
                );
                let mut unique = asked.clone();
                unique.sort_unstable();
                unique.dedup();
                assert_eq!(unique.len(), asked.len(), "{algorithm:?}: {asked:?}");
                let best = answers.iter().min().expect("one");
                assert_eq!(picked.map(|(target, ())| answers[target]), (*best < 2).then_some(*best), "{algorithm:?}");
                assert_eq!(forced.len(), usize::from(*best == 1), "the first of them has to");
            }
        }
    }
}

#[test]
fn the_first_is_found_at_once_however_many_there_are() {
    for algorithm in ALL {
        for count in [3, 1_000] {
            let mut bench = bench(algorithm, &vec![1; count]);
            for _ in 0..1_000 {
                let (loads, asked) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
                let load = |_| f64::from(loads.replace(loads.get() + 1));
                let picked = bench.pick(load, |_, _| {
                    asked.set(asked.get() + 1);
                    Answer::Yes(())
                });
                assert!(picked.is_some() && asked.get() == 1 && loads.get() <= 2, "{algorithm:?} of {count}");
            }
        }
    }
}

#[test]
fn of_two_the_one_with_less_to_do_is_picked() {
    let mut ten = bench(Algorithm::TwoChoices, &[1; 10]);
    let mut load = [0_u32; 10];
    for _ in 0..10_000 {
        let (target, ()) = ten.pick(|target| f64::from(load[target]), |_, _| Answer::Yes(())).expect("one");
        load[target] += 1;
    }
    let (least, most) = (load.iter().min().expect("ten"), load.iter().max().expect("ten"));
    assert!(most - least <= 6, "{load:?}");
    let mut stuck = [0_u32; 3];
    let mut three = bench(Algorithm::TwoChoices, &[1; 3]);
    for _ in 0..1_000 {
        // Only the first keeps what it gets.
        let (target, ()) = three.pick(|target| f64::from(stuck[target]), |_, _| Answer::Yes(())).expect("one");
        stuck[0] += u32::from(target == 0);
    }
    assert_eq!(stuck[0], 1, "who does not answer is not asked again");
}

#[test]
fn a_key_goes_to_the_same_target_and_to_the_same_stand_in() {
    let bench = bench(Algorithm::Hash, &[1; 7]);
    let pick = |hash: u64, closed: Option<usize>| {
        let circumstances = Circumstances { turn: &bench.turn, rng: &mut Rng::seeded(hash), hash, load: |_| 0.0 };
        let ask = |target, _| if Some(target) == closed { Answer::No } else { Answer::Yes(()) };
        bench.balance.pick(circumstances, ask).expect("six are left").0
    };
    for hash in 0..500 {
        let own = pick(hash, None);
        assert_eq!(pick(hash, None), own);
        let stand_in = pick(hash, Some(own));
        assert!(stand_in != own && pick(hash, Some(own)) == stand_in);
    }
}
