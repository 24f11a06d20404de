//! All targets of a process by their URLs, so that whoever names one means the same, with its circuit and its counts.
//!
//! The circuit of one that is gone is remembered for a while, and as long as somebody holds it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::criteria::Criteria;
use super::target::Target;
use crate::breaker::circuit::Circuit;
use crate::breaker::{Phase, Policy};
use crate::config::HealthCheck;
use crate::config::units::TargetUrl;

/// What a target is made by. The one that counts is that of the newest config, and of several in there the first.
#[derive(Clone, Debug)]
pub struct Blueprint {
    /// The config's.
    pub generation: u64,
    /// What counts as a failure.
    pub criteria: Criteria,
    /// What opens its breaker; without, nobody asks it.
    pub policy: Option<Policy>,
    /// How it is asked whether it is well, if it is.
    pub check: Option<HealthCheck>,
}

impl Blueprint {
    /// Whether a target that is made by this is also what `other` asks for. Who asks for no breaker or no check takes
    /// any, and how long a probe may take is no matter.
    fn suits(&self, other: &Blueprint) -> bool {
        let guards = |blueprint: &Blueprint| blueprint.policy.map(|policy| Policy { lease: Duration::ZERO, ..policy });
        let is_guarded = guards(other).is_none() || guards(self) == guards(other) && self.criteria == other.criteria;
        is_guarded && (other.check.is_none() || self.check == other.check)
    }
}

/// For so long the circuit of a target that is gone is remembered: answers of DNS that name a few at a time leave it out
/// and come back to it.
const REMEMBERED: Duration = Duration::from_secs(600);
/// And so many of them at most.
const MOST_GONE: usize = 1_000;

/// Targets that are in use, and circuits of those that were.
#[derive(Debug, Default)]
pub struct Registry {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    target: Weak<Target>,
    /// `None`: so far copies go there, and nothing else.
    blueprint: Option<Blueprint>,
    /// Whether it was told that somebody has another one.
    is_told: bool,
    /// All targets that there have been at the URL share it.
    circuit: Arc<Circuit>,
    /// When nobody was seen to use it any more.
    gone: Option<Instant>,
}

impl Known {
    /// A newer config says otherwise how the target is guarded. It stays the same in all else.
    fn redefine(&mut self, target: &Target, blueprint: &Blueprint, now: Instant) {
        let before = self.blueprint.replace(blueprint.clone()).and_then(|before| before.policy);
        if before != blueprint.policy {
            self.circuit.govern(blueprint.policy.unwrap_or_else(Policy::standard), now);
            if blueprint.policy.is_none() && !self.circuit.view(now).held {
                // Nobody would be told any more that it is well again.
                self.circuit.reset(now);
            }
        }
        target.check_by(blueprint.check.as_ref(), now);
        self.is_told = false;
    }

    /// Whether no request asks its circuit.
    fn is_unguarded(&self) -> bool {
        self.blueprint.as_ref().is_some_and(|made_by| made_by.policy.is_none())
    }

    fn of(target: &Arc<Target>, blueprint: Option<Blueprint>) -> Self {
        let (target, circuit) = (Arc::downgrade(target), target.circuit.clone());
        Known { target, blueprint, is_told: false, circuit, gone: None }
    }
}

impl Registry {
    /// The target at `url`, made by `blueprint` if it is new, and whether it is. One that is back has the circuit that
    /// it had.
    pub fn target(&self, url: &TargetUrl, blueprint: &Blueprint, now: Instant) -> (Arc<Target>, bool) {
        let mut known = self.known.lock();
        let before = known.get_mut(url.as_str());
        if let Some(before) = before
            && let Some(generation) = before.blueprint.as_ref().map(|made_by| made_by.generation)
            && let Some(target) = before.target.upgrade()
        {
            if generation < blueprint.generation {
                before.redefine(&target, blueprint, now);
            }
            return (target, false);
        }
        let before = known.get(url.as_str());
        let policy = blueprint.policy.unwrap_or_else(Policy::standard);
        let circuit = before.map(|known| known.circuit.clone());
        let circuit = circuit.inspect(|circuit| circuit.govern(policy, now));
        let circuit = circuit.unwrap_or_else(|| Arc::new(Circuit::new(policy, now)));
        let target = Arc::new(Target::around(circuit, url.clone(), blueprint.clone(), now));
        known.insert(url.as_str().to_owned(), Known::of(&target, Some(blueprint.clone())));
        (target, true)
    }

    /// The target at `url` for copies, which may be somebody's already. Copies go by neither breaker nor checks: should
    /// anybody name it otherwise later, it is made anew as he says, around the same circuit.
    pub fn shadow(&self, url: &TargetUrl, unguarded: &Blueprint, now: Instant) -> Arc<Target> {
        let mut known = self.known.lock();
        if let Some(target) = known.get(url.as_str()).and_then(|known| known.target.upgrade()) {
            return target;
        }
        let circuit = known.get(url.as_str()).map(|known| known.circuit.clone());
        let circuit = circuit.unwrap_or_else(|| Arc::new(Circuit::new(Policy::standard(), now)));
        let target = Arc::new(Target::around(circuit, url.clone(), unguarded.clone(), now));
        known.insert(url.as_str().to_owned(), Known::of(&target, None));
        target
    }

    /// Whether the target at `url` is another than `blueprint` asks for. Says so once.
    pub fn contradicts(&self, url: &TargetUrl, blueprint: &Blueprint) -> bool {
        let mut known = self.known.lock();
        let Some(known) = known.get_mut(url.as_str()) else { return false };
        let suits = known.blueprint.as_ref().is_none_or(|made_by| made_by.suits(blueprint));
        !suits && !std::mem::replace(&mut known.is_told, true)
    }

    /// All that are in use, by URL.
    pub fn all(&self) -> Vec<Arc<Target>> {
        let mut all: Vec<Arc<Target>> = self.known.lock().values().filter_map(|known| known.target.upgrade()).collect();
        all.sort_by(|a, b| a.url.as_str().cmp(b.url.as_str()));
        all
    }

    /// The circuit of a target that is in use or remembered.
    ///
    /// # Errors
    /// There is none; these are the URLs of those there are.
    pub fn circuit(&self, url: &str) -> Result<Arc<Circuit>, Vec<String>> {
        let known = self.known.lock();
        known.get(url).map(|known| known.circuit.clone()).ok_or_else(|| known.keys().cloned().collect())
    }

    /// Notes who is gone by `now`, and forgets who has been for long. What somebody holds is remembered until he lets
    /// go, unless there are too many. A circuit that nobody asks any more is closed, whoever opened it last.
    pub fn sweep(&self, now: Instant) {
        let mut known = self.known.lock();
        for circuit in known.values().filter(|known| known.is_unguarded()).map(|known| &known.circuit) {
            let view = circuit.view(now);
            if view.phase != Phase::Closed && !view.held {
                circuit.reset(now);
            }
        }
        known.retain(|_, known| {
            let is_used = Arc::strong_count(&known.circuit) > 1;
            known.gone = (!is_used).then(|| known.gone.unwrap_or(now));
            let long = known.gone.is_some_and(|gone| now.saturating_duration_since(gone) >= REMEMBERED);
            !long || known.circuit.view(now).held
        });
        let gone = known.iter().filter_map(|(url, known)| Some((known.gone?, known.circuit.view(now).held, url)));
        let mut gone: Vec<_> = gone.map(|(gone, held, url)| (held, gone, url.clone())).collect();
        gone.sort_unstable();
        let too_many = gone.len().saturating_sub(MOST_GONE);
        gone.iter().take(too_many).for_each(|(.., url)| drop(known.remove(url)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaker::{Hold, Outcome};

    const SECOND: Duration = Duration::from_secs(1);

    fn blueprint() -> Blueprint {
        Blueprint { generation: 1, criteria: Criteria::none_but_5xx(), policy: Some(Policy::standard()), check: None }
    }

    fn url(name: &str) -> TargetUrl {
        format!("http://{name}:1").parse().expect("a URL")
    }

    /// A target that comes and goes at once, with a circuit that is open since; how it is after so long a time.
    fn back_after(away: Duration, hold: Option<Hold>) -> Phase {
        let (registry, now) = (Registry::default(), Instant::now());
        let (target, _) = registry.target(&url("a"), &blueprint(), now);
        for _ in 0..3 {
            let permit = target.circuit.admit(now).expect("closed");
            target.circuit.settle(permit, Outcome::Failure, now);
        }
        if let Some(hold) = hold {
            target.circuit.hold(hold, now);
        }
        registry.sweep(now);
        drop(target);
        (1..=away.as_secs()).for_each(|second| registry.sweep(now + second as u32 * SECOND));
        let (back, is_new) = registry.target(&url("a"), &blueprint(), now + away);
        assert!(is_new, "but for its circuit");
        // Within its cooldown, as if it had just opened.
        back.view(now).phase
    }

    /// A pod that is restarted while somebody drains it; an answer of DNS that leaves it out once.
    #[test]
    fn who_comes_back_has_the_circuit_that_it_had_for_a_while_and_for_ever_if_it_is_held() {
        assert_eq!([1, 600].map(|away| back_after(away * SECOND, None)), [Phase::Open; 2]);
        assert_eq!(back_after(602 * SECOND, None), Phase::Closed);
        assert_eq!(back_after(86_400 * SECOND, Some(Hold::Open)), Phase::Open);
        assert_eq!(back_after(602 * SECOND, Some(Hold::Closed)), Phase::Closed);
    }

    /// A drained target of which copies were to go to was sent requests again.
    #[test]
    fn copies_to_who_is_gone_find_the_circuit_that_it_had() {
        let (registry, now) = (Registry::default(), Instant::now());
        let (target, _) = registry.target(&url("a"), &blueprint(), now);
        target.circuit.hold(Hold::Open, now);
        drop(target);
        drop(registry.shadow(&url("a"), &Blueprint { policy: None, ..blueprint() }, now));
        let (back, _) = registry.target(&url("a"), &blueprint(), now);
        assert!(back.view(now).held);
    }

    /// It was said to be half open for ever: nobody would send the probe.
    #[test]
    fn a_circuit_that_nobody_asks_any_more_closes() {
        let (registry, now) = (Registry::default(), Instant::now());
        let (target, _) = registry.target(&url("a"), &blueprint(), now);
        let fail = |target: &Target| {
            for _ in 0..3 {
                let permit = target.circuit.admit(now).expect("closed");
                target.circuit.settle(permit, Outcome::Failure, now);
            }
        };
        fail(&target);
        drop(target);
        let unguarded = Blueprint { generation: 2, policy: None, ..blueprint() };
        let (target, _) = registry.target(&url("a"), &unguarded, now);
        registry.sweep(now);
        assert_eq!(target.view(now).phase, Phase::Closed);
        // A request of the config before, which still asks.
        fail(&target);
        registry.sweep(now);
        assert_eq!(target.view(now).phase, Phase::Closed);
        target.circuit.hold(Hold::Open, now);
        registry.sweep(now);
        assert_eq!(target.view(now).phase, Phase::Open);
    }

    #[test]
    fn so_many_are_remembered_those_first_who_are_held_and_then_the_last_who_left() {
        let (registry, now) = (Registry::default(), Instant::now());
        let (held, _) = registry.target(&url("held"), &blueprint(), now);
        held.circuit.hold(Hold::Open, now);
        drop(held);
        let (used, _) = registry.target(&url("used"), &blueprint(), now);
        for number in 0..MOST_GONE + 10 {
            drop(registry.target(&url(&format!("t{number}")), &blueprint(), now));
            registry.sweep(now + number as u32 * SECOND / 100);
        }
        let knows = |name: &str| registry.circuit(url(name).as_str()).is_ok();
        assert_eq!(["held", "used", "t10", "t11", "t1009"].map(knows), [true, true, false, true, true]);
        assert_eq!(registry.all().len(), 1);
        assert_eq!(registry.known.lock().len(), MOST_GONE + 1);
        drop(used);
    }

    #[test]
    fn the_first_blueprint_counts_and_it_is_told_once_that_there_is_another() {
        let (registry, now) = (Registry::default(), Instant::now());
        let other = Policy { cooldown: SECOND, ..Policy::standard() };
        let patient = Policy { lease: 600 * SECOND, ..Policy::standard() };
        let with = |policy| Blueprint { policy, ..blueprint() };
        let (first, _) = registry.target(&url("a"), &blueprint(), now);
        for (policy, contradicts) in [(None, false), (Some(patient), false), (Some(other), true), (Some(other), false)]
        {
            let (target, _) = registry.target(&url("a"), &with(policy), now);
            assert!(Arc::ptr_eq(&first, &target));
            assert_eq!(registry.contradicts(&url("a"), &with(policy)), contradicts, "{policy:?}");
        }
    }

    /// A target of copies had no breaker and no checks, whoever found it later.
    #[test]
    fn copies_do_not_say_how_a_target_is_guarded_and_share_its_circuit() {
        let (registry, now) = (Registry::default(), Instant::now());
        let unguarded = Blueprint { policy: None, ..blueprint() };
        let shadow = registry.shadow(&url("a"), &unguarded, now);
        let (found, is_new) = registry.target(&url("a"), &blueprint(), now);
        assert!(is_new && !registry.contradicts(&url("a"), &blueprint()));
        found.circuit.hold(Hold::Open, now);
        assert!(shadow.circuit.is_held_open());
        assert!(Arc::ptr_eq(&registry.shadow(&url("a"), &unguarded, now), &found));
        drop(found);
        registry.sweep(now);
        registry.sweep(now + REMEMBERED);
        shadow.circuit.reset(now);
        registry.sweep(now + 2 * REMEMBERED);
        assert!(registry.circuit("http://a:1").is_ok(), "copies still go there");
    }

    #[test]
    fn whoever_names_a_target_means_the_same() {
        let (registry, now) = (Registry::default(), Instant::now());
        let (one, new) = registry.target(&url("a"), &blueprint(), now);
        let (other, again) = registry.target(&url("a"), &blueprint(), now);
        assert!(Arc::ptr_eq(&one, &other) && new && !again);
    }
}
