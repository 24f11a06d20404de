//! The program, from the outside.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on should stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Answers with the head of each request.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let body = head.join("\n");
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

fn program(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args(args).args(["-c", "aegis.yaml"]).current_dir(directory).env_remove("PORT");
    command
}

/// A folder with a config like the example's, and its partners.
fn folder(name: &str, target: &str, plugin: &str) -> std::path::PathBuf {
    let directory = std::env::temp_dir().join(format!("custom-plugin-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::copy("partners.txt", directory.join("partners.txt")).unwrap();
    let config = std::fs::read_to_string("aegis.yaml").unwrap();
    let config = config.replace("${PORT:-8000}", "0").replace("127.0.0.1:8001", "127.0.0.1:0");
    let config = config.replace("http://127.0.0.1:3001", target).replace("partnerKeys: { file: partners.txt }", plugin);
    std::fs::write(directory.join("aegis.yaml"), config).unwrap();
    directory
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(address: &str, field: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /orders/7 HTTP/1.1\r\nHost: x\r\n{field}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn whoever_has_a_key_is_served_as_the_user_that_it_is_for() {
    let directory = folder("serves", &format!("http://{}", echo()), "partnerKeys: { file: partners.txt }");
    let mut child = program(&directory, &["run"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let _running = Running(child);
    let address = said.find_map(|line| Some(line.split_once("listening on http://")?.1.to_owned())).unwrap();
    std::thread::spawn(move || said.for_each(drop));

    let served = get(&address, "X-Partner-Key: 4f1c0b8e9d-sample\r\nX-User-Id: mallory\r\n");
    assert!(served.starts_with("HTTP/1.1 200") && served.to_lowercase().contains("x-user-id: alice"), "{served}");
    assert!(!served.contains("mallory"));
    for field in ["", "X-Partner-Key: guessed\r\n"] {
        let refused = get(&address, field);
        assert!(refused.starts_with("HTTP/1.1 401") && refused.contains("\"code\":\"partner_unknown\""), "{refused}");
    }
    let explained =
        program(&directory, &["explain", "GET", "/orders", "--offline", "-H", "X-Partner-Key: none"]).output().unwrap();
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains("plugin    partnerKeys refused, partner_unknown"), "{explained}");
}

#[test]
fn what_is_wrong_with_its_settings_is_told_with_the_place() {
    for (plugin, said) in [
        ("partnerKeys: { file: nowhere.txt }", "plugins.custom.partnerKeys: cannot read nowhere.txt"),
        ("partnerKeys: { fiel: partners.txt }", "plugins.custom.partnerKeys: missing field `file`"),
        (
            "partnerKey: { file: partners.txt }",
            "plugins.custom.partnerKey: unknown plugin; did you mean \"partnerKeys\"?",
        ),
        ("other: {}", "plugins.custom.other: no plugin of that name is a part of this program"),
    ] {
        let directory = folder("checks", "http://a:1", plugin);
        let output = program(&directory, &["check"]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("aegis.yaml:7:") && text.contains(said), "{text}");
        assert_eq!(output.status.code(), Some(1));
    }
}
