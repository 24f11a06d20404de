//! The config: from a YAML file to what runs.
//!
//! ```text
//! text --yaml--> tree with places --env--> variables filled in --decode--> File --compile--> Config
//! ```
//! Every stage notes what is wrong and goes on with the rest, so one run finds every mistake. Only
//! [`Config`] leaves this module, and nothing in it can be invalid.

pub mod changes;
mod compile;
pub mod conceal;
mod decode;
pub mod env;
pub mod error;
mod file;
pub mod files;
mod located;
mod model;
pub mod names;
mod print;
mod redis;
pub mod schema;
pub mod targets;
pub mod units;
mod yaml;

use std::path::Path;

pub use self::redis::{Redis, Servers};
pub use error::{LoadError, Position, Problem, Severity};
pub use file::{
    BudgetBlock, CertificateName, Coding, Cost, Credential, HashKey, KeyPart, Level, LogFormat, Scope, Sticky,
};
pub use model::{
    AccessLog, Admin, Among, ApiKey, ApiKeys, Auth, AuthPolicy, Backoff, Balance, BalanceAlgorithm, Basic, Breaker,
    CertificateFiles, CheckKind, Compression, Concurrency, Config, Cors, Destinations, ForwardAuth, Group, HeaderEdits,
    HeaderRules, HealthCheck, Hsts, Jwt, KeySource, LimitAlgorithm, LimitHeaders, LimitSync, Limits, Mirror, Mode,
    OnAllOpen, OnRedisDown, Plugins, RateLimit, Redirect, Resolve, Respond, Retry, Route, SecurityHeaders, Shutdown,
    Target, Timeouts, Tls, Tracing, UpstreamTls,
};
pub use print::print;

use env::Lookup;
use files::Files;

use crate::contents::MOST_OF_CONFIG;

/// A config that can run, and what somebody should know about it.
#[derive(Debug)]
pub struct Loaded {
    /// What runs.
    pub config: Config,
    /// Findings that do not keep it from running.
    pub warnings: Vec<Problem>,
    /// The names that it leads to, each once.
    pub names: Vec<names::Named>,
}

/// Reads and compiles the file at `path`, with variables from the process's environment.
///
/// # Errors
/// [`LoadError::Unreadable`] if there is no text to be read; otherwise [`LoadError::Invalid`] with every mistake in it.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    load_noting(path, &mut Files::default(), None)
}

/// The same; all files that this depends on are read through `files`, whatever comes of it. Where certificates of ours are no
/// good any more, those that are in use go on, which are those of `current`.
///
/// # Errors
/// As [`load`].
pub fn load_noting(path: &Path, files: &mut Files, current: Option<&Config>) -> Result<Loaded, LoadError> {
    let file = path.display().to_string();
    let text = files
        .read_text(&file, MOST_OF_CONFIG)
        .map_err(|e| LoadError::Unreadable { file: file.clone(), reason: e.to_string() });
    let loaded = text.and_then(|text| compile_text(&file, &text, &|name| std::env::var(name).ok(), files, current));
    files.close();
    loaded
}

/// Compiles `text`; `file` is the name that findings carry.
///
/// # Errors
/// As [`load`].
pub fn parse(file: &str, text: &str, lookup: Lookup<'_>) -> Result<Loaded, LoadError> {
    compile_text(file, text, lookup, &mut Files::default(), None)
}

fn compile_text(
    file: &str,
    text: &str,
    lookup: Lookup<'_>,
    files: &mut Files,
    current: Option<&Config>,
) -> Result<Loaded, LoadError> {
    let mut problems = Vec::new();
    let invalid = |problem| LoadError::Invalid { file: file.to_owned(), problems: vec![problem] };
    let mut root = yaml::read(text, &mut problems).map_err(invalid)?;
    if root.value.is_null() {
        return Err(invalid(Problem::error(root.at, "", "the file is empty; a config has at least `routes:`")));
    }
    env::expand(&mut root, "", lookup, &mut problems);
    conceal::conceal(&mut root);
    let written = decode::decode(&mut root, &mut problems);
    let config = written.map(|written| compile::compile(written, lookup, &mut problems, files, current));
    problems.extend(files.pipes().map(is_read_once));
    conceal::scrub(&mut problems, &root);
    problems.sort_by_key(|problem| problem.at);
    // What is wrong in `defaults` is found with each route that inherits it.
    problems.dedup();
    let fatal = problems.iter().any(|problem| problem.severity == Severity::Error);
    match config {
        Some((config, mut names)) if !fatal => {
            let hidden = conceal::hidden_names(&root);
            names.iter_mut().for_each(|named| named.is_hidden |= hidden.contains(&named.name.to_ascii_lowercase()));
            Ok(Loaded { config, warnings: problems, names })
        }
        _ => Err(LoadError::Invalid { file: file.to_owned(), problems }),
    }
}

fn is_read_once(name: &str) -> Problem {
    let message = format!(
        "{name} is a pipe: what has come out of it stays, whatever is written to it later; write the name of a file to have it read again"
    );
    Problem::warning(Position { line: 1, column: 1 }, "", message)
}
