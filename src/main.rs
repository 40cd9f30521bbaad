//! The `worthit` command. It is also the binary that counts causes, and no pair is timed in it.

use std::process::ExitCode;

use worthit::{CATALOGUE, fixtures::sqlite};

worthit_pair::counting_binary!();

fn main() -> ExitCode {
    worthit_harness::cli::main(&CATALOGUE, &[sqlite::STATEMENT])
}
