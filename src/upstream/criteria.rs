//! What an answer has to be like, lest it counts as a failure of the target.

use std::time::Duration;

use super::record::Cause;
use crate::config::units::{GrpcStatus, StatusRange};

/// What counts as a failure of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Criteria {
    /// Statuses.
    pub statuses: Vec<StatusRange>,
    /// And those of gRPC.
    pub grpc_statuses: Vec<GrpcStatus>,
    /// An answer is slow that takes longer to begin.
    pub slower_than: Option<Duration>,
    /// Whether that is a failure, and not only counted.
    pub slow_fails: bool,
}

/// What an answer is worth, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// As it should be, but late.
    Slow,
    /// A failure.
    Failed(Cause),
}

impl Criteria {
    /// What an answer is worth whose head took so long to come. `grpc` is the status of gRPC where the head
    /// has one already.
    pub fn head(&self, status: u16, grpc: Option<u8>, took: Duration) -> Mark {
        if self.statuses.iter().any(|range| range.contains(status)) {
            return Mark::Failed(Cause::Status(status));
        }
        if let Some(failed) = grpc.and_then(|status| self.grpc(status)) {
            return Mark::Failed(failed);
        }
        match self.slower_than {
            Some(limit) if took > limit && self.slow_fails => Mark::Failed(Cause::Slow(took)),
            Some(limit) if took > limit => Mark::Slow,
            _ => Mark::Good,
        }
    }

    /// What is wrong with a status of gRPC, if anything is.
    pub fn grpc(&self, status: u8) -> Option<Cause> {
        let status = GrpcStatus(status);
        self.grpc_statuses.contains(&status).then_some(Cause::Grpc(status))
    }
}

#[cfg(test)]
impl Criteria {
    /// What is usual.
    pub fn none_but_5xx() -> Self {
        let statuses = vec![StatusRange { first: 500, last: 599 }];
        Criteria { statuses, grpc_statuses: Vec::new(), slower_than: None, slow_fails: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged_by_status_then_by_time() {
        let criteria = Criteria {
            statuses: vec![StatusRange { first: 500, last: 503 }],
            grpc_statuses: vec![GrpcStatus::UNAVAILABLE],
            slower_than: Some(Duration::from_secs(1)),
            slow_fails: true,
        };
        let (quick, slow) = (Duration::from_secs(1), Duration::from_millis(1_001));
        assert_eq!(criteria.head(200, None, quick), Mark::Good);
        assert_eq!(criteria.head(504, Some(5), quick), Mark::Good);
        assert_eq!(criteria.head(503, Some(14), slow), Mark::Failed(Cause::Status(503)));
        assert_eq!(criteria.head(200, Some(14), slow), Mark::Failed(Cause::Grpc(GrpcStatus::UNAVAILABLE)));
        assert_eq!(criteria.head(200, Some(0), slow), Mark::Failed(Cause::Slow(slow)));
        let counted = Criteria { slow_fails: false, ..criteria };
        assert_eq!(counted.head(200, None, slow), Mark::Slow);
        assert_eq!(Criteria { slower_than: None, ..counted }.head(200, None, slow), Mark::Good);
    }
}
