//! Statuses of gRPC.

use std::fmt;
use std::str::FromStr;

/// Their names, by number (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A status of gRPC that is not `OK`: `UNAVAILABLE`, or its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrpcStatus(pub u8);

impl GrpcStatus {
    /// The server threw what nobody caught.
    pub const UNKNOWN: Self = GrpcStatus(2);
    /// The server is broken.
    pub const INTERNAL: Self = GrpcStatus(13);
    /// The server cannot serve now.
    pub const UNAVAILABLE: Self = GrpcStatus(14);
    /// The server has lost data.
    pub const DATA_LOSS: Self = GrpcStatus(15);
}

impl FromStr for GrpcStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let by_name = NAMES.iter().position(|name| name.eq_ignore_ascii_case(text));
        match by_name.or_else(|| text.parse().ok()).map(u8::try_from) {
            Some(Ok(number @ 1..=16)) => Ok(GrpcStatus(number)),
            _ => Err(format!("\"{text}\" is no failing status of gRPC; write one such as UNAVAILABLE, or 1 to 16")),
        }
    }
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.get(usize::from(self.0)).unwrap_or(&"?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_grpc_go_by_name_or_number() {
        for (text, printed) in [("UNAVAILABLE", "UNAVAILABLE"), ("internal", "INTERNAL"), ("16", "UNAUTHENTICATED")] {
            assert_eq!(text.parse::<GrpcStatus>().map(|status| status.to_string()), Ok(printed.into()));
        }
        for text in ["OK", "0", "17", "-1", "300", "DOWN", ""] {
            assert!(text.parse::<GrpcStatus>().is_err(), "{text}");
        }
    }
}
