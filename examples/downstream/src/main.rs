//! The `worthit` command over our own pairs: cards, causes, the gate, the history. It is also the
//! binary that counts causes, and nothing is timed in it.

use std::process::ExitCode;

worthit_pair::counting_binary!();

fn main() -> ExitCode {
    worthit_harness::cli::main(&pairs::CATALOGUE, &[])
}
