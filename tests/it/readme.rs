//! The README is true: every command in it is run here, but for those that other suites run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::support::{Certificates, Gateway, aegis, nobody};

pub struct Block {
    pub language: String,
    pub text: String,
}

fn blocks() -> Vec<Block> {
    blocks_of("README.md")
}

/// The blocks of code on a page.
pub fn blocks_of(page: &str) -> Vec<Block> {
    let readme = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(Block { language: language.to_owned(), text: text.join("\n") });
        }
    }
    blocks
}

/// The commands of a block, each with the lines that are shown after it.
pub fn steps(console: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    console.split("\n$ ").map(|step| {
        let mut lines = step.trim_start_matches("$ ").lines();
        (lines.next().unwrap_or_default(), lines.collect())
    })
}

/// Fails unless what was shown is as on the page.
pub fn is_shown(command: &str, got: &[String], expected: &[&str]) {
    let same = got.len() == expected.len()
        && got.iter().zip(expected).all(|(line, pattern)| matches(line.trim_end(), pattern));
    assert!(same, "{command}\nshows\n{}\nand not\n{}", got.join("\n"), expected.join("\n"));
}

/// A shell that stays open, as a reader's does.
pub struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Shell {
    pub fn start(env: &[(&str, &str)]) -> Self {
        Shell::start_in(Path::new("."), env)
    }

    pub fn start_in(directory: &Path, env: &[(&str, &str)]) -> Self {
        let mut command = Command::new("bash");
        command.current_dir(directory);
        command.envs(env.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Shell { child, input, output }
    }

    pub fn run(&mut self, command: &str) -> Vec<String> {
        writeln!(self.input, "{command}\necho; echo end-of-output").unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the shell ended: {command}");
            match line.trim_end() {
                "end-of-output" => break,
                line => lines.push(line.to_owned()),
            }
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `line` is `pattern`, in which … stands for anything.
fn matches(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// `make demo` as a reader runs it, on a free port.
fn demo() -> (Gateway, String) {
    let port = nobody().port().to_string();
    let mut command = Command::new("make");
    command.arg("demo").current_dir(env!("CARGO_MANIFEST_DIR")).env("PORT", &port);
    for name in ["REDIS_URL", "JWT_SECRET", "AEGIS_CONFIG", "RUST_LOG", "MAKEFLAGS", "MAKELEVEL", "LD_LIBRARY_PATH"] {
        command.env_remove(name);
    }
    // What Cargo tells a test of its package would make it build packages anew that look at it.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_")) {
        if !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&name.as_str()) {
            command.env_remove(name);
        }
    }
    let gateway = Gateway::spawn_group(command);
    let said = gateway.stdout();
    let token = said.lines().find_map(|line| line.strip_prefix("TOKEN=")).unwrap_or_else(|| panic!("no token: {said}"));
    (gateway, token.to_owned())
}

#[test]
fn the_tour_shows_what_the_readme_shows() {
    let (gateway, token) = demo();
    let mut shell = Shell::start(&[("TOKEN", &token)]);
    let mut commands = 0;
    for block in blocks().iter().filter(|block| block.language == "console") {
        for (command, expected) in steps(&block.text) {
            let got = shell.run(&command.replace("localhost:8000", &gateway.address.to_string()));
            is_shown(command, &got, &expected);
            commands += 1;
        }
    }
    assert_eq!(commands, 9, "the tour has changed");
}

#[test]
fn the_demo_prints_a_tour_that_works() {
    let (gateway, token) = demo();
    let said = gateway.stdout();
    let curls: Vec<&str> = said.lines().filter(|line| line.contains("curl ")).collect();
    assert_eq!(curls.len(), 6, "{said}");
    let mut shell = Shell::start(&[("TOKEN", &token)]);
    let shown: Vec<String> = curls.iter().map(|line| shell.run(line).join("\n")).collect();
    assert!(shown[0].starts_with("HTTP/1.1 401"), "{}", shown[0]);
    assert!(shown[1].starts_with("HTTP/1.1 200") && shown[1].contains("user-service-"), "{}", shown[1]);
    assert!(shown[2].starts_with("HTTP/1.1 200") && shown[2].contains("product-service-"), "{}", shown[2]);
    assert_eq!(shown[3].matches("429").count(), 6, "{}", shown[3]);
    assert_eq!(shown[4].matches("500").count(), 3, "{}", shown[4]);
    assert_eq!(shown[5].matches("OPEN").count(), 1, "{}", shown[5]);
}

#[test]
fn the_config_in_the_readme_is_good() {
    let yaml: Vec<Block> = blocks().into_iter().filter(|block| block.language == "yaml").collect();
    assert_eq!(yaml.len(), 1);
    let mut command = aegis(&["check", "-c", "aegis.yaml"]);
    fs::write(command.get_current_dir().unwrap().join("aegis.yaml"), &yaml[0].text).unwrap();
    let output = command.env("JWT_SECRET", crate::support::SECRET).output().unwrap();
    assert_eq!(output.stdout, b"aegis.yaml: good, 2 routes\n", "{output:?}");
}

#[test]
fn the_configs_in_the_docs_are_good() {
    let pages =
        ["upstreams", "edge", "identity", "operations", "plugins", "routing", "concepts", "coming-from", "quick-start"]
            .map(|page| format!("docs/{page}.md"));
    for block in pages.iter().flat_map(|page| blocks_of(page)).filter(|block| block.language == "yaml") {
        let mut command = aegis(&["check", "-c", "aegis.yaml"]);
        fs::write(command.get_current_dir().unwrap().join("aegis.yaml"), here(&block.text)).unwrap();
        let output = command.env("JWT_SECRET", crate::support::SECRET).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}\n{output:?}", block.text);
    }
}

/// The text with files that are there.
fn here(text: &str) -> String {
    let Certificates { ca, server_cert, server_key, .. } = Certificates::make();
    let users = crate::support::gateway::directory().join("htpasswd");
    fs::write(&users, format!("ann:{}\n", bcrypt::hash("a password", 10).unwrap())).unwrap();
    let mut text = text.to_owned();
    for (name, file) in [
        ("/certs/api.pem", &server_cert),
        ("/certs/other.pem", &server_cert),
        ("/certs/api.key", &server_key),
        ("/certs/other.key", &server_key),
        ("/certs/ca.pem", &ca),
        ("/certs/htpasswd", &users),
        // A certificate has a public key.
        ("/certs/issuer.pem", &server_cert),
    ] {
        text = text.replace(name, file.to_str().unwrap());
    }
    text
}

#[test]
fn no_command_of_the_readme_is_left_out() {
    let elsewhere: Vec<String> =
        blocks().into_iter().filter(|block| block.language == "sh").map(|block| block.text).collect();
    assert_eq!(
        elsewhere,
        [
            // By `demo()`, above.
            "make demo",
            // By `.ci/run`.
            "make test",
            // By `.ci/containers`.
            "docker compose up --build -d\nTOKEN=$(docker compose exec -T gateway aegis token --user test-123)",
        ]
    );
    let others: Vec<String> = blocks().into_iter().map(|block| block.language).collect();
    assert!(
        others.iter().all(|language| ["sh", "console", "yaml", "mermaid"].contains(&language.as_str())),
        "{others:?}"
    );
}

#[test]
fn the_commands_and_codes_of_the_readme_exist() {
    let readme = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let help = String::from_utf8(aegis(&["--help"]).output().unwrap().stdout).unwrap();
    for command in ["run", "demo", "check", "token", "explain", "schema", "health"] {
        assert!(
            readme.contains(&format!("`aegis {command}")) && help.contains(&format!("  {command} ")),
            "{command}: {help}"
        );
    }
    let sources = ["src/refusal.rs", "src/failure.rs"]
        .map(|file| fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap())
        .concat();
    let rows = readme
        .lines()
        .skip_while(|line| !line.starts_with("| code | status"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let codes: Vec<&str> = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    assert!(codes.len() > 12, "{codes:?}");
    for code in &codes {
        assert!(sources.contains(&format!("=> \"{code}\"")), "{code} is in the README and nowhere else");
    }
    let words = sources.split("=> \"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(word, _)| word);
    let is_code = |word: &&str| word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    // A client that is gone is told nothing: its code is for the log.
    for code in words.filter(is_code).filter(|code| *code != "client_gone") {
        assert!(codes.contains(&code), "{code} is not in the README");
    }
}

#[test]
fn the_plugin_in_the_docs_is_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (docs, example) = (root.join("docs/plugins.md"), root.join("examples/custom-plugin/src/main.rs"));
    let (docs, example) = (fs::read_to_string(docs).unwrap(), fs::read_to_string(example).unwrap());
    assert!(
        docs.contains(&format!("```rust\n{example}```\n")),
        "docs/plugins.md shows another program than the example is"
    );
    let code = example.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
    assert!(code.count() < 40);
}
