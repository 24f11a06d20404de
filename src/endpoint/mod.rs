//! `/gateway/*`: what the gateway tells about itself on its main port.

pub mod stats;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use pingora::Result;
use pingora_proxy::Session;

use crate::context::RequestCtx;
use crate::refusal::Refusal;
use crate::respond;
use crate::routing::methods::Methods;
use crate::shared::Shared;

/// Whether `path`, in normal form, belongs to the gateway itself.
pub fn is_ours(path: &str) -> bool {
    path.strip_prefix("/gateway").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request for one of our own paths.
///
/// # Errors
/// The client cannot be written to.
pub async fn answer(session: &mut Session, ctx: &mut RequestCtx, shared: &Shared) -> Result<()> {
    let (status, content_type, body) = match session.req_header().uri.path() {
        _ if !matches!(session.req_header().method, Method::GET | Method::HEAD) => {
            let allow = Methods::GET.or(Methods::HEAD);
            return respond::refuse(session, ctx, &Refusal::MethodNotAllowed { allow }).await;
        }
        "/gateway/stats" => (StatusCode::OK, "application/json", stats::json(&ctx.snapshot, shared.reloads.rejected())),
        "/gateway/livez" => (StatusCode::OK, "text/plain", Bytes::from_static(b"ok\n")),
        "/gateway/readyz" if !shared.drain.is_ready() => {
            (StatusCode::SERVICE_UNAVAILABLE, "text/plain", Bytes::from_static(b"draining\n"))
        }
        "/gateway/readyz" => (StatusCode::OK, "text/plain", Bytes::from_static(b"ok\n")),
        _ => return respond::refuse(session, ctx, &Refusal::NoRoute).await,
    };
    respond::send(session, ctx, status, Some(HeaderValue::from_static(content_type)), None, body).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_are_ours() {
        for (path, ours) in [
            ("/gateway", true),
            ("/gateway/", true),
            ("/gateway/stats", true),
            ("/gatewayx", false),
            ("/", false),
            ("/users", false),
        ] {
            assert_eq!(is_ours(path), ours, "{path}");
        }
    }
}
