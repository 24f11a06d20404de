//! What plugins make of the answers of a route, an upstream's and the gateway's own.

use http::header::MaxSizeReached;
use http::{HeaderMap, Method};

use super::cors::Cors;
use crate::config;

/// One route's.
#[derive(Debug)]
pub struct Answers {
    cors: Option<Cors>,
}

impl Answers {
    /// As `config` says; `None` if that is nothing.
    pub fn new(config: &config::Plugins) -> Option<Box<Self>> {
        let answers = Answers { cors: config.cors.as_ref().map(Cors::new) };
        answers.cors.is_some().then(|| Box::new(answers))
    }

    /// Changes the `fields` of an answer to a request of this method that has sent `asked`.
    ///
    /// # Errors
    /// There are tens of thousands of fields.
    pub fn dress(&self, method: &Method, asked: &HeaderMap, fields: &mut HeaderMap) -> Result<(), MaxSizeReached> {
        self.cors.as_ref().map_or(Ok(()), |cors| cors.dress(method, asked, fields))
    }
}
