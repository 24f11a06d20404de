//! Every file that fuzzing has brought up or begins with (`fuzz/corpus/`), held against what must be true of it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::support;

#[path = "../../fuzz/src/config.rs"]
mod config;
#[path = "../../fuzz/src/framing.rs"]
mod framing;
#[path = "../../fuzz/src/hops.rs"]
mod hops;
#[path = "../../fuzz/src/host.rs"]
mod host;
#[path = "../../fuzz/src/path.rs"]
mod path;
#[path = "../../fuzz/src/token.rs"]
mod token;
#[path = "../../fuzz/src/wire.rs"]
mod wire;

/// Gives each file of a target to `run`.
fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let bad = |file: &&PathBuf| catch_unwind(AssertUnwindSafe(|| run(&fs::read(file).unwrap()))).is_err();
    let wrong: Vec<&PathBuf> = files.iter().filter(bad).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:?}", wrong.len(), files.len());
    assert!(files.len() >= 10, "{files:?}");
}

#[test]
fn configs_read_back_to_what_they_were() {
    replay("config", config::run);
}

#[test]
fn paths_lead_to_one_route_however_they_are_read() {
    replay("path", path::run);
}

#[test]
fn hosts_are_read_as_others_read_them() {
    replay("host", host::run);
}

#[test]
fn tokens_pass_only_if_they_were_signed() {
    replay("token", token::run);
}

#[test]
fn clients_are_whom_trusted_hops_name() {
    replay("hops", hops::run);
}

#[test]
fn heads_and_bodies_end_where_others_see_them_end() {
    replay("framing", framing::run);
}

#[test]
fn what_arrives_is_a_request_whatever_was_sent() {
    let upstream = wire::Recorder::start();
    let gateway = support::gateway(wire::config(upstream.address));
    replay("wire", |bytes| wire::run(bytes, gateway.address, &upstream));
}
