//! Which clients a limit has most to do with, of any number of them, in little memory. Pure, but for the lock around it.
//!
//! The Space-Saving algorithm (Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in data
//! streams", 2005): whoever has more than one part in 32 of all requests is among them for sure. Counts are halved as time
//! goes by, so that they tell of the last half minute or so.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::key::Client;

/// So many clients are known at a time.
const PLACES: usize = 32;
/// How often counts are halved.
const HALVED: Duration = Duration::from_secs(10);

/// Of one limit.
#[derive(Debug, Default)]
pub struct Busiest(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    places: Vec<Busy>,
    halved: Option<Instant>,
}

/// A client and how many of its requests went which way, lately. A few may have been somebody else's before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Who.
    pub client: Client,
    /// Let through.
    pub allowed: u32,
    /// Refused.
    pub refused: u32,
}

impl Busy {
    fn all(&self) -> u32 {
        self.allowed.saturating_add(self.refused)
    }
}

impl Busiest {
    /// A request of `client` was decided. While somebody else is at it, it is left out: this is for people to look at.
    pub fn note(&self, client: &Client, allowed: bool, now: Instant) {
        if let Some(mut counts) = self.0.try_lock() {
            counts.note(client, allowed, now);
        }
    }

    /// The first `most` of them, the busiest first.
    pub fn first(&self, most: usize, now: Instant) -> Vec<Busy> {
        let mut counts = self.0.lock();
        counts.halve(now);
        let mut places = counts.places.clone();
        drop(counts);
        places.sort_by_key(|busy| std::cmp::Reverse(busy.all()));
        places.truncate(most);
        places
    }
}

impl Counts {
    fn note(&mut self, client: &Client, allowed: bool, now: Instant) {
        self.halve(now);
        let at = self.places.iter().position(|busy| busy.client == *client).unwrap_or_else(|| self.place(client));
        let Some(busy) = self.places.get_mut(at) else { return };
        let count = if allowed { &mut busy.allowed } else { &mut busy.refused };
        *count = count.saturating_add(1);
    }

    /// A place for somebody new: that of the least busy, whose counts go on.
    fn place(&mut self, client: &Client) -> usize {
        if self.places.len() < PLACES {
            self.places.push(Busy { client: client.clone(), allowed: 0, refused: 0 });
            return self.places.len() - 1;
        }
        let least = self.places.iter().enumerate().min_by_key(|(_, busy)| busy.all()).map_or(0, |(at, _)| at);
        if let Some(busy) = self.places.get_mut(least) {
            busy.client = client.clone();
        }
        least
    }

    fn halve(&mut self, now: Instant) {
        let since = *self.halved.get_or_insert(now);
        let times = (now.saturating_duration_since(since).as_nanos() / HALVED.as_nanos()).min(32) as u32;
        if times > 0 {
            self.halved = Some(since + HALVED * times);
            let halve = |count: u32| count.checked_shr(times).unwrap_or(0);
            for busy in &mut self.places {
                (busy.allowed, busy.refused) = (halve(busy.allowed), halve(busy.refused));
            }
            self.places.retain(|busy| busy.all() > 0);
            if times >= 32 {
                self.halved = Some(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn client(number: u64) -> Client {
        Client::Named(number.to_string().into())
    }

    #[test]
    fn who_is_busier_than_one_part_is_found_among_any_number() {
        let (busiest, now, mut rng) = (Busiest::default(), Instant::now(), Rng::seeded(7));
        for number in 0..200_000_u64 {
            // Two of them have a tenth and a twentieth of all.
            let who = match rng.below(20) {
                0 | 1 => 1,
                2 => 2,
                _ => 1_000 + number,
            };
            busiest.note(&client(who), who != 2, now);
        }
        let first = busiest.first(2, now);
        assert_eq!([&first[0].client, &first[1].client], [&client(1), &client(2)], "{first:?}");
        assert!(first[0].allowed > 20_000 && first[1].refused > 9_000, "{first:?}");
        assert_eq!(busiest.first(usize::MAX, now).len(), PLACES);
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let (busiest, now) = (Busiest::default(), Instant::now());
        (0..8).for_each(|_| busiest.note(&client(1), true, now));
        assert_eq!(busiest.first(9, now + HALVED)[0].allowed, 4);
        busiest.note(&client(2), false, now + 2 * HALVED);
        let first = busiest.first(9, now + 2 * HALVED);
        assert_eq!(first.iter().map(|busy| (busy.allowed, busy.refused)).collect::<Vec<_>>(), [(2, 0), (0, 1)]);
        assert_eq!(busiest.first(9, now + 1_000 * HALVED), []);
        busiest.note(&client(3), true, now + 1_001 * HALVED);
        assert_eq!(busiest.first(9, now + 1_001 * HALVED).len(), 1);
    }
}
