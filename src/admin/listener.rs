//! The connections of operators.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::apps::{HttpPersistentSettings, ServerApp};
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;

use super::{Admin, Operator};
use crate::connection::secured::Secured;

/// How long the head of a request may take, the time before it included.
const HEAD: Duration = Duration::from_secs(30);
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
        let (mut stream, operator) = self.greet(stream).await?;
        let mut settings: Option<HttpPersistentSettings> = None;
        loop {
            let mut session = ServerSession::new_http1(stream);
            if let Some(settings) = settings.take() {
                settings.apply_to_session(&mut session);
            }
            {
                let place = self.waiting.enter();
                tokio::select! {
                    read = tokio::time::timeout(HEAD, session.read_request()) => {
                        if !read.ok()?.ok()? { return None; }
                    }
                    () = place.is_lost() => return None,
                }
            }
            session.set_keepalive((!*shutdown.borrow()).then_some(KEPT));
            // Who has gone need not be told.
            self.respond(&mut session, &operator).await.ok()?;
            let kept = HttpPersistentSettings::for_session(&session);
            let reused = session.finish().await.ok()??;
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
