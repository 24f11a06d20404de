//! `aegis`: see `aegis --help`.

use std::process::ExitCode;

use aegis::embed::Program;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Program::default().main()
}
