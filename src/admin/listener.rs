//! The connections of operators.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpPersistentSettings, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use tokio::time::timeout;

use super::{Admin, Operator};
use crate::connection::secured::Secured;
use crate::gathered::{Gathered, SHORT};

/// A request begins by then.
const BEGINS: Duration = Duration::from_secs(30);
/// And its head ends so long after its first byte.
const HEAD: Duration = Duration::from_secs(10);
/// Each piece of an answer is taken by then.
const TAKEN: Duration = Duration::from_secs(30);
/// What is left of a body has come by then, or the connection ends.
const REST: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request, in seconds.
const KEPT: u64 = 60;

#[async_trait]
impl ServerApp for Admin {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (admin, shutdown) = (self.clone(), shutdown.clone());
        tokio::spawn(async move { admin.serve(stream, &shutdown).await });
        None
    }
}

impl Admin {
    /// Serves one request after another.
    async fn serve(&self, stream: Stream, shutdown: &ShutdownWatch) -> Option<()> {
        let (stream, operator) = self.greet(stream).await?;
        let mut stream: Stream = Box::new(Gathered::new(stream, SHORT, AtomicBool::new(false)));
        let mut settings: Option<HttpPersistentSettings> = None;
        loop {
            let mut session = {
                let place = self.waiting.enter();
                tokio::select! {
                    session = head(stream, settings.take()) => session?,
                    () = place.is_lost() => return None,
                }
            };
            session.set_write_timeout(Some(TAKEN));
            session.set_keepalive((!*shutdown.borrow()).then_some(KEPT));
            // Who has gone need not be told.
            self.respond(&mut session, &operator).await.ok()?;
            let kept = HttpPersistentSettings::for_session(&session);
            let reused = timeout(REST, session.finish()).await.ok()?.ok()??;
            let reused = pingora_core::apps::ReusedHttpStream::from_reusable_stream(reused, kept);
            (stream, settings) = reused.consume();
        }
    }

    /// The handshake, where there is one.
    async fn greet(&self, stream: Stream) -> Option<(Stream, Operator)> {
        let tls = self.shared.snapshot.load().operators.as_ref().and_then(|operators| operators.tls.clone());
        let Some(tls) = tls else { return Some((stream, Operator::default())) };
        let place = self.waiting.enter();
        let secured = tokio::select! {
            secured = tls.accept(stream) => secured,
            () = place.is_lost() => return None,
        };
        match secured {
            Ok(stream) => {
                let secured = Secured::new(stream);
                let operator = Operator { certificate: secured.client(), by_tls: true };
                Some((Box::new(secured), operator))
            }
            Err(error) => {
                log::debug!("admin: {error}");
                None
            }
        }
    }
}

/// The next request of a connection, as far as its head.
async fn head(mut stream: Stream, settings: Option<HttpPersistentSettings>) -> Option<ServerSession> {
    // Within TLS the first byte cannot be told from the head.
    let has_begun = timeout(BEGINS, stream.try_peek(&mut [0])).await.ok()?.ok()?;
    let mut session = ServerSession::new_http1(stream);
    if let Some(settings) = settings {
        settings.apply_to_session(&mut session);
    }
    let read = timeout(if has_begun { HEAD } else { BEGINS }, session.read_request()).await;
    read.ok()?.ok()?.then_some(session)
}
