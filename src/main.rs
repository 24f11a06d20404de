//! `aegis`: see `aegis --help`.

use std::process::ExitCode;

use aegis::allocator::Allocator;
use aegis::embed::Program;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    Program::default().main()
}
