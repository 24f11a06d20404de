//! Two small services to put behind the gateway: each instance names itself, echoes the identity and
//! request id it was sent, and fails or dawdles when asked to.
//!
//! ```text
//! GET /users  /users/{id}        GET /product  /product/{id}    JSON naming the instance
//! GET /users/fail                GET /product/fail              500; with ?only=NAME on that instance alone
//! GET /users/slow?ms=N           GET /product/slow?ms=N         answers after N milliseconds (at most 60 s)
//! GET /health                                                   200 as soon as it listens
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, serve};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The longest a `/slow` answer can be asked to take.
const SLOWEST: Duration = Duration::from_secs(60);

/// Which of the two services an instance plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// `user-service`: everything under `/users`.
    Users,
    /// `product-service`: everything under `/product`.
    Products,
}

impl Service {
    /// The path all of the service's resources are under.
    pub fn path(self) -> &'static str {
        match self {
            Service::Users => "/users",
            Service::Products => "/product",
        }
    }

    /// The port an instance listens on when `PORT` does not say.
    pub fn default_port(self) -> u16 {
        match self {
            Service::Users => 3001,
            Service::Products => 3004,
        }
    }

    fn items(self) -> Value {
        match self {
            Service::Users => json!([
                {"id": "1", "name": "Ada"}, {"id": "2", "name": "Grace"}, {"id": "3", "name": "Edsger"}
            ]),
            Service::Products => json!([
                {"id": "1", "name": "Keyboard", "price": 79}, {"id": "2", "name": "Lamp", "price": 35}
            ]),
        }
    }
}

struct Instance {
    service: Service,
    name: String,
}

/// Serves one instance on `listener` until the future is dropped.
///
/// `name` is what its answers say in `instance`, such as `user-service-1`.
///
/// # Errors
/// When accepting connections fails for good.
pub async fn run(service: Service, name: String, listener: TcpListener) -> std::io::Result<()> {
    serve(listener, router(service, name)).await
}

/// What `main` of both binaries does: serve until SIGTERM or SIGINT, `PORT` and `INSTANCE` (the name) from
/// the environment; with `--health`, ask the instance on `PORT` whether it is well instead.
///
/// # Errors
/// An unknown argument, a `PORT` that is no port number or cannot be listened on, an instance that is not well.
pub async fn main(service: Service, default_name: &str) -> Result<(), String> {
    let port = match std::env::var("PORT") {
        Ok(text) => text.parse().map_err(|_| format!("PORT={text}: not a port number (1-65535)"))?,
        Err(_) => service.default_port(),
    };
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--health") => return ask_health(port).await.map_err(|e| format!("port {port}: {e}")),
        Some(other) => return Err(format!("unknown argument {other}; the only one is --health")),
    }
    let name = std::env::var("INSTANCE").unwrap_or_else(|_| default_name.to_owned());
    let listener =
        TcpListener::bind(("0.0.0.0", port)).await.map_err(|e| format!("cannot listen on port {port}: {e}"))?;
    println!("{name} listens on port {port}");
    tokio::select! {
        result = run(service, name, listener) => result.map_err(|e| e.to_string()),
        () = asked_to_stop() => Ok(()),
    }
}

async fn ask_health(port: u16) -> std::io::Result<()> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        if &status == b"HTTP/1.1 200" { Ok(()) } else { Err(std::io::Error::other("not well")) }
    };
    tokio::time::timeout(Duration::from_secs(2), ask).await?
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => std::future::pending().await,
    }
}

fn router(service: Service, name: String) -> Router {
    let root = service.path();
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route(root, get(list))
        .route(&format!("{root}/fail"), get(fail))
        .route(&format!("{root}/slow"), get(slow))
        .route(&format!("{root}/{{id}}"), get(one))
        .with_state(Arc::new(Instance { service, name }))
}

#[derive(Deserialize)]
struct FailQuery {
    only: Option<String>,
}

#[derive(Deserialize)]
struct SlowQuery {
    #[serde(default)]
    ms: u64,
}

async fn list(State(instance): State<Arc<Instance>>, headers: HeaderMap) -> Response {
    answer(&instance, &headers, StatusCode::OK, instance.service.items())
}

async fn one(State(instance): State<Arc<Instance>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    answer(&instance, &headers, StatusCode::OK, json!({"id": id}))
}

async fn fail(State(instance): State<Arc<Instance>>, Query(query): Query<FailQuery>, headers: HeaderMap) -> Response {
    let spared = query.only.is_some_and(|only| only != instance.name);
    let status = if spared { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    answer(&instance, &headers, status, json!({"failed": !spared}))
}

async fn slow(State(instance): State<Arc<Instance>>, Query(query): Query<SlowQuery>, headers: HeaderMap) -> Response {
    tokio::time::sleep(Duration::from_millis(query.ms).min(SLOWEST)).await;
    answer(&instance, &headers, StatusCode::OK, json!({"sleptMs": query.ms}))
}

/// The JSON of every answer: who says it, what was received, and the data.
fn answer(instance: &Instance, headers: &HeaderMap, status: StatusCode, data: Value) -> Response {
    let echo = |name: &str| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    // In this order whether or not the features of the build keep any.
    let body = json!({
        "data": data,
        "instance": instance.name,
        "received": { "x-request-id": echo("x-request-id"), "x-user-id": echo("x-user-id") },
    });
    (status, Json(body)).into_response()
}
