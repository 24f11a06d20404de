//! What a request is sent again after, and which may be.

use std::fmt;
use std::str::FromStr;

use http::Method;

use super::StatusRange;

/// What a request may be sent again after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection came about.
    Connect,
    /// The connection broke before there was an answer.
    Reset,
    /// There was no answer in time.
    Timeout,
    /// The answer has such a status.
    Status(StatusRange),
}

/// A method that may be sent twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeatable(pub Method);

impl FromStr for RetryOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "connect" => Ok(RetryOn::Connect),
            "reset" => Ok(RetryOn::Reset),
            "timeout" => Ok(RetryOn::Timeout),
            status => match status.parse::<StatusRange>() {
                Ok(range) if range.first >= 400 => Ok(RetryOn::Status(range)),
                _ => Err(format!(
                    "\"{text}\" is nothing to retry on; write connect, reset, timeout, or a status such as 503 or 502-504"
                )),
            },
        }
    }
}

impl fmt::Display for RetryOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetryOn::Connect => f.write_str("connect"),
            RetryOn::Reset => f.write_str("reset"),
            RetryOn::Timeout => f.write_str("timeout"),
            RetryOn::Status(range) => range.fmt(f),
        }
    }
}

impl FromStr for Repeatable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // RFC 9110, section 9.2.2, and of the IANA registry those that only read.
        const READING: [&str; 4] = ["PROPFIND", "QUERY", "REPORT", "SEARCH"];
        match Method::from_bytes(text.as_bytes()) {
            Ok(Method::TRACE) => Err("TRACE is not forwarded; remove it".to_owned()),
            Ok(method) if method.is_idempotent() || READING.contains(&method.as_str()) => Ok(Repeatable(method)),
            Ok(Method::POST | Method::PATCH) => Err(format!(
                "{text} is never sent twice by its method alone; write idempotencyKey: true for requests that have an Idempotency-Key"
            )),
            _ => {
                Err(format!("\"{text}\" is no method that may be sent twice; write GET, HEAD, OPTIONS, PUT or DELETE"))
            }
        }
    }
}

impl fmt::Display for Repeatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_read_and_print() {
        for text in ["connect", "reset", "timeout", "503", "502-504", "429"] {
            assert_eq!(text.parse::<RetryOn>().map(|on| on.to_string()), Ok(text.into()));
        }
        assert!(["", "200", "300-599", "refused", "5xx"].iter().all(|text| text.parse::<RetryOn>().is_err()));
    }

    #[test]
    fn only_what_may_be_sent_twice_by_its_nature_is_taken() {
        for text in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PROPFIND", "QUERY"] {
            assert_eq!(text.parse::<Repeatable>().map(|method| method.to_string()), Ok(text.into()));
        }
        assert!(
            ["POST", "PATCH", "TRACE", "get", "LOCK", "", "A B"].iter().all(|text| text.parse::<Repeatable>().is_err())
        );
        assert!("POST".parse::<Repeatable>().is_err_and(|wrong| wrong.contains("idempotencyKey")));
    }
}
