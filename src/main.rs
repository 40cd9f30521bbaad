//! The `worthit` command. It is also the binary that counts causes, and no pair is timed in it.

use std::process::ExitCode;

worthit::counting_binary!();

fn main() -> ExitCode {
    worthit::cli::main(&worthit::CATALOGUE)
}
