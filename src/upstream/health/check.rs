//! How a target is asked: by HTTP, by connecting, or by gRPC's own protocol for it
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).
//!
//! pingora-load-balancing's trait, and its check by TCP. Its check by HTTP has a connector of its own for each target,
//! with the certificates of all the world in it, and reads answers of any size.

use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use http::header;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, OrErr, Result};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::{HealthCheck as Ask, TcpHealthCheck};
use tokio::time::timeout;

use crate::config::units::{StatusRange, TargetUrl};
use crate::config::{CheckKind, HealthCheck, Timeouts};
use crate::upstream::head;
use crate::upstream::peer::Peers;

/// All targets are asked by one connector, which keeps nothing.
static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));
/// More of an answer is not read.
const MOST_BODY: usize = 64 * 1024;
/// And for no longer, where nothing depends on it.
const COURTESY: Duration = Duration::from_millis(100);
const USER_AGENT: &str = concat!("aegis/", env!("CARGO_PKG_VERSION"), " (health check)");

/// What asks the target at `url` as `plan` says.
pub fn of(plan: &HealthCheck, url: &TargetUrl) -> Box<dyn Ask + Send + Sync> {
    let host = plan.host.clone().unwrap_or_else(|| url.authority().to_owned());
    let way = Way::new(plan, url);
    match plan.kind {
        CheckKind::Http => {
            let path = plan.path.clone().unwrap_or_else(|| "/".to_owned());
            Box::new(Http { way, host, path, statuses: plan.statuses.clone() })
        }
        CheckKind::Tcp => {
            let mut tcp = TcpHealthCheck::default();
            tcp.peer_template.options.connection_timeout = Some(plan.timeout);
            Box::new(tcp)
        }
        CheckKind::Grpc => Box::new(Grpc { way, host, service: plan.service.clone().unwrap_or_default() }),
    }
}

/// How a target is connected to: as requests do, but not on their connections.
struct Way {
    url: TargetUrl,
    peers: Peers,
}

impl Way {
    fn new(plan: &HealthCheck, url: &TargetUrl) -> Self {
        // Who asks sees to the time.
        let (span, total) = (plan.timeout, Some(plan.timeout));
        let timeouts = Timeouts { connect: span, first_byte: span, read: span, total, idle: span };
        Way { url: url.clone(), peers: Peers::new(timeouts, &plan.tls) }
    }

    fn peer(&self, target: &Backend) -> Result<HttpPeer> {
        let unknown = || Error::explain(ErrorType::ConnectError, "no address of TCP");
        let mut peer = self.peers.speaking(&self.url, *target.addr.as_inet().ok_or_else(unknown)?);
        // A connection of HTTP/2 that has room for another question would be kept for it, though it may hang.
        peer.options.max_h2_streams = 1;
        Ok(peer)
    }
}

struct Http {
    way: Way,
    host: String,
    path: String,
    statuses: Vec<StatusRange>,
}

#[async_trait]
impl Ask for Http {
    async fn check(&self, target: &Backend) -> Result<()> {
        let peer = self.way.peer(target)?;
        let (mut session, _) = CONNECTOR.get_http_session(&peer).await?;
        let mut request = RequestHeader::build("GET", self.path.as_bytes(), Some(4))?;
        request.insert_header(header::USER_AGENT, USER_AGENT)?;
        match &session {
            HttpSession::H2(_) => request.set_uri(uri(&self.host, &self.path)?),
            _ => {
                request.insert_header(header::HOST, self.host.as_str())?;
                request.insert_header(header::CONNECTION, "close")?;
            }
        }
        session.write_request_header(Box::new(request)).await?;
        session.finish_request_body().await?;
        let status = head::status(&mut session).await?;
        if !self.statuses.iter().any(|range| range.contains(status)) {
            return Error::e_explain(ErrorType::HTTPStatus(status), format!("status {status}"));
        }
        // The status decides. To close on what has not been read would reset the connection, which servers log.
        tokio::spawn(async move { timeout(COURTESY, read_body(&mut session)).await.map(drop) });
        Ok(())
    }

    fn health_threshold(&self, _: bool) -> usize {
        1
    }
}

struct Grpc {
    way: Way,
    host: String,
    service: String,
}

#[async_trait]
impl Ask for Grpc {
    async fn check(&self, target: &Backend) -> Result<()> {
        let mut peer = self.way.peer(target)?;
        peer.options.set_http_version(2, 2);
        let (mut session, _) = CONNECTOR.get_http_session(&peer).await?;
        self.ask(&mut session).await
    }

    fn health_threshold(&self, _: bool) -> usize {
        1
    }
}

impl Grpc {
    async fn ask(&self, session: &mut HttpSession) -> Result<()> {
        let mut request = RequestHeader::build("POST", b"/grpc.health.v1.Health/Check", Some(5))?;
        request.insert_header(header::HOST, self.host.as_str())?;
        request.insert_header(header::CONTENT_TYPE, "application/grpc")?;
        request.insert_header(header::TE, "trailers")?;
        request.insert_header(header::USER_AGENT, USER_AGENT)?;
        request.set_uri(uri(&self.host, "/grpc.health.v1.Health/Check")?);
        session.write_request_header(Box::new(request)).await?;
        session.write_request_body(question(&self.service), true).await?;
        let status = head::status(session).await?;
        if status != 200 {
            return Error::e_explain(ErrorType::HTTPStatus(status), format!("status {status}"));
        }
        let in_head = session.response_header().and_then(|response| response.headers.get("grpc-status").cloned());
        let answer = read_body(session).await?;
        let trailers = match session {
            HttpSession::H2(session) => session.read_trailers().await?,
            _ => None,
        };
        let code = in_head.or_else(|| trailers.and_then(|trailers| trailers.get("grpc-status").cloned()));
        match code.as_ref().and_then(|code| code.to_str().ok()) {
            Some("0") if is_serving(&answer) => Ok(()),
            Some("0") => Error::e_explain(ErrorType::Custom("not serving"), "it says that it is not serving"),
            Some("5") => Error::e_explain(
                ErrorType::Custom("unknown service"),
                format!("it knows of no service \"{}\"", self.service),
            ),
            code => Error::e_explain(ErrorType::Custom("gRPC"), format!("gRPC status {}", code.unwrap_or("missing"))),
        }
    }
}

/// What HTTP/2 says in place of `Host`.
fn uri(host: &str, path: &str) -> Result<http::Uri> {
    let uri = http::Uri::builder().scheme("http").authority(host).path_and_query(path).build();
    uri.or_err(ErrorType::InvalidHTTPHeader, "building the URI")
}

/// The body, of which more than enough is an error.
async fn read_body(session: &mut HttpSession) -> Result<BytesMut> {
    let mut body = BytesMut::new();
    while let Some(piece) = session.read_response_body().await? {
        if body.len() + piece.len() > MOST_BODY {
            return Error::e_explain(ErrorType::Custom("too long"), "the answer is longer than 64 KiB");
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// `HealthCheckRequest { service }`, as one message of gRPC: a byte that says it is not compressed, four of its length,
/// and then in Protocol Buffers field 1, a string.
fn question(service: &str) -> Bytes {
    // Longer names do not fit in one byte of length, and nobody has them.
    let name = &service.as_bytes()[..service.len().min(127)];
    let mut message = BytesMut::new();
    message.put_u8(0);
    message.put_u32(if name.is_empty() { 0 } else { 2 + name.len() as u32 });
    if !name.is_empty() {
        message.put_slice(&[0x0A, name.len() as u8]);
        message.put_slice(name);
    }
    message.freeze()
}

/// Whether a message is `HealthCheckResponse { status: SERVING }`: field 1, the number 1.
fn is_serving(answer: &[u8]) -> bool {
    matches!(answer, [0, 0, 0, 0, 2, 0x08, 0x01])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_protocol_buffers_write_them() {
        assert_eq!(&question("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&question("users")[..], [&[0, 0, 0, 0, 7, 0x0A, 5][..], b"users"].concat());
        assert!(is_serving(&[0, 0, 0, 0, 2, 8, 1]));
        assert!(!is_serving(&[0, 0, 0, 0, 2, 8, 2]) && !is_serving(&[0, 0, 0, 0, 0]) && !is_serving(&[]));
    }
}
