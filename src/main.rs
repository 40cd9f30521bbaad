//! The `worthit` command. This binary also counts causes; it never times a pair.

use std::process::ExitCode;

use worthit::{CATALOGUE, fixtures::sqlite};

worthit_pair::counting_binary!();

fn main() -> ExitCode {
    worthit_harness::cli::main(&CATALOGUE, &[sqlite::STATEMENT])
}
