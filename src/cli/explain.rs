//! `aegis explain`: how a request would go, without sending it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ConfigFile, Exit, run::load};
use crate::config::units::Secret;
use crate::config::{Admin, Config};
use crate::explain::preview::{Preview, Question, preview};
use crate::plugin::rate_limit::Store;
use crate::plugin::rate_limit::redis::Redis;
use crate::snapshot::Snapshot;
use crate::upstream::discovery::Lookout;

/// How long the gateway that runs is waited for.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What it says is no longer.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The request that is asked about.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Its method
    #[arg(value_name = "METHOD")]
    method: String,
    /// Its URL, or path
    #[arg(value_name = "URL")]
    url: String,
    /// A header field, `NAME: VALUE`. Can be repeated
    #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = field)]
    headers: Vec<(String, String)>,
    /// The address that it comes from
    #[arg(long, value_name = "IP")]
    ip: Option<IpAddr>,
    /// A token to send as `Authorization: Bearer`
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Do not ask the gateway that runs: circuits are closed and counters full, as after a start
    #[arg(long)]
    offline: bool,
    /// Ask the gateway with this admin listener, whatever its config; $AEGIS_ADMIN_TOKEN is its token, if it has one
    #[arg(long, value_name = "ADDRESS", conflicts_with = "offline")]
    admin: Option<SocketAddr>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Prints how it would go: as the gateway sees it that runs, or else as one would that starts now.
pub fn run(args: &Args) -> Exit {
    let question = Question {
        method: args.method.clone(),
        url: args.url.clone(),
        headers: args.headers.clone(),
        ip: args.ip,
        token: args.token.clone(),
    };
    if let Some(address) = args.admin {
        let token = std::env::var("AEGIS_ADMIN_TOKEN").ok();
        return match ask(address, token.as_deref(), &question, args.json) {
            Ok(answer) => told(address, answer),
            Err(why) => {
                eprintln!("aegis: no gateway answers at {address}: {why}");
                Exit::Unable
            }
        };
    }
    let config = match load(&args.file) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    if let Some(Admin { listen, token, read_token, tls, .. }) = config.admin.as_ref().filter(|_| !args.offline) {
        let token = token.as_ref().or(read_token.as_ref());
        match ask(*listen, token.map(Secret::reveal), &question, args.json) {
            Ok(answer) => return told(*listen, answer),
            Err(_) if tls.is_some() => {
                eprintln!("{listen} speaks TLS, which this command does not: POST /explain asks there")
            }
            Err(why) => eprintln!("no gateway answers at {listen}: {why}"),
        }
    }
    eprintln!("as a gateway would see it that has just started: circuits closed, nothing counted in this process");
    match offline(&config, &question) {
        Ok(preview) if args.json => println!("{}", serde_json::to_string(&preview).unwrap_or_default()),
        Ok(preview) => print!("{preview}"),
        Err(why) => {
            eprintln!("aegis: {why}");
            return Exit::Bad;
        }
    }
    Exit::Good
}

fn told(address: SocketAddr, (status, said): (u16, String)) -> Exit {
    if status == 200 {
        eprintln!("as the gateway sees it whose admin listener is {address}");
        println!("{}", said.trim_end());
        return Exit::Good;
    }
    let problem: Option<serde_json::Value> = serde_json::from_str(&said).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    eprintln!("aegis: the gateway at {address} answers {status}: {}", detail.unwrap_or("no reason"));
    Exit::Bad
}

/// A gateway that has started with this config and served nobody, in this process.
fn offline(config: &Config, question: &Question) -> Result<Preview, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let redis = config.redis.as_ref().map(Redis::new).transpose().map_err(|error| format!("redis: {error}"))?;
        let now = Instant::now();
        let snapshot = Arc::new(Snapshot::new(config, Arc::new(Store::new(redis.map(Arc::new), now)), now));
        snapshot.settle_in(&Arc::new(Lookout::new(&config.resolve))).await;
        preview(question, snapshot, Instant::now()).await
    })
}

/// What the gateway answers whose admin listener that is.
fn ask(address: SocketAddr, token: Option<&str>, question: &Question, json: bool) -> Result<(u16, String), String> {
    let text = |error: std::io::Error| error.to_string();
    let body = serde_json::to_string(question).map_err(|error| error.to_string())?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(text)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(text)?;
    let accept = if json { "application/json" } else { "text/plain" };
    let authorization = token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    let head = format!(
        "POST /explain HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\ncontent-length: {}\r\n{authorization}connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).map_err(text)?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).map_err(text)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP/1.1 answer")?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    Ok((status.ok_or("no HTTP/1.1 answer")?, body.to_owned()))
}
