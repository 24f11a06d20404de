//! What the gateway itself asks of services that are no targets, such as an issuer for its keys.
//!
//! By HTTP/1.1, over TLS with the authorities of the system (or of `SSL_CERT_FILE`). Answers are read whole and have to be
//! short; whoever asks brings the time-out.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use pingora::http::RequestHeader;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use url::{Host, Url};

use crate::upstream::head;

static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));
const USER_AGENT: &str = concat!("aegis/", env!("CARGO_PKG_VERSION"));
/// So many times an answer may say that it is somewhere else.
const MOST_REDIRECTS: usize = 3;
/// How long a connection that may be of use again is kept.
const IDLE: Duration = Duration::from_secs(60);

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What is at `url`, or where it says to go: from https to https only.
///
/// # Errors
/// Nothing, or more than `most` bytes; for people.
pub async fn get(url: &Url, most: usize) -> Result<Answer, String> {
    let mut url = url.clone();
    for _ in 0..=MOST_REDIRECTS {
        let request = RequestHeader::build("GET", target(&url).as_bytes(), Some(3)).map_err(|e| e.to_string())?;
        let answer = exchange(&url, request, None, most).await?;
        match (answer.status.as_u16(), answer.headers.get(header::LOCATION)) {
            (200, _) => return Ok(answer),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                let next = location.to_str().ok().and_then(|location| url.join(location).ok());
                url = next.filter(|next| may_go(&url, next)).ok_or("it leads to where no https is")?;
            }
            (status, _) => return Err(format!("it answers {status}")),
        }
    }
    Err("it leads from one place to the next".to_owned())
}

fn may_go(from: &Url, to: &Url) -> bool {
    to.scheme() == "https" || to.scheme() == "http" && from.scheme() == "http"
}

/// Path and query, as they are asked for.
pub fn target(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}

/// Sends `request`, whose `Host` is added, with its `body`, if it has one, to the server of `url`. It may be sent twice.
///
/// # Errors
/// There is no answer, or it has more than `most` bytes; for people.
pub async fn exchange(
    url: &Url,
    mut request: RequestHeader,
    body: Option<Bytes>,
    most: usize,
) -> Result<Answer, String> {
    let host = url.host().ok_or("it has no host")?;
    let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
    request.insert_header(header::HOST, authority).map_err(said)?;
    if !request.headers.contains_key(header::USER_AGENT) {
        request.insert_header(header::USER_AGENT, USER_AGENT).map_err(said)?;
    }
    if let Some(body) = &body {
        request.insert_header(header::CONTENT_LENGTH, body.len()).map_err(said)?;
    }
    let mut last = format!("there is no {host}");
    for address in addresses(url).await? {
        let peer = peer(url, address, &host);
        loop {
            let (session, is_reused) = match CONNECTOR.get_http_session(&peer).await {
                Ok(session) => session,
                Err(error) => {
                    last = said(error);
                    break;
                }
            };
            match converse(session, &peer, (&request, body.as_ref()), most).await {
                // It may have been closed since it was of use: there are others, and new ones in the end.
                Err(_) if is_reused => {}
                ended => return ended,
            }
        }
    }
    Err(last)
}

async fn converse(
    mut session: HttpSession,
    peer: &HttpPeer,
    (request, body): (&RequestHeader, Option<&Bytes>),
    most: usize,
) -> Result<Answer, String> {
    session.write_request_header(Box::new(request.clone())).await.map_err(said)?;
    if let Some(body) = body {
        session.write_request_body(body.clone(), true).await.map_err(said)?;
    }
    session.finish_request_body().await.map_err(said)?;
    head::status(&mut session).await.map_err(said)?;
    let head = session.response_header().map(|head| (head.status, head.headers.clone()));
    let (status, headers) = head.ok_or("it answers nothing")?;
    let mut body = BytesMut::new();
    while let Some(piece) = session.read_response_body().await.map_err(said)? {
        if body.len() + piece.len() > most {
            return Err(format!("its answer is longer than {most} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    CONNECTOR.release_http_session(session, peer, Some(IDLE)).await;
    Ok(Answer { status, headers, body: body.freeze() })
}

fn said(error: Box<pingora::Error>) -> String {
    error.to_string().trim().to_owned()
}

fn peer(url: &Url, address: SocketAddr, host: &Host<&str>) -> HttpPeer {
    let name = match host {
        Host::Ipv6(address) => address.to_string(),
        other => other.to_string(),
    };
    HttpPeer::new(address, url.scheme() == "https", name)
}

async fn addresses(url: &Url) -> Result<Vec<SocketAddr>, String> {
    let port = url.port_or_known_default().unwrap_or(443);
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(vec![(address, port).into()]),
        Some(Host::Ipv6(address)) => Ok(vec![(address, port).into()]),
        Some(Host::Domain(name)) => match tokio::net::lookup_host((name, port)).await {
            Ok(found) => Ok(found.collect()),
            Err(error) => Err(error.to_string()),
        },
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn nothing_leads_from_https_to_anything_else() {
        for (from, to, may) in [
            ("https://a.test/", "https://b.test/", true),
            ("http://a.test/", "http://b.test/", true),
            ("http://a.test/", "https://b.test/", true),
            ("https://a.test/", "http://a.test/", false),
            ("http://a.test/", "file:///etc/passwd", false),
        ] {
            assert_eq!(may_go(&url(from), &url(to)), may, "{from} to {to}");
        }
    }

    #[test]
    fn path_and_query_are_asked_for() {
        assert_eq!(target(&url("https://a.test/x/y?z=1#f")), "/x/y?z=1");
        assert_eq!(target(&url("https://a.test")), "/");
    }
}
