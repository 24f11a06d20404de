//! `balance:`, `concurrency:`

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Compiler, at_route};
use crate::config::file::{self, HashKey, Policies, PositiveOrOff, Switch};
use crate::config::located::Located;
use crate::config::model::{Balance, BalanceAlgorithm, Concurrency};
use crate::config::units::Factor;

impl Compiler<'_> {
    /// How a block at `path` says that targets are chosen. With `auth`, requests have a user.
    pub(super) fn balance(&mut self, written: Option<&file::Balance>, path: &str, auth: bool) -> Balance {
        let Some(file::Balance(written)) = written else {
            return Balance { algorithm: BalanceAlgorithm::RoundRobin, key: HashKey::Ip, load_factor: Factor(125) };
        };
        if written.algorithm != BalanceAlgorithm::ConsistentHash {
            let message = "only consistentHash goes by that; remove it, or set algorithm: consistentHash";
            if let Some(key) = &written.key {
                self.error(key.at, format!("{path}.key"), message);
            }
            if let Some(factor) = &written.load_factor {
                self.error(factor.at, format!("{path}.loadFactor"), message);
            }
        }
        if let Some(key) = written.key.as_ref().filter(|key| matches!(key.value, HashKey::User | HashKey::Claim(_)))
            && !auth
        {
            let message = "requests of this route have no user, since it asks for no token; write auth: true under plugins, or another key";
            self.error(key.at, format!("{path}.key"), message);
        }
        if let Some(factor) = written.load_factor.as_ref().filter(|factor| factor.value.0 <= 100) {
            let message = "nobody could have more than anybody else; write 1.1 or more";
            self.error(factor.at, format!("{path}.loadFactor"), message);
        }
        Balance {
            algorithm: written.algorithm,
            key: written.key.as_ref().map_or(HashKey::Ip, |key| key.value.clone()),
            load_factor: written.load_factor.as_ref().map_or(Factor(125), |factor| factor.value),
        }
    }

    /// How long a target that has come back is spared. By a hash it cannot be: what is inherited has no meaning then.
    pub(super) fn slow_start(
        &mut self,
        written: &Located<file::Route>,
        defaults: &Policies,
        balance: &Balance,
    ) -> Option<Duration> {
        let period = |written: Option<Located<PositiveOrOff>>| Some(written?.value.0?.0);
        if balance.algorithm != BalanceAlgorithm::ConsistentHash {
            return period(written.slow_start.or(defaults.slow_start));
        }
        if let Some(own) = written.slow_start.filter(|own| own.value.0.is_some()) {
            let message = "consistentHash goes by the request alone; remove it, or write another balance";
            self.error(own.at, format!("{}.slowStart", at_route(written)), message);
        }
        None
    }

    pub(super) fn concurrency(
        &mut self,
        written: Option<&Located<Switch<file::Concurrency>>>,
        path: &str,
    ) -> Option<Concurrency> {
        let bounds = match &written?.value {
            Switch::Off => return None,
            Switch::On(file::Concurrency::Fixed(count)) => return Some(Concurrency::Fixed(count.0)),
            Switch::On(file::Concurrency::Adaptive(bounds)) => bounds,
        };
        let or = |count: Option<Located<crate::config::units::Count>>, default: NonZeroU32| {
            count.map_or(default, |count| count.value.0)
        };
        let (min, max) = (or(bounds.min, MIN), or(bounds.max, MAX));
        let initial = or(bounds.initial, INITIAL.clamp(min, max.max(min)));
        if let Some(max) = bounds.max.filter(|max| max.value.0 < min) {
            self.error(max.at, format!("{path}.max"), format!("{} is less than min, {min}; write more", max.value));
        }
        if let Some(written) = bounds.initial.filter(|initial| initial.value.0 < min || initial.value.0 > max) {
            let message = format!("{} is not between min and max, {min} and {max}", written.value);
            self.error(written.at, format!("{path}.initial"), message);
        }
        Some(Concurrency::Adaptive { min, initial, max })
    }
}

const MIN: NonZeroU32 = NonZeroU32::new(4).expect("4 is not 0");
const INITIAL: NonZeroU32 = NonZeroU32::new(20).expect("20 is not 0");
const MAX: NonZeroU32 = NonZeroU32::new(1_000).expect("1000 is not 0");
