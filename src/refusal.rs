//! Everything the gateway says no to, and with which words.
//!
//! A refusal is no error: nothing broke. What broke while a request was forwarded is a
//! [`crate::failure::Failure`].

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::failure::Failure;
use crate::routing::methods::Methods;
use crate::routing::path;

/// Why a request is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// An HTTP/1.1 request without a usable `Host`.
    HostInvalid(&'static str),
    /// A header that would mean something else to the next server.
    HeaderInvalid(&'static str),
    /// A request whose end could be found in two places, or whose target is none.
    Malformed(&'static str),
    /// More header than there may be.
    HeadersTooLarge,
    /// A longer target than it may be.
    UriTooLong,
    /// A body that is said to be larger than it may be.
    BodyTooLarge {
        /// Bytes that it may have.
        most: u64,
    },
    /// What the client expects nobody can fulfil.
    ExpectationFailed,
    /// A body in a transfer coding that would be lost on the way.
    TransferCodingUnsupported,
    /// A path that servers would disagree about.
    PathInvalid(path::Reject),
    /// A path that the route rewrites to one that could not be asked for.
    RewriteInvalid(path::Reject),
    /// A request that has to come by https.
    UseHttps {
        /// Where to.
        location: HeaderValue,
    },
    /// A method that is none, or that no proxy should forward.
    MethodNotAllowed {
        /// Those that are.
        allow: Methods,
    },
    /// No route takes the request.
    NoRoute,
    /// A browser asks whether it may send a request, and is told so.
    Preflight,
    /// The client's address is one of those that the route does not serve.
    IpDenied,
    /// The route needs a token and the request has none.
    TokenMissing,
    /// The token is no good; why not.
    TokenInvalid(&'static str),
    /// The token was good once.
    TokenExpired,
    /// The route needs credentials that may be of several kinds, and the request has none.
    CredentialsMissing {
        /// What `WWW-Authenticate` says.
        challenge: HeaderValue,
    },
    /// Credentials that are no token are no good.
    CredentialsInvalid {
        /// Why not.
        why: &'static str,
        /// What `WWW-Authenticate` says.
        challenge: &'static str,
    },
    /// The token is good and allows something else.
    InsufficientScope {
        /// What `WWW-Authenticate` says.
        challenge: HeaderValue,
    },
    /// The keys that tokens are checked with are not known yet.
    KeysUnavailable,
    /// The client has used up its quota.
    RateLimited {
        /// Until a request can pass again.
        retry_after: Duration,
    },
    /// Redis is away, and the route's limit lets nothing through uncounted.
    LimiterUnavailable,
    /// No target of the route is known: what should know them has not said so yet.
    NoTargetKnown,
    /// No target of the route may be sent anything.
    NoTargetAvailable {
        /// Why that is so.
        why: Away,
        /// Until one may be tried again.
        retry_after: Duration,
    },
    /// Every target that might take it has as many requests under way as it may.
    Overloaded,
    /// The service that decides on requests cannot be asked.
    AuthUnavailable,
    /// It has decided, and this is what it says.
    Denied(Box<Verdict>),
    /// A plugin's own refusal.
    Custom {
        /// The status of the answer, 400 to 599.
        status: StatusCode,
        /// A stable word for programs: `lower_snake_case`.
        code: &'static str,
        /// A sentence for people.
        detail: Cow<'static, str>,
    },
}

/// An answer that comes from a service in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The status.
    pub status: StatusCode,
    /// What the body is.
    pub content_type: HeaderValue,
    /// Further fields.
    pub fields: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// Why no target may be sent anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// The circuits of all are open, or of all those whose checks are good.
    Failing,
    /// The checks of all are bad, but for those that are held open by hand.
    Ill,
    /// All are held open by hand.
    Held,
}

impl Refusal {
    /// A plugin's own, with a status of 400 to 599 (any other is 500), a stable word for programs in `lower_snake_case`, and a sentence for people.
    pub fn custom(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::from_u16(status).ok().filter(|status| status.as_u16() >= 400 && status.as_u16() < 600);
        Refusal::Custom { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code, detail: detail.into() }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::HostInvalid(_) | Refusal::HeaderInvalid(_) | Refusal::PathInvalid(_) => StatusCode::BAD_REQUEST,
            Refusal::Malformed(_) | Refusal::RewriteInvalid(_) => StatusCode::BAD_REQUEST,
            Refusal::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::UriTooLong => StatusCode::URI_TOO_LONG,
            Refusal::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
            Refusal::TransferCodingUnsupported => StatusCode::NOT_IMPLEMENTED,
            Refusal::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::UseHttps { .. } => StatusCode::PERMANENT_REDIRECT,
            Refusal::NoRoute => StatusCode::NOT_FOUND,
            Refusal::TokenMissing
            | Refusal::TokenInvalid(_)
            | Refusal::TokenExpired
            | Refusal::CredentialsMissing { .. }
            | Refusal::CredentialsInvalid { .. } => StatusCode::UNAUTHORIZED,
            Refusal::IpDenied | Refusal::InsufficientScope { .. } => StatusCode::FORBIDDEN,
            Refusal::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Denied(verdict) => verdict.status,
            Refusal::Preflight => StatusCode::NO_CONTENT,
            Refusal::KeysUnavailable
            | Refusal::AuthUnavailable
            | Refusal::LimiterUnavailable
            | Refusal::NoTargetKnown
            | Refusal::NoTargetAvailable { .. }
            | Refusal::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Custom { status, .. } => *status,
        }
    }

    /// The stable word for programs, in `x-gateway-error` and `code`.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::HostInvalid(_) => "host_invalid",
            Refusal::HeaderInvalid(_) => "header_invalid",
            Refusal::Malformed(_) => "bad_request",
            Refusal::HeadersTooLarge => "headers_too_large",
            Refusal::UriTooLong => "uri_too_long",
            Refusal::BodyTooLarge { .. } => "body_too_large",
            Refusal::ExpectationFailed => "expectation_failed",
            Refusal::TransferCodingUnsupported => "transfer_coding_unsupported",
            Refusal::PathInvalid(_) | Refusal::RewriteInvalid(_) => "path_invalid",
            Refusal::MethodNotAllowed { .. } => "method_not_allowed",
            Refusal::UseHttps { .. } => "use_https",
            Refusal::NoRoute => "no_route",
            Refusal::Preflight => "preflight",
            Refusal::IpDenied => "ip_denied",
            Refusal::TokenMissing => "token_missing",
            Refusal::TokenInvalid(_) => "token_invalid",
            Refusal::TokenExpired => "token_expired",
            Refusal::CredentialsMissing { .. } => "credentials_missing",
            Refusal::CredentialsInvalid { .. } => "credentials_invalid",
            Refusal::InsufficientScope { .. } => "insufficient_scope",
            Refusal::AuthUnavailable => "auth_unavailable",
            Refusal::Denied(_) => "auth_denied",
            Refusal::KeysUnavailable => "keys_unavailable",
            Refusal::RateLimited { .. } => "rate_limited",
            Refusal::LimiterUnavailable => "limiter_unavailable",
            Refusal::NoTargetKnown | Refusal::NoTargetAvailable { .. } => "no_target_available",
            Refusal::Overloaded => "overloaded",
            Refusal::Custom { code, .. } => code,
        }
    }

    /// The sentence for people.
    pub fn detail(&self) -> Cow<'static, str> {
        match self {
            Refusal::HostInvalid(why) | Refusal::HeaderInvalid(why) | Refusal::Malformed(why) => (*why).into(),
            Refusal::HeadersTooLarge => Failure::HeadTooLarge.detail().into(),
            Refusal::UriTooLong => Failure::UriTooLong.detail().into(),
            Refusal::BodyTooLarge { most } => format!("The body of the request may have {} bytes.", most).into(),
            Refusal::ExpectationFailed => "The only expectation that is met is 100-continue.".into(),
            Refusal::TransferCodingUnsupported => "The only transfer coding that is taken is chunked.".into(),
            Refusal::PathInvalid(why) => why.to_string().into(),
            Refusal::RewriteInvalid(why) => {
                format!("The path cannot be sent on as this route rewrites it: {why}.").into()
            }
            Refusal::MethodNotAllowed { .. } => "This method is not allowed here.".into(),
            Refusal::UseHttps { .. } => "Requests are served by https only.".into(),
            Refusal::NoRoute => "No route takes this request.".into(),
            Refusal::Preflight => "".into(),
            Refusal::IpDenied => "Requests from this address are not served on this path.".into(),
            Refusal::TokenMissing => "This path needs a token: send Authorization: Bearer <JWT>.".into(),
            Refusal::TokenInvalid(why) => (*why).into(),
            Refusal::TokenExpired => "The token has expired.".into(),
            Refusal::CredentialsMissing { .. } => "This path needs credentials, and the request has none.".into(),
            Refusal::CredentialsInvalid { why, .. } => (*why).into(),
            Refusal::InsufficientScope { .. } => "The token lacks a scope or a role that this path needs.".into(),
            Refusal::AuthUnavailable => "Whoever decides on requests of this path cannot be asked right now.".into(),
            Refusal::Denied(_) => "Whoever decides on requests of this path has said no.".into(),
            Refusal::KeysUnavailable => "Tokens cannot be checked yet: their issuer has not given its keys.".into(),
            Refusal::RateLimited { retry_after } => {
                format!("Too many requests; try again in {} s.", whole_seconds(*retry_after)).into()
            }
            Refusal::LimiterUnavailable => "Requests cannot be counted right now, and this path needs it.".into(),
            Refusal::NoTargetAvailable { why, retry_after } => {
                let seconds = whole_seconds(*retry_after);
                match why {
                    Away::Failing => {
                        format!("Every target of this route is failing; one is tried again in {seconds} s.")
                    }
                    Away::Ill => {
                        format!("Every target of this route fails its checks; they are asked again in {seconds} s.")
                    }
                    Away::Held => "Every target of this route has been taken out of service.".into(),
                }
                .into()
            }
            Refusal::NoTargetKnown => "No target of this route is known at the moment.".into(),
            Refusal::Overloaded => "Every target of this route that works is as busy as it may be.".into(),
            Refusal::Custom { detail, .. } => detail.clone(),
        }
    }

    /// Header fields that belong to the answer.
    pub fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Refusal::UseHttps { location } => Some((header::LOCATION, location.clone())),
            Refusal::MethodNotAllowed { allow } => {
                HeaderValue::try_from(allow.to_string()).ok().map(|allow| (header::ALLOW, allow))
            }
            // RFC 6750, section 3: no error code where no token was sent.
            Refusal::TokenMissing => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"aegis\"")))
            }
            Refusal::TokenInvalid(why) => challenge(why),
            Refusal::TokenExpired => challenge("The token has expired"),
            Refusal::CredentialsInvalid { challenge, .. } => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
            }
            Refusal::CredentialsMissing { challenge } | Refusal::InsufficientScope { challenge } => {
                Some((header::WWW_AUTHENTICATE, challenge.clone()))
            }
            Refusal::RateLimited { retry_after } | Refusal::NoTargetAvailable { retry_after, .. } => {
                Some((header::RETRY_AFTER, HeaderValue::from(whole_seconds(*retry_after))))
            }
            Refusal::KeysUnavailable
            | Refusal::AuthUnavailable
            | Refusal::LimiterUnavailable
            | Refusal::NoTargetKnown
            | Refusal::Overloaded => Some((header::RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => None,
        }
    }
}

fn challenge(why: &str) -> Option<(HeaderName, HeaderValue)> {
    let why = why.trim_end_matches('.');
    let value = format!("Bearer realm=\"aegis\", error=\"invalid_token\", error_description=\"{why}\"");
    // Every reason is a text of ours, in the characters that RFC 6750 allows.
    HeaderValue::try_from(value).ok().map(|value| (header::WWW_AUTHENTICATE, value))
}

/// Whole seconds for `Retry-After`, rounded up and at least 1: never a moment too early.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_never_a_moment_too_early() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds);
        }
    }

    #[test]
    fn a_plugins_own_refusal_is_answered_in_its_words() {
        let status = StatusCode::FORBIDDEN;
        let refusal = Refusal::Custom { status, code: "wrong_plan", detail: "Not in your plan.".into() };
        assert_eq!((refusal.status(), refusal.code(), refusal.header()), (status, "wrong_plan", None));
        assert_eq!(refusal.detail(), "Not in your plan.");
    }

    #[test]
    fn challenges_follow_rfc_6750() {
        let value = |refusal: Refusal| refusal.header().map(|(_, value)| value);
        assert_eq!(value(Refusal::TokenMissing), Some(HeaderValue::from_static("Bearer realm=\"aegis\"")));
        let expired = "Bearer realm=\"aegis\", error=\"invalid_token\", error_description=\"The token has expired\"";
        assert_eq!(value(Refusal::TokenExpired), Some(HeaderValue::from_static(expired)));
        let invalid = value(Refusal::TokenInvalid("The signature does not match.")).expect("a challenge");
        assert!(invalid.to_str().is_ok_and(|v| v.ends_with("error_description=\"The signature does not match\"")));
    }
}
