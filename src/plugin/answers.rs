//! What plugins make of the answers of a route, an upstream's and the gateway's own.

use http::header::MaxSizeReached;
use http::{HeaderMap, Method};

use super::cors::Cors;
use super::headers::AnswerEdits;
use super::security_headers::SecurityHeaders;
use crate::config;

/// What an answer is to.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// The request's method.
    pub method: &'r Method,
    /// The request's fields.
    pub headers: &'r HeaderMap,
    /// Whether its client has sent it by https, here or to a trusted proxy.
    pub by_https: bool,
    /// Whether the gateway answers it itself.
    pub is_own: bool,
}

/// One route's.
#[derive(Debug)]
pub struct Answers {
    edits: Option<AnswerEdits>,
    cors: Option<Cors>,
    security: Option<SecurityHeaders>,
}

impl Answers {
    /// As `config` says; `None` if that is nothing.
    pub fn new(config: &config::Plugins) -> Option<Box<Self>> {
        let answers = Answers {
            edits: config.headers.as_ref().and_then(|rules| AnswerEdits::new(&rules.response)),
            cors: config.cors.as_ref().map(Cors::new),
            security: config.security_headers.as_ref().map(SecurityHeaders::new),
        };
        let Answers { edits, cors, security } = &answers;
        (edits.is_some() || cors.is_some() || security.is_some()).then(|| Box::new(answers))
    }

    /// Changes the `fields` of an answer, which may be the gateway's own, to a request. Those come last that nothing else
    /// should undo.
    ///
    /// # Errors
    /// There are tens of thousands of fields.
    pub fn dress(&self, asked: &Asked<'_>, fields: &mut HeaderMap) -> Result<(), MaxSizeReached> {
        if let Some(edits) = &self.edits {
            edits.apply(asked.is_own, fields)?;
        }
        if let Some(cors) = &self.cors {
            cors.dress(asked.method, asked.headers, fields)?;
        }
        if let Some(security) = &self.security {
            security.dress(asked.by_https, fields)?;
        }
        Ok(())
    }
}
