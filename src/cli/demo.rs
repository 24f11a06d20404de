//! `aegis demo`: the gateway and six fake instances in one process, with nothing to install.

use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::SystemTime;

use fake_services::Service;

use super::{Exit, run::serve, token::token};
use crate::config::units::Period;
use crate::config::{self, Config};
use crate::server::Start;

/// How long the ready-made token is good.
const TOKEN_LIFE: &str = "7d";

/// Runs the demo until it is interrupted.
pub fn run() -> Exit {
    match start() {
        Ok(config) => serve(&config, Start::default()),
        Err(reason) => {
            eprintln!("aegis demo: {reason}");
            Exit::Bad
        }
    }
}

fn start() -> Result<Config, String> {
    let users = instances(Service::Users, "user-service", 3001)?;
    let products = instances(Service::Products, "product-service", 3004)?;
    let config = config(&users, &products)?;
    tour(&config)?;
    Ok(config)
}

/// Starts three instances and gives their URLs: on the ports from `first` on where they are free, so that
/// the stats look as they do with Docker, else on any.
fn instances(service: Service, name: &str, first: u16) -> Result<Vec<String>, String> {
    (0..3)
        .map(|nth| {
            let name = format!("{name}-{}", nth + 1);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first + nth))
                .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
                .map_err(|e| format!("cannot start {name}: {e}"))?;
            let url = format!("http://{}", listener.local_addr().map_err(|e| e.to_string())?);
            println!("{name:18} {url}");
            listener.set_nonblocking(true).map_err(|e| e.to_string())?;
            let serve = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let ended = runtime.and_then(|runtime| {
                    runtime.block_on(async {
                        let listener = tokio::net::TcpListener::from_std(listener)?;
                        fake_services::run(service, name, listener).await
                    })
                });
                if let Err(e) = ended {
                    log::error!("a fake instance ended: {e}");
                }
            };
            thread::Builder::new().name("fake-service".into()).spawn(serve).map_err(|e| e.to_string())?;
            Ok(url)
        })
        .collect()
}

fn config(users: &[String], products: &[String]) -> Result<Config, String> {
    let text = format!(
        concat!(
            "listen: 0.0.0.0:${{PORT:-8000}}\n",
            "redis: {{ url: '' }}\n",
            "admin: {{ listen: 127.0.0.1:{admin} }}\n",
            "auth: {{ jwt: {{ secret: '${{JWT_SECRET:-{secret}}}' }} }}\n",
            "routes:\n",
            "  - path: /users\n",
            "    targets: [{users}]\n",
            "    plugins: {{ auth: true, rateLimit: {{ max: 10, window: 60 }} }}\n",
            "  - path: /product\n",
            "    targets: [{products}]\n",
            "    plugins: {{ auth: true, rateLimit: {{ max: 100, window: 60 }} }}\n",
        ),
        // Made anew for each run: a demo that somebody leaves running is no open door.
        secret = format_args!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()),
        admin = admin_port(),
        users = users.join(", "),
        products = products.join(", "),
    );
    config::parse("demo", &text, &|name| std::env::var(name).ok())
        .map(|loaded| loaded.config)
        .map_err(|e| e.to_string())
}

/// 8001 where it is free and the gateway has the port before it, else any.
fn admin_port() -> u16 {
    let usual = std::env::var("PORT").is_err() && TcpListener::bind((Ipv4Addr::LOCALHOST, 8001)).is_ok();
    if usual { 8001 } else { 0 }
}

fn tour(config: &Config) -> Result<(), String> {
    let (Some(jwt), Some(address)) = (config.auth.jwt.first(), config.listen.first()) else {
        return Err("the demo's config has no routes".into());
    };
    let life: Period = TOKEN_LIFE.parse()?;
    let token = token(jwt, "test-123", Vec::new(), life, SystemTime::now())?;
    let gateway = format!("http://localhost:{}", address.port());
    println!(
        "
The gateway is at {gateway}. A token, good for {TOKEN_LIFE}, and a tour:

TOKEN={token}

curl -si {gateway}/users                                     # 401: no token
curl -si -H \"Authorization: Bearer $TOKEN\" {gateway}/users   # 200, and which instance answered
curl -si -H \"Authorization: Bearer $TOKEN\" {gateway}/product # 200, another service
for i in $(seq 15); do curl -s -o /dev/null -w '%{{http_code}} ' -H \"Authorization: Bearer $TOKEN\" {gateway}/users; done; echo    # 429 after the 10th in a minute
for i in $(seq 9); do curl -s -o /dev/null -w '%{{http_code}} ' -H \"Authorization: Bearer $TOKEN\" '{gateway}/product/fail?only=product-service-1'; done; echo    # three failures open its circuit
curl -s {gateway}/gateway/stats                             # the circuits

Ctrl-C ends it.
"
    );
    Ok(())
}
