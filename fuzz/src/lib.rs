//! What must hold whatever comes from outside: a function each, given bytes by libFuzzer (`targets/`) and, in the tests of
//! the gateway (`tests/it/corpus.rs`), every file of `corpus/`. A function panics where something does not hold.

pub mod config;
pub mod framing;
pub mod hops;
pub mod host;
pub mod path;
pub mod token;
pub mod wire;
