//! What can break while a request is forwarded, and what the client is told of it.

use pingora::{Error, ErrorSource, ErrorType};

/// By which a body is known that is too large.
pub const BODY_TOO_LARGE: &str = "body too large";

/// What broke while a request was forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection to any target came about.
    Connect,
    /// A target took too long.
    Timeout,
    /// The connection to a target broke before it had answered.
    Reset,
    /// What a target answered is no HTTP.
    BadAnswer,
    /// The client's request turned out to be broken.
    BadRequest,
    /// The client took too long to send its request.
    SlowRequest,
    /// The body of the client's request is larger than it may be.
    BodyTooLarge,
    /// The head of it is.
    HeadTooLarge,
    /// Its target is longer than it may be.
    UriTooLong,
    /// The client is gone; nobody is there to be answered.
    ClientGone,
    /// Our own fault.
    Internal,
}

impl Failure {
    /// What `error` means to the client.
    pub fn of(error: &Error) -> Self {
        use ErrorType as T;
        if *error.esource() == ErrorSource::Upstream && is_timeout(error) {
            return Failure::Timeout;
        }
        match (error.esource(), error.etype()) {
            (
                ErrorSource::Upstream,
                T::ConnectTimedout | T::TLSHandshakeTimedout | T::ReadTimedout | T::WriteTimedout,
            ) => Failure::Timeout,
            (ErrorSource::Upstream, T::ReadError | T::WriteError | T::ConnectionClosed) => Failure::Reset,
            (ErrorSource::Upstream, T::InvalidHTTPHeader | T::H1Error | T::H2Error | T::InvalidH2) => {
                Failure::BadAnswer
            }
            (ErrorSource::Upstream, T::InternalError) => Failure::Internal,
            (ErrorSource::Upstream, _) => Failure::Connect,
            // Of HTTP/2: the client has reset the stream, or closed the connection.
            (
                ErrorSource::Downstream,
                T::ReadError | T::WriteError | T::WriteTimedout | T::ConnectionClosed | T::H2Error,
            ) => Failure::ClientGone,
            (ErrorSource::Downstream, T::ReadTimedout) => Failure::SlowRequest,
            (ErrorSource::Downstream, T::Custom(BODY_TOO_LARGE)) => Failure::BodyTooLarge,
            (ErrorSource::Downstream, _) => Failure::BadRequest,
            (ErrorSource::Internal | ErrorSource::Unset, T::WriteError | T::WriteTimedout) => Failure::ClientGone,
            (ErrorSource::Internal | ErrorSource::Unset, _) => Failure::Internal,
        }
    }

    /// The status of the answer; for [`Failure::ClientGone`], which has none, what the log says (as nginx does).
    pub fn status(self) -> u16 {
        match self {
            Failure::Connect | Failure::Reset | Failure::BadAnswer => 502,
            Failure::Timeout => 504,
            Failure::BadRequest => 400,
            Failure::SlowRequest => 408,
            Failure::BodyTooLarge => 413,
            Failure::UriTooLong => 414,
            Failure::HeadTooLarge => 431,
            Failure::ClientGone => 499,
            Failure::Internal => 500,
        }
    }

    /// The stable word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Failure::Connect => "upstream_connect_failed",
            Failure::Timeout => "upstream_timeout",
            Failure::Reset => "upstream_reset",
            Failure::BadAnswer => "upstream_bad_answer",
            Failure::BadRequest => "bad_request",
            Failure::SlowRequest => "request_timeout",
            Failure::BodyTooLarge => "body_too_large",
            Failure::UriTooLong => "uri_too_long",
            Failure::HeadTooLarge => "headers_too_large",
            Failure::ClientGone => "client_gone",
            Failure::Internal => "internal_error",
        }
    }

    /// The sentence for people.
    pub fn detail(self) -> &'static str {
        match self {
            Failure::Connect => "No connection to a target of this route could be made.",
            Failure::Timeout => "The target took too long to answer.",
            Failure::Reset => "The target closed the connection before it had answered.",
            Failure::BadAnswer => "The target's answer is not valid HTTP.",
            Failure::BadRequest => "The request is not valid HTTP.",
            Failure::BodyTooLarge => "The body of the request is larger than it may be.",
            Failure::UriTooLong => "The target of the request is longer than it may be.",
            Failure::HeadTooLarge => "The header of the request is larger than it may be, or has too many fields.",
            Failure::SlowRequest => "The request took too long to arrive.",
            Failure::ClientGone => "The client has closed the connection.",
            Failure::Internal => "Something went wrong in the gateway.",
        }
    }
}

/// Whether the kernel gave a connection up for being silent.
fn is_timeout(error: &Error) -> bool {
    let cause = error.root_cause().downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_the_failure_that_the_client_should_hear_of() {
        use ErrorSource::{Downstream, Internal, Unset, Upstream};
        for (source, etype, failure) in [
            (Upstream, ErrorType::ConnectRefused, Failure::Connect),
            (Upstream, ErrorType::ConnectTimedout, Failure::Timeout),
            (Upstream, ErrorType::ReadTimedout, Failure::Timeout),
            (Upstream, ErrorType::ConnectionClosed, Failure::Reset),
            (Upstream, ErrorType::ReadError, Failure::Reset),
            (Upstream, ErrorType::InvalidHTTPHeader, Failure::BadAnswer),
            (Upstream, ErrorType::InternalError, Failure::Internal),
            (Downstream, ErrorType::ConnectionClosed, Failure::ClientGone),
            (Downstream, ErrorType::H2Error, Failure::ClientGone),
            (Downstream, ErrorType::ReadTimedout, Failure::SlowRequest),
            (Downstream, ErrorType::InvalidHTTPHeader, Failure::BadRequest),
            (Unset, ErrorType::WriteError, Failure::ClientGone),
            (Internal, ErrorType::InternalError, Failure::Internal),
        ] {
            let mut error = Error::new(etype);
            error.esource = source;
            assert_eq!(Failure::of(&error), failure, "{error}");
        }
    }

    #[test]
    fn every_failure_has_its_own_code_and_says_something() {
        use Failure as F;
        let all = [
            F::Connect,
            F::Timeout,
            F::Reset,
            F::BadAnswer,
            F::BadRequest,
            F::SlowRequest,
            F::ClientGone,
            F::Internal,
            F::BodyTooLarge,
            F::UriTooLong,
            F::HeadTooLarge,
        ];
        let statuses = all.map(F::status);
        assert_eq!(statuses, [502, 504, 502, 502, 400, 408, 499, 500, 413, 414, 431]);
        let codes: std::collections::HashSet<&str> = all.iter().map(|failure| failure.code()).collect();
        assert_eq!(codes.len(), all.len());
        assert!(all.iter().all(|failure| failure.detail().ends_with('.')));
    }
}
