//! When a request is sent again, as it runs.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use super::breaker::period_shown;
use crate::config::file::BudgetBlock;
use crate::config::units::{Repeatable, RetryOn};

/// When a request is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How often a request may be sent in all.
    pub attempts: NonZeroU32,
    /// After what it is sent again.
    pub on: Vec<RetryOn>,
    /// The methods that may be sent twice.
    pub methods: Vec<Repeatable>,
    /// Whether a request with an `Idempotency-Key` may be, whatever its method.
    pub idempotency_key: bool,
    /// How long an attempt may take to begin to answer while there is another target.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "period_shown")]
    pub per_try_timeout: Option<Duration>,
    /// How many retries there may be.
    pub budget: BudgetBlock,
}
