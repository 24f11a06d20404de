//! How batches of spans are sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use pingora::http::RequestHeader;
use tokio::runtime::Handle;
use url::Url;

use crate::config::conceal::named;
use crate::outbound;

/// A batch takes no longer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An answer is no longer.
const MOST_BYTES: usize = 64 * 1024;

/// By the gateway's own client, on its own threads.
#[derive(Debug)]
pub struct Client {
    url: Url,
    runtime: Arc<OnceLock<Handle>>,
    is_down: AtomicBool,
}

impl Client {
    /// For this collector; by tasks of `runtime`, once there is one.
    pub fn new(url: Url, runtime: Arc<OnceLock<Handle>>) -> Self {
        Client { url, runtime, is_down: AtomicBool::new(false) }
    }

    /// It is told once that spans are lost, and once that they are not any more.
    fn tell(&self, trouble: Option<&str>) {
        let was_down = self.is_down.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(why) if !was_down => log::warn!("tracing: {}: {why}; spans are lost", named(&self.url)),
            None if was_down => log::info!("tracing: {}: takes spans again", named(&self.url)),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = match self.runtime.get() {
            Some(runtime) => send(runtime, self.url.clone(), request).await,
            None => Err("there is nothing that it could be sent by".to_owned()),
        };
        self.tell(sent.as_ref().err().map(String::as_str));
        sent.map_err(Into::into)
    }
}

async fn send(runtime: &Handle, url: Url, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
    let (parts, body) = request.into_parts();
    let text = |error: Box<pingora::Error>| error.to_string();
    let mut head = RequestHeader::build("POST", outbound::target(&url).as_bytes(), None).map_err(text)?;
    for (name, value) in &parts.headers {
        head.insert_header(name.clone(), value.clone()).map_err(text)?;
    }
    let sending =
        async move { tokio::time::timeout(TIMEOUT, outbound::exchange(&url, head, Some(body), MOST_BYTES)).await };
    let answer = match runtime.spawn(sending).await {
        Ok(Ok(answer)) => answer?,
        Ok(Err(_)) => return Err(format!("no answer within {TIMEOUT:?}")),
        Err(error) => return Err(error.to_string()),
    };
    if !answer.status.is_success() {
        return Err(format!("it answers {}", answer.status.as_u16()));
    }
    let mut response = Response::new(answer.body);
    *response.status_mut() = answer.status;
    Ok(response)
}
