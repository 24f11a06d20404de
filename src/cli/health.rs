//! `aegis health`: what a container without curl asks itself.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Exit;

const TIMEOUT: Duration = Duration::from_secs(2);

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to GET [default: readyz of the gateway on $PORT, or 8000]
    #[arg(value_name = "URL")]
    url: Option<String>,
}

/// Succeeds if the URL answers 200.
pub fn run(args: &Args) -> Exit {
    let port = std::env::var("PORT").unwrap_or_else(|_| "8000".to_owned());
    let url = args.url.clone().unwrap_or_else(|| format!("http://127.0.0.1:{port}/gateway/readyz"));
    let reason = match url::Url::parse(&url).map_err(|e| e.to_string()).and_then(|url| status(&url)) {
        Ok(200) => return Exit::Good,
        Ok(status) => format!("status {status}"),
        Err(reason) => reason,
    };
    eprintln!("aegis: {url}: {reason}");
    Exit::Bad
}

fn status(url: &url::Url) -> Result<u16, String> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err("no host to ask".into());
    };
    let text = |e: std::io::Error| e.to_string();
    let address = (host.trim_matches(['[', ']']), port).to_socket_addrs().map_err(text)?.next().ok_or("no address")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(text)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(text)?;
    write!(stream, "GET {} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n", url.path()).map_err(text)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).map_err(text)?;
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.ok_or_else(|| "no HTTP/1.1 answer".into())
}
