//! What becomes of a target's answer on its way to the client.

use http::{Version, header};
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
    say_how_it_ends(session, response);
    decorate(session, response, By::Upstream, ctx)
}

/// What an answer travels by is the gateway's own, whatever the target speaks (RFC 9112, section 2.3). Clients of HTTP/1.0 know no chunks
/// (section 6.1): to them it ends with its connection.
fn say_how_it_ends(session: &mut Session, response: &mut ResponseHeader) {
    if response.version < Version::HTTP_11 {
        response.set_version(Version::HTTP_11);
    }
    if session.req_header().version == Version::HTTP_10 && response.headers.contains_key(header::TRANSFER_ENCODING) {
        response.remove_header(&header::TRANSFER_ENCODING);
        session.set_keepalive(None);
    }
}
