//! Spans of requests for whoever collects them (OpenTelemetry, by OTLP over HTTP): the request, what its plugins did, and each
//! attempt.
//!
//! They are made of what is written down of a request anyway (`trail`) when it is over. Sending them is the SDK's business, in
//! batches, on a thread of its own: when nobody takes them, they are dropped, and no request waits.

mod client;
mod spans;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor};
use tokio::runtime::Handle;

use self::client::Client;
pub use self::spans::Seen;
use crate::config::Tracing;
use crate::rng;
use crate::trace::{Parent, Trace};

/// How long the end of the process waits for what has not been sent.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where spans go.
pub struct Tracer {
    config: Tracing,
    runtime: Arc<OnceLock<Handle>>,
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
}

impl Tracer {
    /// One that sends to where `config` says.
    ///
    /// # Errors
    /// The settings do not go together.
    pub fn new(config: &Tracing) -> Result<Arc<Self>, ExporterBuildError> {
        let runtime = Arc::<OnceLock<Handle>>::default();
        let headers = config.headers.iter().map(|(name, value)| (name.to_string(), value.reveal().to_owned()));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(config.endpoint.clone(), runtime.clone()))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.endpoint.as_str())
            .with_headers(headers.collect::<HashMap<_, _>>())
            .build()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let service = KeyValue::new("service.name", config.service_name.clone());
        processor.set_resource(&Resource::builder_empty().with_attributes([service]).build());
        let scope = InstrumentationScope::builder("aegis").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Arc::new(Tracer { config: config.clone(), runtime, processor, scope }))
    }

    /// What it was made of.
    pub fn config(&self) -> &Tracing {
        &self.config
    }

    /// What it sends is sent by tasks of this runtime.
    pub fn runs_here(&self) {
        // One is enough.
        let _ = Handle::try_current().map(|handle| self.runtime.set(handle));
    }

    /// The trace of a request with these headers. Whether it is recorded says who sent it, if the peer is `trusted`.
    pub fn begin(&self, headers: &HeaderMap, trusted: bool) -> Trace {
        rng::with_local(|rng| Trace::new(Parent::of(headers), trusted, self.config.sample, rng))
    }

    /// A request is over.
    pub fn finish(&self, seen: &Seen<'_>) {
        spans::of(seen, &self.scope).for_each(|span| self.processor.on_end(span));
    }

    /// Sends what is left.
    pub fn close(&self) {
        if let Err(error) = self.processor.shutdown_with_timeout(FAREWELL) {
            log::warn!("tracing: {error}");
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It may have been closed before. What is left of an old one is sent, while nobody waits for it: reloads drop it on a thread of
        // their own.
        let _ = self.processor.shutdown_with_timeout(FAREWELL);
    }
}
