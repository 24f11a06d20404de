//! What becomes of a target's answer on its way to the client.

use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::{By, decorate};
use crate::context::RequestCtx;
use crate::drain::Drain;

/// While the process drains, clients connect anew for their next request, to whoever is there then.
pub fn send_away_if_draining(session: &mut Session, drain: &Drain) {
    if drain.is_begun() {
        session.set_keepalive(None);
    }
}

/// The head of a target's answer is going to be written.
///
/// # Errors
/// Should the header map refuse a field, which it does at tens of thousands.
pub fn pass_on(session: &mut Session, response: &mut ResponseHeader, ctx: &RequestCtx, drain: &Drain) -> Result<()> {
    send_away_if_draining(session, drain);
    decorate(session, response, By::Upstream, ctx)
}
