//! The `worthit` command for our own pairs: review cards, causes, the gate, the history.
//!
//! Causes are counted in this binary; nothing is timed in it.

use std::process::ExitCode;

worthit_pair::counting_binary!();

fn main() -> ExitCode {
    worthit_harness::cli::main(&pairs::CATALOGUE, &[])
}
