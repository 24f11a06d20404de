//! `retry:`

use std::num::NonZeroU32;

use http::Method;

use super::Compiler;
use crate::config::file::{self, BudgetBlock, Switch};
use crate::config::located::Located;
use crate::config::model::{Retry, Timeouts};
use crate::config::units::{Period, Repeatable, RetryOn};
use crate::ratio::Ratio;

impl Compiler<'_> {
    /// What a block at `path` says of a route with so many `targets`, if that is known. `own`: it is the route's.
    pub(super) fn retry(
        &mut self,
        written: Option<&Located<Switch<file::Retry>>>,
        (path, own): (&str, bool),
        targets: Option<usize>,
        timeouts: &Timeouts,
    ) -> Option<Retry> {
        let written = match written.map(|block| &block.value) {
            Some(Switch::Off) => return None,
            Some(Switch::On(written)) => written.clone(),
            None => file::Retry::default(),
        };
        if let (Some(attempts), Some(targets), true) = (&written.attempts, targets, own)
            && attempts.value.0.get() as usize > targets.max(1)
        {
            let there = if targets == 1 { "is" } else { "are" };
            let message = format!(
                "a retry goes to a target that was not tried yet, and there {there} only {targets}; write that, or fewer"
            );
            self.error(attempts.at, format!("{path}.attempts"), message);
        }
        if let Some(per_try) = &written.per_try_timeout {
            let path = format!("{path}.perTryTimeout");
            let outer = match timeouts.total {
                Some(total) if total <= timeouts.first_byte => ("total", Period(total)),
                _ => ("firstByte", Period(timeouts.first_byte)),
            };
            self.nests(per_try.at, (&path, per_try.value.0), outer);
        }
        let attempts = written.attempts.map_or(TWO, |attempts| attempts.value.0);
        let most = targets.and_then(|targets| NonZeroU32::new(targets.try_into().unwrap_or(u32::MAX)));
        let methods = written.methods.map(|methods| methods.0.into_iter().map(|method| method.value).collect());
        Some(Retry {
            attempts: most.map_or(attempts, |most| attempts.min(most)),
            on: written.on.map_or_else(|| vec![RetryOn::Connect, RetryOn::Reset], |on| on.0),
            methods: methods.unwrap_or_else(|| [Method::GET, Method::HEAD, Method::OPTIONS].map(Repeatable).into()),
            idempotency_key: written.idempotency_key,
            per_try_timeout: written.per_try_timeout.map(|period| period.value.0.0),
            budget: written
                .budget
                .map_or(BudgetBlock { share: Ratio::percent(20), min: file::floor() }, |budget| budget.0),
        })
    }
}

const TWO: NonZeroU32 = NonZeroU32::new(2).expect("2 is not 0");
