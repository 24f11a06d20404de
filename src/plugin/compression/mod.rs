//! `compression`: answers of upstreams, in a coding that the client takes.
//!
//! Not Pingora's own: that one knows no weights in `Accept-Encoding`, keeps back what a stream has sent until there is
//! enough of it, and never ends what it writes as `br`. What an answer's head says is decided in [`head`], by what
//! [`accept`] has read; [`encoder`] does the work, on the thread that has read the piece.

pub mod accept;
pub mod encoder;
pub mod head;

use std::any::Any;
use std::io;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use pingora::http::ResponseHeader;
use pingora::{ErrorType, OrErr, Result};
use pingora_core::modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module};
use pingora_proxy::Session;

use self::accept::Wish;
use self::encoder::Encoder;
use crate::config::Compression;
use crate::downstream::answer;

static MODULES: LazyLock<HttpModules> = LazyLock::new(|| {
    let mut modules = HttpModules::new();
    modules.add_module(Box::new(Builder));
    modules
});

/// Has the answer to this request compressed as `rules` say, if it turns out to be one for that. Requests of other routes
/// are not asked whether they have such a thing.
pub fn prepare(session: &mut Session, rules: &Arc<Compression>) {
    let request = session.req_header();
    let wish = Wish::of(request.version, &request.method, &request.headers);
    let mut modules = MODULES.build_ctx();
    if let Some(squeeze) = modules.get_mut::<Squeeze>() {
        *squeeze = Squeeze::Asked(rules.clone(), wish);
    }
    session.downstream_modules_ctx = modules;
}

/// How far the answer to one request has come.
enum Squeeze {
    /// Its head has not been seen.
    Asked(Arc<Compression>, Wish),
    /// It is being compressed; and whether nothing of it may be kept back. No two threads ever meet at the lock: it is
    /// there for encoders that must not be seen by two.
    Running(Box<Mutex<Encoder>>, bool),
    /// It is sent as it is, or was compressed.
    Over,
}

impl Squeeze {
    fn decide(&mut self, response: &mut ResponseHeader, is_end: bool) -> Result<()> {
        let Squeeze::Asked(rules, wish) = &self else { return Ok(()) };
        let status = response.status;
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        // An answer without a body has nothing in any coding; of a HEAD that would have been one, the head is the same.
        if is_end && !wish.is_head() && status != StatusCode::NOT_MODIFIED {
            *self = Squeeze::Over;
            return Ok(());
        }
        let mut encoder = None;
        let plan = answer::edit(response, |fields| {
            head::decide(rules, wish, status, fields, |coding| {
                encoder = Encoder::new(coding, rules.level).filter(|_| !wish.is_head());
                wish.is_head() || encoder.is_some()
            })
        });
        let plan = plan.or_err(ErrorType::InvalidHTTPHeader, "too many header fields in an answer")?;
        *self = match (plan, encoder) {
            (Some(plan), Some(encoder)) => Squeeze::Running(Box::new(Mutex::new(encoder)), plan.is_live),
            _ => Squeeze::Over,
        };
        Ok(())
    }

    fn encode(&mut self, body: &mut Option<Bytes>, is_end: bool) -> io::Result<()> {
        let Squeeze::Running(encoder, is_live) = self else { return Ok(()) };
        let mut out = match body {
            Some(piece) => Some(encoder.get_mut().encode(piece, *is_live && !is_end)?),
            None => None,
        };
        if is_end && let Some(rest) = self.finish()? {
            out = Some(out.filter(|out| !out.is_empty()).map_or(rest.clone(), |out| [out, rest].concat().into()));
        }
        *body = out;
        Ok(())
    }

    /// What remains of an answer that is compressed. Its encoder is gone then, however long the client takes.
    fn finish(&mut self) -> io::Result<Option<Bytes>> {
        match std::mem::replace(self, Squeeze::Over) {
            Squeeze::Running(encoder, _) => encoder.into_inner().finish().map(Some),
            _ => Ok(None),
        }
    }
}

#[async_trait]
impl HttpModule for Squeeze {
    async fn response_header_filter(&mut self, response: &mut ResponseHeader, is_end: bool) -> Result<()> {
        self.decide(response, is_end)
    }

    fn response_body_filter(&mut self, body: &mut Option<Bytes>, is_end: bool) -> Result<()> {
        self.encode(body, is_end).or_err(ErrorType::InternalError, "compressing an answer").inspect_err(|_| {
            // What is answered instead, if there is still time, is sent as it is.
            *self = Squeeze::Over;
        })
    }

    fn response_trailer_filter(&mut self, _: &mut Option<Box<HeaderMap>>) -> Result<Option<Bytes>> {
        // They were not told of before, and come in place of the end of the body: that is worth more.
        self.finish().or_err(ErrorType::InternalError, "compressing an answer")
    }

    fn response_done_filter(&mut self) -> Result<Option<Bytes>> {
        self.finish().or_err(ErrorType::InternalError, "compressing an answer")
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

struct Builder;

impl HttpModuleBuilder for Builder {
    fn init(&self) -> Module {
        Box::new(Squeeze::Over)
    }
}
