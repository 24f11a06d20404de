//! The head of an answer to what we ask on our own behalf: copies and checks.
//!
//! Pingora's client hands out each head that comes, those of informational answers (1xx) included, and panics when it
//! is asked for a body after one of those.

use pingora::{Error, ErrorType, Result};
use pingora_core::protocols::http::client::HttpSession;

/// So many informational answers may come before the one that counts.
const MOST_HINTS: usize = 16;

/// The status of the final answer, whose head has been read then. The one that switches protocols is final, too
/// (RFC 9110, 15.2.2).
///
/// # Errors
/// None comes.
pub async fn status(session: &mut HttpSession) -> Result<u16> {
    for _ in 0..=MOST_HINTS {
        session.read_response_header().await?;
        let status = session.response_header().map(|response| response.status.as_u16());
        match status {
            // By HTTP/2 they are left out; were one not, there would be no asking for another head.
            Some(100 | 102..=199) if matches!(session, HttpSession::H1(_)) => {}
            Some(status) => return Ok(status),
            None => return Error::e_explain(ErrorType::InvalidHTTPHeader, "no head of an answer"),
        }
    }
    Error::e_explain(ErrorType::Custom("no final answer"), "no final answer after many informational ones")
}
