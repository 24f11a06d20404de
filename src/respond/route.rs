//! What a route answers by itself.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::{By, decorate, hear_out, keep_connection_if_cheap};
use crate::context::RequestCtx;
use crate::routing::answer::Answer;

/// Answers a request that is admitted, if its route does so itself; whether that is so.
///
/// # Errors
/// The client cannot be written to.
pub async fn in_place_of_target(session: &mut Session, ctx: &RequestCtx) -> Result<bool> {
    let Some(route) = ctx.route.as_ref().filter(|route| route.answer.is_some()) else { return Ok(false) };
    match &route.answer {
        Some(Answer::Redirect(redirect)) => {
            let uri = &session.req_header().uri;
            let query = uri.query().and_then(|query| ctx.notes.visible_query(query));
            let location = redirect.location(uri.path(), &route.path, query.as_deref());
            send(session, ctx, redirect.status.0, Some((header::LOCATION, location)), Bytes::new()).await?;
        }
        Some(Answer::Fixed { status, content_type, body }) => {
            let content_type = content_type.clone().map(|content_type| (header::CONTENT_TYPE, content_type));
            send(session, ctx, *status, content_type, body.clone()).await?;
        }
        None => {}
    }
    Ok(true)
}

/// How long it is good for is for the route to say: nothing is said here.
async fn send(
    session: &mut Session,
    ctx: &RequestCtx,
    status: StatusCode,
    field: Option<(HeaderName, HeaderValue)>,
    body: Bytes,
) -> Result<()> {
    let mut response = ResponseHeader::build(status, Some(6))?;
    // RFC 9110, section 8.6: not with 204, and with 304 it would be that of another answer.
    let has_length = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let bodiless = !has_length || session.req_header().method == Method::HEAD;
    if has_length {
        response.insert_header(header::CONTENT_LENGTH, body.len())?;
    }
    if let Some((name, value)) = field {
        response.insert_header(name, value)?;
    }
    decorate(session, &mut response, By::Route, ctx)?;
    keep_connection_if_cheap(session);
    session.write_response_header(Box::new(response), bodiless).await?;
    if !bodiless {
        session.write_response_body(Some(body), true).await?;
    }
    hear_out(session).await;
    Ok(())
}
