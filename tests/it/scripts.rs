//! The scripts that run in Redis, against the cores that they mirror.

use std::num::NonZeroU32;
use std::time::Duration;

use aegis::config::LimitAlgorithm;
use aegis::plugin::rate_limit::algorithm::{Answer, Charge, Counter, Quota, decide, script};

use crate::support::Redis;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn count(&mut self, most: u64) -> NonZeroU32 {
        NonZeroU32::new(1 + self.below(most) as u32).unwrap()
    }

    /// Windows are long, so that no key dies by the clock of Redis, which is not the one here.
    fn charge(&mut self) -> Charge {
        let algorithm = LimitAlgorithm::ALL[self.below(3) as usize];
        let max = self.count(20);
        let burst = if algorithm == LimitAlgorithm::TokenBucket { self.count(20) } else { max };
        let quota = Quota {
            algorithm,
            max,
            window: Duration::from_millis(3_600_000 + self.below(1_000_000)),
            burst,
            reserve: 0,
        };
        Charge { quota, cost: self.count(quota.limit().min(3).into()), dry_run: self.below(4) == 0 }
    }
}

/// Asks Redis: how many are granted, and the four figures of each counter.
fn ask(redis: &Redis, keys: &[String], charges: &[Charge], at: u64, wanted: u32, spare: i64) -> Vec<u64> {
    let script = script(charges.iter().map(|charge| charge.quota.algorithm).collect());
    let mut words = vec!["EVAL".to_owned(), script, keys.len().to_string()];
    words.extend(keys.iter().cloned());
    words.extend([wanted.to_string(), spare.to_string(), at.to_string()]);
    for Charge { quota, cost, dry_run } in charges {
        words.push(quota.algorithm.name().to_owned());
        let [max, window, burst] = [quota.max.get().into(), quota.window_millis(), quota.burst.get().into()];
        words.extend([max, window, burst, cost.get().into(), u64::from(*dry_run)].map(|number| number.to_string()));
    }
    let said = redis.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    said.lines().map(|number| number.parse().unwrap_or_else(|_| panic!("{said}"))).collect()
}

/// Some time later, or a little earlier: clocks step back, too.
fn step(now: u64, random: &mut Random) -> u64 {
    if random.below(3) == 0 { now - random.below(1_500) } else { now + random.below(900_000) }
}

fn figures(answer: &Answer) -> Vec<u64> {
    let four = answer.standings.iter().flat_map(|s| [s.fits.into(), s.remaining.into(), s.retry_after, s.reset]);
    std::iter::once(answer.granted.into()).chain(four).collect()
}

/// Asked the same at the same moments, they give the same answers, to the letter: one counter or several, of
/// one algorithm or of all, whatever requests cost, with leases and with dry runs.
#[test]
fn redis_decides_as_the_cores_do() {
    let redis = Redis::start();
    let mut random = Random(42);
    for run in 0..100 {
        let charges: Vec<Charge> = (0..1 + random.below(3)).map(|_| random.charge()).collect();
        let keys: Vec<String> = (0..charges.len()).map(|place| format!("{{{run}}}:{place}")).collect();
        let mut counters: Vec<Counter> = charges.iter().map(|charge| Counter::new(charge.quota.algorithm)).collect();
        let mut now = 1_795_000_000_000 + random.below(10_000_000);
        for _ in 0..60 {
            now = step(now, &mut random);
            let (wanted, spare) = (1 + random.below(4) as u32, random.below(3) as u32 * 2);
            let said = ask(&redis, &keys, &charges, now, wanted, spare.into());
            let before = counters.clone();
            let answer = decide(&mut counters, &charges, now, wanted, spare);
            assert_eq!(said, figures(&answer), "{charges:?}, {wanted} and {spare} at {now}: {counters:?}");
            // What is not charged is not written.
            for (place, counter) in before.into_iter().enumerate() {
                if answer.granted == 0 || answer.standings[place].fits == 0 {
                    counters[place] = counter;
                }
            }
        }
    }
}

#[test]
fn what_was_used_is_charged_in_redis_as_in_the_cores() {
    let redis = Redis::start();
    let mut random = Random(7);
    for run in 0..60 {
        let charge = Charge { dry_run: false, ..random.charge() };
        let (key, mut counter) = ([format!("{run}")], Counter::new(charge.quota.algorithm));
        let mut now = 1_795_000_000_000 + random.below(10_000_000);
        for _ in 0..40 {
            now = step(now, &mut random);
            let used = Charge { cost: random.count(30), ..charge };
            let said = ask(&redis, &key, &[used], now, 1, -1);
            let reset = counter.charge_anyway(&charge.quota, now, used.cost.get());
            assert_eq!((said[0], said[4]), (1, reset), "{used:?} at {now}: {counter:?}");
            let said = ask(&redis, &key, &[charge], now, 1, 0);
            let before = counter;
            let answer = decide(std::slice::from_mut(&mut counter), &[charge], now, 1, 0);
            assert_eq!(said, figures(&answer), "{charge:?} at {now}: {counter:?}");
            counter = if answer.granted == 0 { before } else { counter };
        }
    }
}
